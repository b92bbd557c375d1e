"""The guide of the escrow, as it stands there, on three machines: from nothing to films that were paid."""

import contextlib
import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faults.nursery import Child, Forks, Nursery
from integration.desks import SYSTEM_S, Desk, desk, fits, made_places
from lab.hosts import network, wait_until
from sealcast.demo.testcard import make_testcard

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "escrow.md"
PEOPLE = {"operator": 10, "shop": 20, "viewer": 30}
READY = {
    "sealcast serve keyserver": "listens on",
    "sealcast serve escrow": "listens on",
    "sealcast device serve": "listens at",
}
LINE = re.compile(r"^(operator|shop|viewer)\$ (.*)$", re.MULTILINE)


def lines() -> list[tuple[str, str]]:
    """Return who types what, in the guide's order."""
    return LINE.findall(GUIDE.read_text(encoding="utf-8"))


@dataclass
class Shell:
    """Somebody at a desk: what runs in the background there stands by its number."""

    desk: Desk
    folder: Path
    environment: dict[str, str]
    nursery: Nursery = field(init=False)
    jobs: dict[int, Child] = field(default_factory=dict)

    @classmethod
    def at(cls, place: Desk) -> "Shell":
        """Return somebody at a desk."""
        agent = {"SEALCAST_AGENT": str(place.folder / "agent.sock")}
        return cls(place, place.folder, {**os.environ, **place.environment, **agent})

    @contextlib.contextmanager
    def open(self) -> Iterator["Shell"]:
        """Have the shell ready: programs are forked from one that is there already."""
        with contextlib.ExitStack() as ends:
            forks = Forks(*self.desk.within())
            ends.callback(forks.close)
            self.nursery = ends.enter_context(Nursery(self, forks))
            yield self

    def do(self, line: str) -> str:
        """Type a line that has to end well, and return what it printed."""
        program, *arguments = shlex.split(line)
        if program != "sealcast" or "|" in arguments:
            typed = self.desk.type(line, SEALCAST_AGENT=self.environment["SEALCAST_AGENT"])
            assert typed.wait(SYSTEM_S) == 0, (line, typed.stderr())
            return typed.stdout()
        child = self.nursery.start(*arguments)
        assert child.end(SYSTEM_S) == 0, (line, child.err)
        return child.out

    def leave_running(self, line: str) -> None:
        """Type a line that serves, and return once it does."""
        job = self.nursery.start(*shlex.split(line)[1:])
        (ready,) = (text for start, text in READY.items() if line.startswith(start))
        wait_until(lambda: ready in job.out or not job.is_alive(), line, SYSTEM_S)
        assert job.is_alive(), job.err
        self.jobs[len(self.jobs) + 1] = job

    def end(self, number: int) -> None:
        """End what runs in the background under a number, as `kill` does."""
        job = self.jobs.pop(number)
        job.send(signal.SIGTERM)
        assert job.end(SYSTEM_S) == 0, job.err


@pytest.fixture
def people(tmp_path: Path) -> Iterator[dict[str, Shell]]:
    """Give three machines on one wire, each with a disk of its own, and somebody at each."""
    made = made_places()
    try:
        with network() as net, contextlib.ExitStack() as shells:
            wire = net.add("wire")
            wire.ip("link add bridge type bridge", "link set bridge up")
            found = {}
            for name, last in PEOPLE.items():
                host = net.add(name)
                wire.ip(f"link add {name} type veth peer name eth0 netns {host.namespace}")
                wire.ip(f"link set {name} master bridge", f"link set {name} up")
                host.ip(f"address add 192.0.2.{last}/24 dev eth0", "link set eth0 up", "link set lo up")
                found[name] = shells.enter_context(Shell.at(desk(host, tmp_path / name)).open())
            yield found
    finally:
        for path in made:
            path.rmdir()


class Walk:
    """Types the guide's lines, and keeps what they print for those that come later."""

    def __init__(self, people: dict[str, Shell]) -> None:
        self.people = people
        self.invitations: dict[str, str] = {}
        self.order = ""
        self.bought: list[str] = []

    def type(self, who: str, line: str) -> None:
        """Type one line; what serves is left running once it is ready."""
        shell = self.people[who]
        if line.endswith(" &"):
            shell.leave_running(line.removesuffix(" &"))
            return
        if killed := re.fullmatch(r"kill %(\d+)", line):
            shell.end(int(killed[1]))
            return
        printed = shell.do(self.filled(who, line))
        if "registry invite" in line:
            self.invitations["shop" if "seller" in line else "viewer"] = printed.strip()
        if line.startswith("sealcast buy"):
            self.order = re.findall(r"sealcast order confirm (\S+)", printed)[0]
            self.bought.append(printed)
        if line.startswith("sealcast package pack"):
            for package in shell.folder.glob("*.sealpack"):
                shutil.copy(package, self.people["viewer"].folder)

    def filled(self, who: str, line: str) -> str:
        """Return a line with what stands for something printed before."""
        if "TOKEN" in line:
            command, _, rest = line.partition("FINGERPRINT")
            assert fits(f"{command}FINGERPRINT", self.invitations[who])
            return self.invitations[who] + rest
        return line.replace("ORDER", self.order)


@pytest.mark.network
@pytest.mark.players
def test_from_nothing_to_films_that_were_paid(people: dict[str, Shell]) -> None:
    """Every line of the guide ends well, the player shows pictures, and the seller has the price.

    What is in three shares opens with one escrow away, which is named.
    """
    operator, shop, viewer = people.values()
    make_testcard(shop.folder / "film.ts", seconds=2)
    walk = Walk(people)
    for who, line in lines():
        walk.type(who, line)
    assert list(viewer.folder.glob("SDL_window*.bmp"))
    assert (viewer.folder / "film.ts").read_bytes() == (shop.folder / "film.ts").read_bytes()
    alone, shared = walk.bought
    assert "did not open" not in alone
    assert re.findall(r"^(\w+) (has|did not)", shared, re.MULTILINE) == [
        ("trust", "has"),
        ("three", "has"),
        ("two", "did not"),
    ]
    at = "--at https://192.0.2.10:8446 --json"
    has = operator.do(f"sealcast escrow balance --party shop {at} --credential /etc/sealcast/operator.vault")
    assert '"balance_micro":8982000' in has
    assert [list(each.jobs) for each in people.values()] == [[1, 2, 4], [], [1]]
    assert all(job.is_alive() for each in people.values() for job in each.jobs.values())
