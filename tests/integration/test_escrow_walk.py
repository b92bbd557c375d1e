"""The guide of the escrow, as it stands there, on three machines: from nothing to a film that was paid."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.desks import SYSTEM_S, Desk, desk, fits, made_places
from lab.hosts import Program, network, wait_until
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


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[dict[str, Desk]]:
    """Give three machines on one wire, each with a disk of its own."""
    made = made_places()
    try:
        with network() as net:
            wire = net.add("wire")
            wire.ip("link add bridge type bridge", "link set bridge up")
            found = {}
            for name, last in PEOPLE.items():
                host = net.add(name)
                wire.ip(f"link add {name} type veth peer name eth0 netns {host.namespace}")
                wire.ip(f"link set {name} master bridge", f"link set {name} up")
                host.ip(f"address add 192.0.2.{last}/24 dev eth0", "link set eth0 up", "link set lo up")
                found[name] = desk(host, tmp_path / name)
            yield found
    finally:
        for path in made:
            path.rmdir()


class Walk:
    """Types the guide's lines, and keeps what they print for those that come later."""

    def __init__(self, desks: dict[str, Desk]) -> None:
        self.desks = desks
        self.invitations: dict[str, str] = {}
        self.order = ""
        self.serving: list[Program] = []

    def type(self, who: str, line: str) -> None:
        """Type one line; what serves is left running once it is ready."""
        place = self.desks[who]
        agent = {"SEALCAST_AGENT": str(place.folder / "agent.sock")}
        if line.endswith(" &"):
            program = place.type(line.removesuffix(" &"), **agent)
            (ready,) = (text for start, text in READY.items() if line.startswith(start))
            wait_until(lambda: ready in program.stdout() or not program.running(), line, SYSTEM_S)
            assert program.running(), program.stderr()
            self.serving.append(program)
            return
        printed = self.done(place, self.filled(who, line), agent)
        if "registry invite" in line:
            self.invitations["shop" if "seller" in line else "viewer"] = printed.strip()
        if line.startswith("sealcast buy"):
            self.order = re.findall(r"sealcast order confirm (\S+)", printed)[0]
        if line.startswith("sealcast package pack"):
            shutil.copy(place.folder / "film.sealpack", self.desks["viewer"].folder)

    def filled(self, who: str, line: str) -> str:
        """Return a line with what stands for something printed before."""
        if "TOKEN" in line:
            command, _, rest = line.partition("FINGERPRINT")
            assert fits(f"{command}FINGERPRINT", self.invitations[who])
            return self.invitations[who] + rest
        return line.replace("ORDER", self.order)

    def done(self, place: Desk, line: str, environment: dict[str, str]) -> str:
        """Type a line that has to end well, and return what it printed."""
        program = place.type(line, **environment)
        assert program.wait(SYSTEM_S) == 0, (line, program.stderr())
        return program.stdout()


@pytest.mark.network
@pytest.mark.players
def test_from_nothing_to_a_film_that_was_paid(desks: dict[str, Desk]) -> None:
    """Every line of the guide ends well, the player shows pictures, and the seller has the price."""
    make_testcard(desks["shop"].folder / "film.ts", seconds=2)
    walk = Walk(desks)
    for who, line in lines():
        walk.type(who, line)
    assert list(desks["viewer"].folder.glob("SDL_window*.bmp"))
    at = "--at https://192.0.2.10:8446 --json"
    has = desks["operator"].do(
        f"sealcast escrow balance --party shop {at} --credential /etc/sealcast/operator.vault"
    )
    assert '"balance_micro":4491000' in has
    assert all(program.running() for program in walk.serving)
