"""Shows single rules of the reception manager: silence, grace, late heartbeats, batches, shared databases."""

from dataclasses import replace
from pathlib import Path

import pytest

from reception.records import HEARTBEAT_MS, HISTORY, Side, open_records
from sealcast.core.ports import NS_PER_S
from sealcast.reception import manager as rules
from sealcast.reception.service import STOPPED_LATELY_MS, End, Reception, Seen
from sealcast.reception.store import Page, count_live
from sealcast.reception.tables import receptions
from sealcast.testing import SimClock

SILENCE_S = 3 * HEARTBEAT_MS // 1_000


@pytest.fixture
def clock() -> SimClock:
    """Return one clock for all managers of a test."""
    return SimClock()


@pytest.fixture
def side(tmp_path: Path, clock: SimClock) -> Side:
    """Return a manager over a fresh database."""
    return Side(open_records(tmp_path / "records.sqlite"), clock)


def test_silence_ends_a_reception(side: Side) -> None:
    """With a heartbeat every interval it lives for ever; after three missed ones it ends by timeout."""
    side.permit("tv", 1, 7)
    for _ in range(10):
        side.pass_time(HEARTBEAT_MS // 1_000)
        assert side.heartbeat("tv", 1, 5)
    side.pass_time(SILENCE_S)
    assert side.live()
    side.pass_time(1)
    (over,) = side.history()
    assert (over.reason, over.first_epoch, over.packets) == ("timeout", 7, 5)
    assert over.ended_at_ms is not None
    assert over.ended_at_ms - over.seen_ms == (SILENCE_S + 1) * 1_000


def test_heartbeat_begins_again_after_a_silence_alone(side: Side) -> None:
    """After a timeout a heartbeat begins a reception; after a stop only one that comes an interval later."""
    side.permit("tv", 1)
    side.pass_time(SILENCE_S + 1)
    assert not side.live()
    assert side.heartbeat("tv", 1)
    side.end(End("tv", 1, "stopped"))
    assert not side.heartbeat("tv", 1)
    side.pass_time(HEARTBEAT_MS // 1_000 + 1)
    assert side.heartbeat("tv", 1)
    assert [each.reason for each in side.history()] == [None, "stopped", "timeout"]


def test_what_is_told_late_hides_nobody(side: Side) -> None:
    """A reception that is over and was recorded after the live one, as replicas tell it, begins no second."""
    side.permit("tv", 1)
    (live,) = side.history()
    with side.connection.begin():
        side.connection.execute(
            receptions.insert(),
            {
                "device": "tv",
                "channel": 1,
                "channel_name": live.channel_name,
                "since_ms": live.since_ms - 10_000,
                "seen_ms": live.since_ms - 5_000,
                "packets": 1,
                "ended_at_ms": live.since_ms - 5_000,
                "reason": "timeout",
            },
        )
    side.restart()
    side.permit("tv", 1)
    assert [each.number for each in side.history() if each.is_live] == [live.number]


def test_what_somebody_else_writes(side: Side) -> None:
    """Receptions that came over the same connection are kept like own ones: heard anew, ended, and missed."""
    side.pass_time(SILENCE_S + 1)
    since_ms = side.moment().wall_ms

    def write(device: str, seen_ms: int, ended_at_ms: int | None = None) -> None:
        values = {"seen_ms": seen_ms, "ended_at_ms": ended_at_ms, "reason": ended_at_ms and "stopped"}
        with side.connection.begin():
            known = {(each.device): each for each in side.manager.page(side.connection, HISTORY)}.get(device)
            if known is None:
                made = Reception(0, device, 1, "news", since_ms, seen_ms)
                values |= {"device": device, "channel": 1, "channel_name": "news", "since_ms": since_ms}
                side.connection.execute(receptions.insert(), {**values, "packets": 0})
            else:
                made = replace(known, **values)  # type: ignore[arg-type]
                changed = receptions.update().where(receptions.c.number == known.number)
                side.connection.execute(changed.values(values))
            side.manager.tell([made], side.moment().now)

    for device in ("heard", "over", "missed"):
        write(device, since_ms)
    side.pass_time(SILENCE_S)
    write("heard", side.moment().wall_ms)
    write("over", since_ms, since_ms + 5)
    assert len(side.manager._book) == 2
    side.pass_time(3)
    assert {each.device: each.reason for each in side.history()} == {
        "heard": None,
        "over": "stopped",
        "missed": "timeout",
    }
    assert side.heartbeat("heard", 1)
    assert len(side.history()) == 3


def test_grace_after_a_restart_and_a_stall(side: Side, clock: SimClock) -> None:
    """A manager that was down, or stood still, closes nobody before three intervals of its own are over."""
    side.permit("tv", 1)
    clock.advance(3_600 * NS_PER_S)
    side.restart()
    side.pass_time(SILENCE_S)
    assert side.live()
    clock.advance(3_600 * NS_PER_S)
    side.pass_time(SILENCE_S)
    assert side.live()
    side.pass_time(2)
    assert not side.live()


def test_heartbeats_are_stored_in_batches(side: Side) -> None:
    """A heartbeat writes nothing; a batch is stored after some seconds, and a crash costs that much."""
    side.permit("tv", 1)
    side.pass_time(6)
    changes = side.connection.connection.driver_connection.total_changes
    side.heartbeat("tv", 1, 10)
    assert side.connection.connection.driver_connection.total_changes == changes
    side.pass_time(rules.SAVE_EVERY_NS // NS_PER_S)
    assert side.connection.connection.driver_connection.total_changes == changes + 1
    side.heartbeat("tv", 1, 20)
    assert side.history()[0].packets == 20
    side.restart()
    assert side.history()[0].packets == 10


def test_old_heartbeat_says_less(side: Side, clock: SimClock) -> None:
    """A heartbeat that was relayed late counts from when it came, and changes nothing that is newer."""
    side.permit("tv", 1)
    side.pass_time(20)
    side.heartbeat("tv", 1, 50)
    side.heartbeat("tv", 1, 40, age_s=15)
    (row,) = side.history()
    assert (row.packets, row.seen_ms) == (50, clock.wall_ns() // 1_000_000)
    side.pass_time(10)
    side.heartbeat("tv", 1, 60, age_s=8)
    assert side.history()[0].seen_ms == row.seen_ms + 2_000


def test_heartbeat_of_before_the_end_begins_nothing(side: Side) -> None:
    """One that was relayed late, and came before the stop, is no sign that the device receives again."""
    side.permit("tv", 1)
    side.end(End("tv", 1, "stopped"))
    side.pass_time(2 * HEARTBEAT_MS // 1_000)
    assert not side.heartbeat("tv", 1, age_s=2 * HEARTBEAT_MS // 1_000 + 5)
    assert not side.heartbeat("tv", 1, age_s=HEARTBEAT_MS // 1_000 + 5)
    assert side.heartbeat("tv", 1, age_s=1)


def test_undone_reception_touches_no_other(side: Side) -> None:
    """A reception whose work was rolled back is nobody's: its number is another's by then."""
    with side.connection.begin() as work:
        side.manager.permit(side.connection, Seen("lost", 1, "news", (900,)), side.moment())
        work.rollback()
    side.manager.on_undone()
    side.permit("tv", 1, 7)
    (row,) = side.history()
    for _ in range(2 * SILENCE_S):
        side.pass_time(1)
        side.heartbeat("tv", 1, 5)
    (after,) = side.history()
    assert (after.number, after.last_epoch, after.is_live) == (row.number, 7, True)
    assert len(side.manager._book) == 1


def test_repeated_stop_finds_its_reception(side: Side) -> None:
    """A stop whose answer was lost gets the same reception again, for a minute; another reason does not."""
    side.permit("tv", 1)
    end = End("tv", 1, "stopped", epoch=3, packets=9, last_index=8)
    (first,) = side.end(end)
    assert (first.last_epoch, first.packets, first.last_index) == (3, 9, 8)
    assert side.end(end) == [first]
    assert side.end(End("tv", 1, "removed")) == []
    side.pass_time(STOPPED_LATELY_MS // 1_000 + 1)
    assert side.end(end) == []


def test_two_managers_share_a_database(side: Side, clock: SimClock) -> None:
    """What one records the other knows at once; heartbeats that move over keep a reception alive."""
    other = Side(side.engine, clock)
    side.permit("tv", 1, 4)
    other.permit("tv", 1, 5)
    (row,) = other.history()
    assert (row.first_epoch, row.last_epoch) == (4, 5)
    for _ in range(8):
        for _ in range(10):
            clock.advance(NS_PER_S)
            assert side.tick() + other.tick() == 0
        assert other.heartbeat("tv", 1)
    other.end(End("tv", 1, "stopped"))
    assert not side.heartbeat("tv", 1)
    side.permit("tv", 1)
    assert len(other.live()) == 1
    for _ in range(SILENCE_S + 2):
        clock.advance(NS_PER_S)
        side.tick()
        other.tick()
    assert [each.reason for each in other.history()] == ["timeout", "stopped"]
    other.connection.close()


def test_pages_and_counts(side: Side) -> None:
    """Lists go from the newest to the oldest in pages, by channel and device; live ones are counted."""
    for number in range(25):
        side.permit(f"tv-{number:02}", 1 + number % 2)
    side.end(End("tv-00", 1, "stopped"))
    with side.connection.begin():
        page = side.manager.page(side.connection, Page(limit=10))
        assert [each.number for each in page] == list(range(25, 15, -1))
        behind = side.manager.page(side.connection, Page(limit=100, before=page[-1].number))
        assert [each.number for each in behind] == list(range(15, 1, -1))
        ones = side.manager.page(side.connection, Page(limit=100, channel=1, history=True))
        assert len(ones) == 13
        assert len(side.manager.page(side.connection, Page(limit=100, device="tv-03"))) == 1
        assert (count_live(side.connection, None), count_live(side.connection, 1)) == (24, 12)


def test_work_of_one_tick_is_bounded(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storing, reading and expiring go on over as many ticks as they need, each with its share."""
    for name in ("SAVED_AT_ONCE_MAX", "EXPIRED_AT_ONCE_MAX", "READ_AT_ONCE_MAX"):
        monkeypatch.setattr(rules, name, 3)
    for number in range(10):
        side.permit(f"tv-{number}", 1)
    side.restart()
    side.pass_time(SILENCE_S)
    assert len(side.live()) == 10
    expired = []
    for _ in range(10):
        side.clock.advance(NS_PER_S)
        expired.append(side.tick())
    assert sum(expired) == 10
    assert max(expired) == 3
    assert not side.live()
