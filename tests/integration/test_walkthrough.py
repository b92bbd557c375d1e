"""The first hour: the commands of the README, as they stand there, on two machines, to a picture."""

import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.hosts import Host, Program, network, wait_until
from sealcast.demo.testcard import make_testcard

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS_MAX = 7
PICTURES = 25
PLACES = ("etc/sealcast", "var/lib/sealcast")
"""Where root's configuration and state stand; each machine of the test has its own."""

SYSTEM_S = 60.0


def commands() -> list[str]:
    """Return the command lines of the README's walk from nothing to a picture."""
    text = README.read_text(encoding="utf-8").partition("## Two machines")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@dataclass(frozen=True)
class Desk:
    """A machine with its own disk: root's folders there are folders of the test."""

    host: Host
    folder: Path

    def type(self, line: str) -> Program:
        """Type a line in a terminal of its own; its output goes to files."""
        mounts = " && ".join(f"mount --bind {self.folder / place} /{place}" for place in PLACES)
        return self.host.start(
            "sh",
            "-c",
            f"{mounts} && cd {self.folder} && exec sh -c {shlex.quote(line)}",
            PATH=f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            HOME=str(self.folder),
            SDL_VIDEODRIVER="dummy",
            SDL_AUDIODRIVER="dummy",
            SDL_VIDEO_DUMMY_SAVE_FRAMES="1",
        )

    def do(self, line: str) -> str:
        """Type a line and return what it printed, once it ended well."""
        program = self.type(line)
        assert program.wait(SYSTEM_S) == 0, program.stderr()
        return program.stdout()


def desk(host: Host, folder: Path) -> Desk:
    """Set a machine up: an empty disk with `sealcast` installed."""
    for place in (*PLACES, "bin"):
        (folder / place).mkdir(parents=True)
    (folder / PLACES[1]).chmod(0o700)
    program = folder / "bin" / "sealcast"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sealcast.cli "$@"\n')
    program.chmod(0o755)
    return Desk(host, folder)


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    """Give the operator's machine, 192.0.2.10, and a viewer's on the same wire."""
    made = [Path("/") / place for place in PLACES if not (Path("/") / place).exists()]
    for path in made:
        path.mkdir()
    try:
        with network() as net:
            operator, viewer = net.add("operator"), net.add("viewer")
            operator.ip(f"link add eth0 type veth peer name eth0 netns {viewer.namespace}")
            for host, last in ((operator, 10), (viewer, 20)):
                host.ip(f"address add 192.0.2.{last}/24 dev eth0", "link set eth0 up")
                host.ip("route add default via 192.0.2.1")
            yield desk(operator, tmp_path / "operator"), desk(viewer, tmp_path / "viewer")
    finally:
        for path in made:
            path.rmdir()


def test_there_are_at_most_seven() -> None:
    """From `init` to a picture a newcomer types seven commands."""
    lines = commands()
    assert len(lines) <= COMMANDS_MAX
    assert lines[0].startswith("sealcast init")
    assert lines[-1].endswith("ffplay -")


@pytest.mark.network
@pytest.mark.players
def test_from_nothing_to_a_picture(desks: tuple[Desk, Desk]) -> None:
    """Exactly the README's commands, on two machines, and ffplay shows pictures."""
    operator, viewer = desks
    make_testcard(operator.folder / "film.ts", seconds=6)
    init, serve, add, send, invite, enrol, receive = commands()
    operator.do(init)
    server = operator.type(serve)
    wait_until(lambda: "listens on" in server.stdout(), server.stderr(), SYSTEM_S)
    operator.do(add)
    sender = operator.type(send)
    wait_until(lambda: "on air" in sender.stderr() or not sender.running(), "on air", SYSTEM_S)
    assert sender.running(), sender.stderr()
    printed = operator.do(invite).strip()
    # The README has words where each invitation has its own characters.
    shape = re.escape(enrol).replace("TOKEN", r"[\w-]{22}").replace("FINGERPRINT", r"[\w-]{43}")
    assert re.fullmatch(shape, printed), printed
    viewer.do(printed)
    screen = viewer.type(receive)

    def shown() -> bool:
        assert screen.running(), screen.stderr()
        return len(list(viewer.folder.glob("SDL_window*.bmp"))) > PICTURES

    wait_until(shown, f"{PICTURES} pictures: {screen.stderr()[-2_000:]}", SYSTEM_S)
    assert sender.running()
    assert server.running()
