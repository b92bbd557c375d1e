"""Shows that a package from a carousel that lost 5 % opens for who bought it, and not for a neighbour."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.agents import Agent, Package, buy, pack, running_agent
from receiver.rounds import Receiver, one_round
from sealcast.core.errors import RefusedError
from sealcast.messages.package import CHUNK_BYTES
from sealcast.testing import SimRandom
from sealpack.makers import RANDOM, escrow, operator

CONTENT = RANDOM.bytes(20 * CHUNK_BYTES + 99)
LOSS_PERCENT = 5


@dataclass
class Passed:
    """Two devices, and a package of which the first has what came by a carousel."""

    buyer: Agent
    friend: Agent
    package: Package
    received: Path


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passed]:
    """Send a package round, lose some of it, and run two devices' agents."""
    folder = tmp_path_factory.mktemp("passed-on")
    package = pack(folder / "film.sealpack", CONTENT)
    incoming = folder / "incoming"
    incoming.mkdir()
    receiver, random = Receiver(incoming), SimRandom("passed on")
    packets = one_round({"film.sealpack": package.path.read_bytes()})
    receiver.take(packets[:7])
    report = receiver.take(packet for packet in packets if random.below(100) >= LOSS_PERCENT)
    receiver.close()
    assert (report.complete, report.repaired_blocks > 0) == (1, True)
    with contextlib.ExitStack() as stack:
        agents = []
        for name in ("TV-0031", "TV-0032"):
            (folder / name).mkdir()
            party = operator().party(name, "device")
            agents.append(stack.enter_context(running_agent(folder / name, party)))
        yield Passed(agents[0], agents[1], package, incoming / "film.sealpack")


def content_of(agent: Agent, package: Path, into: Path) -> bytes:
    """Return what a device opens of a package."""
    with agent.client() as client, package.open("rb") as source, into.open("wb") as sink:
        session = client.open(source.fileno())
        written = client.copy(session.session, 0, session.size, source.fileno(), sink.fileno())
    assert written.error is None
    return into.read_bytes()


def test_what_came_by_the_carousel_is_the_package(passed: Passed, tmp_path: Path) -> None:
    """Bit for bit, so it opens for the device that bought it, from whichever folder it is copied to."""
    assert passed.received.read_bytes() == passed.package.path.read_bytes()
    with passed.buyer.client() as client:
        buy(client, passed.package, {1: escrow(0)})
    assert content_of(passed.buyer, passed.received, tmp_path / "content") == CONTENT
    stick = tmp_path / "stick"
    stick.mkdir()
    copy = Path(shutil.copy(passed.received, stick / "renamed.bin"))
    copy.chmod(0o400)
    assert content_of(passed.buyer, copy, tmp_path / "content") == CONTENT


def test_who_is_given_it_opens_nothing_before_paying(passed: Passed, tmp_path: Path) -> None:
    """The same file at another device is refused until that one has bought it, too."""
    with pytest.raises(RefusedError):
        content_of(passed.friend, passed.received, tmp_path / "content")
    assert (tmp_path / "content").read_bytes() == b""
    with passed.friend.client() as client:
        buy(client, passed.package, {1: escrow(0)})
    assert content_of(passed.friend, passed.received, tmp_path / "content") == CONTENT
