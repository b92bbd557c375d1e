"""Shows the desk for usage: each event once, in one order, whatever happens between two pages."""

from collections.abc import Iterator
from typing import Any

import pytest

from sealcast.messages import operations, operations_billing
from sealcast.messages.charging import UsageList, UsageRow
from server.airing import LIFETIME_MS, MINUTE_MS, OnAir, on_air, sent
from server.withdrawals import signed, statement_of

TEN = LIFETIME_MS


@pytest.fixture
def site() -> Iterator[OnAir]:
    """Give a channel on air for half an hour; TV-1 had all of it, TV-2 came later, TV-3 left in between."""
    with on_air() as found:
        for name in ("TV-1", "TV-2", "TV-3"):
            found.device(name)
        found.publish(1, 2, 3, 4)
        found.report(1, "start")
        found.fetch("TV-1")
        found.fetch("TV-3")
        found.at(5)
        withdraw(found, "TV-3")
        found.at(10)
        found.report(2, e1=TEN - 1_000)
        found.fetch("TV-1")
        found.fetch("TV-2")
        found.at(20)
        found.report(3, e2=TEN)
        found.fetch("TV-1")
        found.at(30)
        found.report(3, ended=True, e3=TEN)
        found.at(31)
        yield found


def withdraw(site: OnAir, name: str) -> None:
    """Withdraw a device, with a statement that is true."""
    device = site.parties[name]
    begun = site.run(device.must(operations.WITHDRAWAL, channel="news"))
    site.run(device.must(operations.WITHDRAW, statement=signed(device, statement_of(device, begun))))


def page(site: OnAir, **fields: Any) -> UsageList:
    """Ask for a page."""
    answer: UsageList = site.ask(operations_billing.USAGE_LIST, **fields)
    assert len(answer.usage) <= fields.get("limit", 500)
    return answer


def pages(site: OnAir, after: str = "", **fields: Any) -> tuple[list[UsageRow], str]:
    """Return what all pages tell behind a place, and the place behind them."""
    rows: list[UsageRow] = []
    for _ in range(100):
        answer = page(site, after=after, **fields)
        rows += answer.usage
        after = answer.next
        if not answer.more:
            return rows, after
    raise AssertionError("the pages have no end")


ALL = ["1/1/TV-1", "1/1/TV-3", "1/2/TV-1", "1/2/TV-2", "1/3/TV-1", "1/3/TV-2"]


def test_usage_comes_in_the_order_of_recording(site: OnAir) -> None:
    """Part by part and by device; one who destroyed its keys is not charged for what came after."""
    rows, _ = pages(site)
    assert [row.id for row in rows] == ALL
    assert rows[0] == UsageRow(
        id="1/1/TV-1",
        device="TV-1",
        channel=site.number,
        channel_name="news",
        epoch=1,
        turn=1,
        cause="start",
        start_ms=site.began_ms,
        end_ms=site.began_ms + TEN - 1_000,
        bytes=sent(TEN - 1_000)[0],
        packets=sent(TEN - 1_000)[1],
        recorded_at_ms=site.now_ms,
    )


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
def test_pages_of_any_size_tell_the_same(site: OnAir, limit: int) -> None:
    """Nothing is told twice or left out at the seams."""
    rows, place = pages(site, limit=limit)
    assert [row.id for row in rows] == ALL
    assert pages(site, after=place) == ([], place)


def test_what_comes_later_comes_behind(site: OnAir) -> None:
    """Late totals and a new epoch, asked for from the place where the list ended before."""
    _, place = pages(site)
    site.report(3, e1=TEN, e3=TEN)
    rows, place = pages(site, after=place)
    assert [row.id for row in rows] == ["1/1.2/TV-1", "1/1.2/TV-3"]
    assert {row.bytes for row in rows} == {sent(1_000)[0]}
    site.report(4, "start", run=4)
    site.fetch("TV-2")
    site.at(32)
    site.report(4, run=4, ended=True, e4=MINUTE_MS)
    assert pages(site, after=place) == ([], place)
    site.at(33)
    rows, _ = pages(site, after=place)
    assert [row.id for row in rows] == ["1/4/TV-1", "1/4/TV-2"]


def test_filters(site: OnAir) -> None:
    """By device, by channel, by the span in which a part begins."""
    begins = site.began_ms
    assert [row.id for row in pages(site, device="TV-2", limit=1)[0]] == ["1/2/TV-2", "1/3/TV-2"]
    assert pages(site, device="nobody")[0] == []
    assert [row.id for row in pages(site, channel="1")[0]] == ALL
    span = {"since_ms": begins + TEN, "until_ms": begins + 2 * TEN}
    assert [row.id for row in pages(site, **span)[0]] == ["1/2/TV-1", "1/2/TV-2"]
    assert pages(site, since_ms=site.now_ms)[0] == []
    site.run(site.operator.must(operations.CHANNEL_REMOVE, channel="news"))
    assert [row.id for row in pages(site, channel="news")[0]] == ALL


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"after": "x"}, "bad-request"),
        ({"after": "1" * 30}, "bad-request"),
        ({"channel": "sport"}, "unknown-channel"),
        ({"limit": 0}, "bad-request"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any], problem: str) -> None:
    """A place that is none, a channel that never was, a page of nothing."""
    with on_air() as site:
        reply = site.run(site.operator.ask(operations_billing.USAGE_LIST, **fields))
        assert reply.problem == problem


def test_a_long_look_is_cut(site: OnAir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where little is found among many, an answer says how far it looked, and the next goes on from there."""
    monkeypatch.setattr("sealcast.server.billing.usage_rows.LOOKED_AT_MAX", 2)
    first = page(site)
    assert first.more
    assert [row.id for row in pages(site)[0]] == ALL
