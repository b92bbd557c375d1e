"""Shows what billing reads of the key server: spans, logs that are not whole, and whom it has to wait for."""

from collections.abc import Iterator

import pytest

from sealcast.billing.rating import Span
from sealcast.messages import operations
from sealcast.server.billing import source as billing_source
from server.airing import LIFETIME_MS, MINUTE_MS, SETTLE_MS, OnAir, on_air
from server.withdrawals import signed, statement_of

TEN = LIFETIME_MS


@pytest.fixture
def site() -> Iterator[OnAir]:
    """Give a channel with epoch 1 on air and 2 published, and a device that was granted both."""
    with on_air() as found:
        found.device("TV-1")
        found.publish(1, 2)
        found.report(1, "start")
        found.fetch("TV-1")
        found.at(2)
        yield found


def is_pending(site: OnAir, device: str = "TV-1") -> bool:
    """Whether a last bill has to wait for a device."""

    def read(connection: object) -> bool:
        ahead = billing_source.ahead(connection, site.number)  # type: ignore[arg-type]
        return billing_source.pending(connection, device, ahead)  # type: ignore[arg-type]

    return site.look(read)


def withdraw(site: OnAir) -> None:
    """Withdraw the device, with a statement that is true."""
    device = site.parties["TV-1"]
    begun = site.run(device.must(operations.WITHDRAWAL, channel="news"))
    site.run(device.must(operations.WITHDRAW, statement=signed(device, statement_of(device, begun))))


def test_who_withdraws_waits_for_the_epoch_on_air(site: OnAir) -> None:
    """Its last bill has that epoch; the one ahead was erased, and is nothing to wait for."""
    assert is_pending(site)
    assert not is_pending(site, "nobody")
    withdraw(site)
    assert is_pending(site)
    site.at(10)
    site.report(2, e1=TEN)
    assert not is_pending(site)
    site.pass_ms(SETTLE_MS)
    site.record()
    assert [event.id for event in site.usage("TV-1")] == ["1/1/TV-1"]


def test_who_is_removed_does_not_wait_for_what_is_skipped(site: OnAir) -> None:
    """The published key that it has never goes on air, whether or not its sender lives to say so."""
    removal = {"channel": "news", "device": "TV-1"}
    removed = site.ask(operations.SUBSCRIBER_REMOVE, **removal)
    assert removed.skipped == [2]
    assert is_pending(site)
    site.at(5)
    site.report(1, ended=True, e1=TEN // 2)
    assert not is_pending(site)


def test_nobody_waits_for_a_sender_that_is_dead(site: OnAir) -> None:
    """Once it was silent for ten minutes and what it sent is recorded, the epoch on air is over."""
    withdraw(site)
    site.at(11)
    assert is_pending(site)
    site.record()
    assert not is_pending(site)


def test_a_log_that_begins_late_has_whole_turns(site: OnAir) -> None:
    """What ended before is left out, unless it shares a turn with what did not."""
    site.at(4)
    site.report(2, "start", run=2, e1=4 * MINUTE_MS)
    site.publish(3, 4)
    site.at(14)
    site.report(3, run=2, e2=TEN)
    site.at(24)
    site.report(4, run=2, e3=TEN)
    site.at(25)
    site.record()
    assert [(part[0], part[2]) for part in site.parts()] == [(1, 1), (2, 1), (3, 3)]

    def logs(since_ms: int) -> list[int]:
        log = site.look(lambda connection: billing_source.air_log(connection, site.number, since_ms))
        assert log.open_since_ms == site.began_ms + 24 * MINUTE_MS
        return [part.epoch for part in log.parts]

    begins = site.began_ms
    assert logs(0) == logs(begins + 14 * MINUTE_MS) == [1, 2, 3]
    assert logs(begins + 14 * MINUTE_MS + 1) == [3]
    assert logs(begins + 24 * MINUTE_MS + 1) == []
    recorded_ms = site.now_ms

    def since(at_ms: int) -> int | None:
        return site.look(lambda connection: billing_source.recorded_since(connection, site.number, at_ms))

    assert since(recorded_ms) == begins
    assert since(recorded_ms + 1) is None


def test_spans_of_subscriptions(site: OnAir) -> None:
    """Each subscription is a span, also of one who came back; nobody has none."""
    site.at(5)
    site.ask(operations.SUBSCRIBER_REMOVE, channel="news", device="TV-1")
    site.at(7)
    site.ask(operations.SUBSCRIBER_ADD, channel="news", device="TV-1")
    spans = site.look(lambda connection: billing_source.spans_of(connection, ["TV-1", "nobody", "TV-1"]))
    left_ms, back_ms = site.began_ms + 5 * MINUTE_MS, site.began_ms + 7 * MINUTE_MS
    assert spans == {("TV-1", site.number): (Span(site.began_ms, left_ms), Span(back_ms))}
