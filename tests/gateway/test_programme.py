"""Shows which programme starts when: by zone and weekday, over midnight and where the clocks change."""

import datetime as dt
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from sealcast.gateway.programme import Agenda, Programme, clashes, instant_ms

BERLIN = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def at(text: str) -> int:
    """Return an instant in ms since 1970."""
    return instant_ms(dt.datetime.fromisoformat(text))


def daily(hour: int, minute: int = 0, **fields: object) -> Programme:
    """Return a programme of each day in Berlin."""
    values = {"where": f"{hour}:{minute}", "channel": "news", "content": "x.ts", "zone": BERLIN, **fields}
    return Programme(daily=dt.time(hour, minute), **values)


def once(text: str, **fields: object) -> Programme:
    """Return a programme of one instant."""
    values = {"where": text, "channel": "news", "content": "x.ts", "zone": BERLIN, **fields}
    return Programme(once=dt.datetime.fromisoformat(text), **values)


def starts(programme: Programme, begin: str, end: str) -> list[str]:
    """Return when it starts, by the clocks of Berlin."""
    found = Agenda([programme]).showings(at(begin), at(end))
    return [each.local_start.isoformat(timespec="minutes") for each in found]


def test_a_local_time_keeps_its_hour_over_a_change_of_the_clocks() -> None:
    """20:00 is 20:00 in winter and in summer; the days between are 23 and 25 hours long."""
    spring = starts(daily(20), "2026-03-28T00:00Z", "2026-03-31T00:00Z")
    assert spring == ["2026-03-28T20:00+01:00", "2026-03-29T20:00+02:00", "2026-03-30T20:00+02:00"]
    autumn = starts(daily(20), "2026-10-24T00:00Z", "2026-10-26T00:00Z")
    assert autumn == ["2026-10-24T20:00+02:00", "2026-10-25T20:00+01:00"]


def test_a_time_that_the_clocks_skip_starts_as_long_after_midnight() -> None:
    """02:30 does not exist on 2026-03-29: the clocks say 03:30 when it starts, once."""
    found = starts(daily(2, 30), "2026-03-28T12:00Z", "2026-03-30T12:00Z")
    assert found == ["2026-03-29T03:30+02:00", "2026-03-30T02:30+02:00"]


def test_a_time_that_comes_twice_starts_the_first_time() -> None:
    """02:30 comes twice on 2026-10-25: in summer time it starts, an hour later it does not again."""
    found = starts(daily(2, 30), "2026-10-24T12:00Z", "2026-10-26T00:00Z")
    assert found == ["2026-10-25T02:30+02:00"]


def test_weekdays_are_those_of_the_zone() -> None:
    """Sunday 00:30 in Berlin is Saturday in UTC."""
    programme = daily(0, 30, days=frozenset({6}))
    assert starts(programme, "2026-11-20T00:00Z", "2026-12-01T00:00Z") == [
        "2026-11-22T00:30+01:00",
        "2026-11-29T00:30+01:00",
    ]


def test_what_began_before_midnight_runs_after_it() -> None:
    """At 00:10 the programme of 23:30 is on, and ends when it should."""
    agenda = Agenda([daily(23, 30, duration_ms=HOUR_MS), daily(6)])
    showing = agenda.now_or_next(at("2026-11-23T00:10+01:00"))
    assert showing is not None
    assert showing.local_start.isoformat(timespec="minutes") == "2026-11-22T23:30+01:00"
    assert showing.end_ms == at("2026-11-23T00:30+01:00")
    later = agenda.now_or_next(at("2026-11-23T00:31+01:00"))
    assert later is not None
    assert later.start_ms == at("2026-11-23T06:00+01:00")


def test_a_programme_ends_with_its_length_or_the_next_one() -> None:
    """Whichever comes first; one that may finish is not cut off."""
    agenda = Agenda([daily(20, duration_ms=3 * HOUR_MS), daily(21), daily(22, overrun="finish")])
    ends = [each.end_ms for each in agenda.showings(at("2026-11-22T00:00Z"), at("2026-11-23T00:00Z"))]
    assert ends == [at("2026-11-22T21:00+01:00"), at("2026-11-22T22:00+01:00"), None]


def test_after_the_last_one_there_is_nothing() -> None:
    """What starts once is over for good; what is far ahead is found."""
    agenda = Agenda([once("2026-11-22T20:00+01:00", duration_ms=1), once("2027-06-01T08:00+02:00")])
    first = agenda.now_or_next(at("2026-11-22T21:00+01:00"))
    assert first is not None
    assert first.start_ms == at("2027-06-01T08:00+02:00")
    assert agenda.next_after(first.start_ms) is None


def test_two_at_once_on_a_channel_clash() -> None:
    """Also where one is of each day and the other has an offset; on two channels they do not."""
    programmes = [daily(20), once("2026-11-23T19:00+00:00"), daily(20, channel="film")]
    found = clashes(programmes, at("2026-11-22T00:00Z"), at("2026-11-25T00:00Z"))
    assert [(one.programme.where, other.programme.where) for one, other in found] == [
        ("20:0", "2026-11-23T19:00+00:00")
    ]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"])
def test_each_day_of_a_year_has_one_start(zone: str) -> None:
    """Whatever the clocks do, and at whichever time: 365 starts, each later than the one before."""
    for hour in range(0, 24, 3):
        programme = daily(hour, 17, zone=ZoneInfo(zone))
        begin = at("2026-01-01T12:00Z")
        found = list(programme.starts_ms(begin, begin + 365 * DAY_MS))
        assert len(found) == 365
        assert all(0.9 * DAY_MS < later - one < 1.1 * DAY_MS for one, later in pairwise(found))
