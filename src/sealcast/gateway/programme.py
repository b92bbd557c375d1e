"""Owns the calendar of a schedule: which programme starts when, and until when it is sent; pure decisions.

A programme starts once, or at a local time each day (or on some weekdays). Local times are those of a zone:
one that the clocks skip in spring (02:30 where 02:00 is followed by 03:00) starts as long after midnight as
on other days, the clocks say 03:30; one that comes twice in autumn starts the first time only.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Change = Literal["at-start", "keep"]
"""Whether the key changes with the first packet of a programme, or goes on over it."""

WithoutKey = Literal["extend", "hold"]
"""What a programme does when its key cannot be had: begin under the key on air, or wait for its own."""

Overrun = Literal["cut", "finish"]
"""What happens to a programme that still runs when the next of its channel starts."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAYS_BACK = 2
"""A programme that started so long ago may still run: the longest is a day, and zones differ by another."""

DAYS_AHEAD_MAX = 9
"""Whatever repeats comes again within a week; the rest is for zones and clocks that change."""

MS_PER_S = 1_000
_ONE_MS = dt.timedelta(milliseconds=1)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Programme:
    """One row of a schedule. `where` is its place in the file, to begin an error with.

    It starts `once`, or `daily` at a local time of `zone` on `days` (0 is Monday).
    """

    where: str
    channel: str
    content: str
    zone: dt.tzinfo
    once: dt.datetime | None = None
    daily: dt.time | None = None
    days: frozenset[int] = frozenset(range(7))
    duration_ms: int | None = None
    lifetime_ms: int | None = None
    change: Change = "at-start"
    without_key: WithoutKey = "extend"
    overrun: Overrun = "cut"
    loop: bool = False
    rate: str | None = None

    def starts_ms(self, from_ms: int, until_ms: int) -> Iterator[int]:
        """Yield when it starts in [`from_ms`, `until_ms`), in ms since 1970, in order."""
        if self.once is not None:
            at_ms = instant_ms(self.once)
            if from_ms <= at_ms < until_ms:
                yield at_ms
            return
        if self.daily is None:
            return
        day = (_local(from_ms, self.zone) - dt.timedelta(days=1)).date()
        last = (_local(until_ms, self.zone) + dt.timedelta(days=1)).date()
        while day <= last:
            if day.weekday() in self.days:
                at_ms = instant_ms(dt.datetime.combine(day, self.daily, self.zone))
                if from_ms <= at_ms < until_ms:
                    yield at_ms
            day += dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Showing:
    """One programme at one time, in ms since 1970; `end_ms` is None where only its content ends it."""

    programme: Programme
    start_ms: int
    end_ms: int | None

    @property
    def local_start(self) -> dt.datetime:
        """When it starts, by its own zone."""
        return _local(self.start_ms, self.programme.zone)


class Agenda:
    """The programmes of one channel, in the order of time."""

    def __init__(self, programmes: Iterable[Programme]) -> None:
        self._programmes = tuple(programmes)

    def showings(self, from_ms: int, until_ms: int) -> list[Showing]:
        """Return what starts in [`from_ms`, `until_ms`), in order."""
        beyond_ms = until_ms + DAYS_AHEAD_MAX * 86_400 * MS_PER_S
        starts = sorted(
            (
                (at_ms, i)
                for i, each in enumerate(self._programmes)
                for at_ms in each.starts_ms(from_ms, beyond_ms)
            ),
        )
        found: list[Showing] = []
        for place, (at_ms, i) in enumerate(starts):
            if at_ms >= until_ms:
                break
            next_ms = next((later for later, _ in starts[place + 1 :] if later > at_ms), None)
            found.append(Showing(self._programmes[i], at_ms, _end_ms(self._programmes[i], at_ms, next_ms)))
        return found

    def now_or_next(self, now_ms: int) -> Showing | None:
        """Return what is to be sent at an instant, else what starts next; None if nothing does any more."""
        earlier = self.showings(now_ms - DAYS_BACK * 86_400 * MS_PER_S, now_ms + 1)
        if earlier and (earlier[-1].end_ms is None or earlier[-1].end_ms > now_ms):
            return earlier[-1]
        return self.next_after(now_ms)

    def next_after(self, start_ms: int) -> Showing | None:
        """Return what starts next after an instant; None if nothing does any more."""
        horizon_ms = start_ms + 1 + DAYS_AHEAD_MAX * 86_400 * MS_PER_S
        last_once = max((instant_ms(each.once) for each in self._programmes if each.once), default=0)
        found = self.showings(start_ms + 1, horizon_ms)
        if not found and last_once >= horizon_ms:
            found = self.showings(horizon_ms, last_once + 1)
        return found[0] if found else None


def instant_ms(local: dt.datetime) -> int:
    """Return an instant in ms since 1970; of a local time that comes twice, the first."""
    return (local - _EPOCH) // _ONE_MS


def clashes(programmes: Iterable[Programme], from_ms: int, until_ms: int) -> list[tuple[Showing, Showing]]:
    """Return pairs that start at the same instant on the same channel in a stretch of time."""
    seen: dict[tuple[str, int], Showing] = {}
    found: list[tuple[Showing, Showing]] = []
    for programme in programmes:
        for at_ms in programme.starts_ms(from_ms, until_ms):
            showing = Showing(programme, at_ms, None)
            before = seen.setdefault((programme.channel, at_ms), showing)
            if before is not showing:
                found.append((before, showing))
    return found


def _end_ms(programme: Programme, start_ms: int, next_ms: int | None) -> int | None:
    ends = [] if programme.duration_ms is None else [start_ms + programme.duration_ms]
    if next_ms is not None and programme.overrun == "cut":
        ends.append(next_ms)
    return min(ends, default=None)


def _local(instant: int, zone: dt.tzinfo) -> dt.datetime:
    return (_EPOCH + instant * _ONE_MS).astimezone(zone)
