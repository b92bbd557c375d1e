"""Shows what is recorded of what went on air, over the real desks and simulated time: nothing twice."""

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import IntegrityError

from sealcast.core.ports import NS_PER_MS
from sealcast.messages import operations_billing as operations
from server.airing import LIFETIME_MS, MINUTE_MS, SETTLE_MS, OnAir, on_air, sent

TEN = LIFETIME_MS
TEN_SENT = sent(TEN)


@pytest.fixture
def site() -> Iterator[OnAir]:
    """Give a channel, its sender and two devices."""
    with on_air() as found:
        found.device("TV-1")
        found.device("TV-2")
        yield found


def test_epochs_are_recorded_once_they_have_settled(site: OnAir) -> None:
    """Three of ten minutes, with late-comers and leavers: each pays the epochs that it was granted."""
    site.publish(1, 2, 3)
    site.report(1, "start")
    assert site.fetch("TV-1") == [1, 2]
    site.at(10)
    site.report(2, e1=TEN)
    assert site.record() == 0
    site.pass_ms(SETTLE_MS - 1)
    assert site.record() == 0
    site.pass_ms(1)
    assert site.record() == 1
    assert site.fetch("TV-2") == [2, 3]
    site.at(20)
    site.report(3, e2=TEN)
    site.at(25)
    site.report(3, ended=True, e3=TEN // 2)
    site.at(26)
    assert site.record() == 2
    assert site.record() == 0
    assert site.parts() == [
        (1, 1, 1, "start", 0, 10, *TEN_SENT),
        (2, 1, 2, "schedule", 10, 20, *TEN_SENT),
        (3, 1, 3, "schedule", 20, 25, *sent(TEN // 2)),
    ]
    assert [event.id for event in site.usage("TV-1")] == ["1/1/TV-1", "1/2/TV-1"]
    assert [event.id for event in site.usage("TV-2")] == ["1/2/TV-2", "1/3/TV-2"]
    assert site.usage("TV-2")[0] == (
        "1/2/TV-2",
        site.began_ms + 10 * MINUTE_MS,
        site.began_ms + 20 * MINUTE_MS,
        *TEN_SENT,
        "1/2",
    )
    assert site.usage("nobody") == ()


def test_nobody_pays_for_the_silence_after_a_crash(site: OnAir) -> None:
    """The sender dies after 4 min; another run comes an hour later: four minutes are charged, not 64."""
    site.publish(1, 2)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(4)
    site.report(1, e1=4 * MINUTE_MS)
    site.at(64)
    site.report(2, "start", run=2)
    site.at(65)
    assert site.record() == 1
    assert site.parts() == [(1, 1, 1, "start", 0, 4, *sent(4 * MINUTE_MS))]


def test_a_sender_that_stays_away_is_given_up(site: OnAir) -> None:
    """Nothing heard for ten minutes: recorded up to what was reported, and nobody waits for ever."""
    site.publish(1)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(5)
    site.report(1, e1=4 * MINUTE_MS)
    site.pass_ms(TEN - 1)
    assert site.record() == 0
    site.pass_ms(1)
    assert site.record() == 1
    assert site.parts() == [(1, 1, 1, "start", 0, 4, *sent(4 * MINUTE_MS))]


def test_who_comes_after_an_epoch_was_given_up(site: OnAir) -> None:
    """The sender fell silent: who is granted its key after that pays from the next part on, also in lists."""
    site.publish(1)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(5)
    site.report(1, e1=4 * MINUTE_MS)
    site.at(20)
    assert site.record() == 1
    assert site.fetch("TV-2") == [1]
    assert site.usage("TV-2") == ()
    site.at(21)
    site.report(1, ended=True, e1=TEN)
    site.at(22)
    assert site.record() == 1
    assert [event.id for event in site.usage("TV-1")] == ["1/1/TV-1", "1/1.2/TV-1"]
    assert [event.id for event in site.usage("TV-2")] == ["1/1.2/TV-2"]
    told = site.ask(operations.USAGE_LIST, limit=10).usage
    assert [row.id for row in told] == ["1/1/TV-1", "1/1.2/TV-1", "1/1.2/TV-2"]


def test_what_is_reported_late_is_another_part(site: OnAir) -> None:
    """The last minute of an epoch becomes known after it was recorded: part 2, in the span behind part 1."""
    site.publish(1, 2)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(9)
    site.report(1, e1=9 * MINUTE_MS)
    site.at(10)
    site.report(2)
    site.at(11)
    assert site.record() == 1
    site.report(2, e1=TEN)
    assert site.record() == 1
    site.report(2, e1=TEN)
    site.report(2, e1=5 * MINUTE_MS)
    assert site.record() == 0
    first, second = site.parts()
    assert first == (1, 1, 1, "start", 0, 9, *sent(9 * MINUTE_MS))
    assert second == (1, 2, 1, "start", 9, 10, *sent(MINUTE_MS))
    events = site.usage("TV-1")
    assert [event.id for event in events] == ["1/1/TV-1", "1/1.2/TV-1"]
    assert {event.turn for event in events} == {"1/1"}
    assert sum(event.bytes for event in events) == TEN_SENT[0]


def test_one_who_was_thought_dead_goes_on(site: OnAir) -> None:
    """A sender cut off from the server for a quarter of an hour was on air all the time: the rest is late."""
    site.publish(1, 2)
    site.report(1, "start", e1=0)
    site.fetch("TV-1")
    site.at(11)
    assert site.record() == 1
    site.at(15)
    site.report(1, e1=15 * MINUTE_MS)
    # On air again, it is not settled: no part for each of its reports.
    assert site.record() == 0
    site.at(16)
    site.report(2, e1=16 * MINUTE_MS)
    site.at(17)
    assert site.record() == 1
    assert site.parts() == [
        (1, 1, 1, "start", 0, 0, 0, 0),
        (1, 2, 1, "start", 0, 16, *sent(16 * MINUTE_MS)),
    ]


def test_an_epoch_that_was_over_before_it_was_heard_of(site: OnAir) -> None:
    """On air while the server was away: its bytes and packets count, no time, and no key epoch of its own."""
    site.publish(1, 2, 3)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(14)
    site.report(3, e1=TEN, e2=4 * MINUTE_MS)
    site.at(15)
    assert site.record() == 2
    assert site.parts()[1] == (2, 1, 2, "unreported", 14, 14, *sent(4 * MINUTE_MS))
    assert [event.id for event in site.usage("TV-1")] == ["1/1/TV-1", "1/2/TV-1"]


def test_an_epoch_of_which_nobody_told_for_long(site: OnAir) -> None:
    """The same, told only after later ones were recorded: late, in the turn before it."""
    site.publish(1, 2, 3)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(14)
    site.report(3, e1=TEN)
    site.at(20)
    site.report(3, ended=True)
    site.at(21)
    assert site.record() == 2
    site.report(3, e2=MINUTE_MS)
    assert site.record() == 1
    assert site.record() == 0
    assert site.parts()[2] == (2, 1, 1, "unreported", 14, 14, *sent(MINUTE_MS))


def test_a_skipped_key_is_never_recorded(site: OnAir) -> None:
    """Granted ahead and skipped: no row, no usage; nor for figures of nothing."""
    site.publish(1, 2, 3)
    site.report(1, "start")
    assert site.fetch("TV-1") == [1, 2]
    site.at(10)
    site.report(3, "eviction", e1=TEN, e2=0)
    site.at(20)
    site.report(3, ended=True, e3=TEN)
    site.at(21)
    assert site.record() == 2
    assert site.record() == 0
    assert [event.id for event in site.usage("TV-1")] == ["1/1/TV-1"]


def test_ten_crashes_are_one_turn_for_each_lifetime(site: OnAir) -> None:
    """A sender that starts every six minutes for an hour: ten epochs, six turns."""
    site.publish(*range(1, 11))
    for run in range(1, 11):
        site.at((run - 1) * 6)
        site.report(run, "start", run=run)
        site.fetch("TV-1")
        site.record()
        site.pass_ms(5 * MINUTE_MS)
        site.report(run, run=run, **{f"e{run}": 5 * MINUTE_MS})
    site.at(60)
    site.report(10, run=10, ended=True)
    site.at(61)
    site.record()
    assert [(epoch, turn) for epoch, _, turn, *_ in site.parts()] == [
        (epoch, epoch - 1 + epoch % 2) for epoch in range(1, 11)
    ]
    assert len({event.turn for event in site.usage("TV-1")}) == 5


def test_two_runs_under_one_epoch_are_added_up(site: OnAir) -> None:
    """One dies after four minutes, another goes on for five: both count, the time never beyond the end."""
    site.publish(2)
    site.report(2, "start")
    site.fetch("TV-1")
    site.at(4)
    site.report(2, e2=4 * MINUTE_MS)
    site.report(2, "start", run=2)
    site.at(9)
    site.report(2, run=2, ended=True, e2=6 * MINUTE_MS)
    site.at(10)
    assert site.record() == 1
    assert site.parts() == [(2, 1, 2, "start", 0, 9, *TEN_SENT)]


def test_a_restart_records_nothing_twice(site: OnAir) -> None:
    """What was recorded stays; what was on air goes on; late totals are found by the new process."""
    site.publish(1, 2)
    site.report(1, "start")
    site.fetch("TV-1")
    site.at(10)
    site.report(2, e1=9 * MINUTE_MS)
    site.at(11)
    assert site.record() == 1
    site.restart()
    site.parties = {name: site.guest(party.credential) for name, party in site.parties.items()}
    assert site.record() == 0
    site.report(2, e1=TEN)
    site.restart()
    assert site.record() == 1
    assert site.record() == 0
    assert sum(part[6] for part in site.parts()) == TEN_SENT[0]


def test_a_clock_that_was_set_back(site: OnAir) -> None:
    """An hour back in the middle of an epoch: nothing waits for an hour, nothing ends before it begins."""
    site.publish(1, 2)
    site.report(1, "start")
    site.fetch("TV-1")
    site.pass_ms(TEN)
    site.clock.jump_wall(-60 * MINUTE_MS * NS_PER_MS)
    site.pass_ms(0)
    site.report(2, e1=TEN)
    site.pass_ms(SETTLE_MS)
    assert site.record() == 1
    assert site.parts() == [(1, 1, 1, "start", 0, 0, *TEN_SENT)]
    site.pass_ms(TEN)
    site.report(2, ended=True, e2=TEN)
    site.pass_ms(SETTLE_MS)
    assert site.record() == 1
    recorded = [at_ms for (at_ms,) in site.read("SELECT recorded_at_ms FROM aired ORDER BY number")]
    assert recorded == sorted(recorded)


def test_what_is_recorded_stays(site: OnAir) -> None:
    """The database itself refuses to change or drop a row."""
    site.publish(1)
    site.report(1, "start")
    site.report(1, ended=True, e1=MINUTE_MS)
    site.pass_ms(MINUTE_MS)
    site.record()
    for statement in ("UPDATE aired SET bytes = 0", "DELETE FROM aired"):
        with pytest.raises(IntegrityError, match="append-only"):
            site.look(lambda connection, said=statement: connection.exec_driver_sql(said))
