"""Wall clocks moved by hours, in both directions: streams, nonces, grants and restarts take no harm."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.asking import Askers
from faults.books import check_books
from faults.clocks import CACHE_S, WallClock, faking
from faults.nursery import POLL_S, WAIT_S, Child, Forks
from faults.site import Site, holds, new_site
from sealcast.core.ports import NS_PER_MS
from sealcast.transport.system import SystemClock

pytestmark = pytest.mark.clocks

LIFETIME = ("--lifetime", "2s", "--publish-at", "75%", "--prefetch-at", "50%")
JUMPS = ("+6h", "-6h", "+0h")
"""From the true time, one after the other."""

HOUR_MS = 3_600_000
SPAN_MS = 11 * HOUR_MS
"""The jumps are more than that apart in the database, or the server has not seen them."""


@pytest.fixture(scope="module")
def moving() -> Iterator[Forks]:
    """Return a process whose children have wall clocks that can be moved."""
    made = Forks(**faking())
    yield made
    made.close()


@pytest.fixture
def site(tmp_path: Path, moving: Forks) -> Iterator[Site]:
    """Return a site with a channel and a viewer, whose clocks can be moved."""
    with new_site(tmp_path, moving) as made:
        made.add_channel("film", *LIFETIME)
        made.add_viewer("viewer", "film")
        yield made


def restart(site: Site, clock: WallClock) -> None:
    """Kill the key server and start it with another clock."""
    assert site.keyserver is not None
    site.keyserver.kill()
    site.serve(**clock.environment)


def play(site: Site, sending: WallClock, receiving: WallClock) -> tuple[Child, Child]:
    """Start a receiver and a sender with clocks of their own."""
    receiver = site.receive("film", "viewer", "--wait", **receiving.environment)
    sender = site.send("film", **sending.environment)
    site.wait_for_a_key(receiver)
    return receiver, sender


def check_stream(site: Site, sender: Child, receiver: Child) -> None:
    """End the stream; nothing of it was lost."""
    sent, got = sender.stop(), receiver.summary()
    assert got["packets_opened"] == sent["packets"]
    assert (got["lost"], got["refused"], got["replayed"]) == (0, 0, 0)
    assert holds(site.folder / "viewer-film.bin", got, site.film)


def changes_again(sender: Child) -> None:
    """Wait until the sender has changed keys once more."""
    sender.skip_log()
    sender.wait_for("on air")


def answered_again(askers: Askers, answers: int) -> None:
    """Wait until more questions were answered than so many."""
    ends = time.monotonic() + WAIT_S
    while askers.memory.answers <= answers:
        assert time.monotonic() < ends, askers.memory
        time.sleep(POLL_S)


def has_written(site: Site, hours: int) -> None:
    """Wait until the server has written something under its present clock."""
    ends = time.monotonic() + WAIT_S
    while True:
        now_ms = SystemClock().wall_ns() // NS_PER_MS + hours * HOUR_MS
        if site.query(f"SELECT 1 FROM audit WHERE at_ms BETWEEN {now_ms - HOUR_MS} AND {now_ms + HOUR_MS}"):  # noqa: S608
            return
        assert time.monotonic() < ends, f"nothing was written {hours} hours from now"
        time.sleep(POLL_S)


def test_the_key_servers_clock_jumps_and_the_others_are_wrong(site: Site) -> None:
    """Six hours forth, twelve back, forth again, a sender 20 hours behind and a receiver 300 days ahead."""
    clock = WallClock(site.folder / "server.clock")
    restart(site, clock)
    site.add_channel("lab", *LIFETIME)
    site.nursery.good("subscriber", "add", "lab", "viewer")
    sending = WallClock(site.folder / "sender.clock", "-20h")
    receiving = WallClock(site.folder / "receiver.clock", "+300d")
    receiver, sender = play(site, sending, receiving)
    with Askers(site, ["viewer"], ["film"], "lab", seed=1) as askers:
        for offset in JUMPS:
            clock.move(offset)
            time.sleep(CACHE_S)
            answers = askers.memory.answers
            changes_again(sender)
            answered_again(askers, answers)
            has_written(site, int(offset.removesuffix("h")))
    check_stream(site, sender, receiver)
    # A request whose two nonces were made before and after a jump may be told so; it is asked again.
    assert len(askers.memory.refusals) <= len(JUMPS)
    assert all("use-nonce" in refusal for refusal in askers.memory.refusals)
    check_books(site, askers.memory, "lab")
    ((span_ms,),) = site.query("SELECT max(at_ms) - min(at_ms) FROM audit")
    assert isinstance(span_ms, int)
    assert span_ms > SPAN_MS
    # Keys that went off air in hours that are still to come are erased with the first report after.
    true_ms = time.time_ns() // 1_000_000
    late = site.query("SELECT epoch FROM epochs WHERE state = 'DRAINING' AND off_air_at_ms > ?", true_ms)
    assert late == []


@pytest.mark.soak
def test_the_key_server_restarts_with_another_clock(site: Site) -> None:
    """Started again with a clock hours ahead, then hours behind, it goes on where it was."""
    clock = WallClock(site.folder / "server.clock")
    receiver, sender = site.play("film", "viewer")
    for offset in ("+9h", "-9h"):
        clock.move(offset)
        restart(site, clock)
        changes_again(sender)
    check_stream(site, sender, receiver)


@pytest.mark.soak
def test_clocks_of_senders_and_receivers_jump(site: Site) -> None:
    """Within the certificate's validity their clocks do not matter, and may jump while they run."""
    sending, receiving = (WallClock(site.folder / f"{name}.clock") for name in ("sender", "receiver"))
    receiver, sender = play(site, sending, receiving)
    for offset in JUMPS:
        sending.move(offset)
        receiving.move(offset.translate(str.maketrans("+-", "-+")))
        time.sleep(CACHE_S)
        changes_again(sender)
    check_stream(site, sender, receiver)
