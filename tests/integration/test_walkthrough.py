"""The first hour: the commands of the README, as they stand there, on two machines, to a picture."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.desks import SYSTEM_S, Desk, desk, fits, made_places
from lab.hosts import network, wait_until
from sealcast.demo.testcard import make_testcard

README = Path(__file__).resolve().parents[2] / "README.md"
COMMANDS_MAX = 7
PICTURES = 25


def commands() -> list[str]:
    """Return the command lines of the README's walk from nothing to a picture."""
    text = README.read_text(encoding="utf-8").partition("## Two machines")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[tuple[Desk, Desk]]:
    """Give the operator's machine, 192.0.2.10, and a viewer's on the same wire."""
    made = made_places()
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
    assert fits(enrol, printed), printed
    viewer.do(printed)
    screen = viewer.type(receive)

    def shown() -> bool:
        assert screen.running(), screen.stderr()
        return len(list(viewer.folder.glob("SDL_window*.bmp"))) > PICTURES

    wait_until(shown, f"{PICTURES} pictures: {screen.stderr()[-2_000:]}", SYSTEM_S)
    assert sender.running()
    assert server.running()
