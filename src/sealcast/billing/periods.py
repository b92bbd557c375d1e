"""Owns billing periods: half-open spans between midnights of the customer's time zone.

```
cycle "monthly, anchor 31, Europe/Berlin"   31 Jan │ 28 Feb │ 31 Mar │ 30 Apr │ …   each at 00:00 there
```
A day begins with its first instant: where clocks jump over midnight, or a date is left out, that is the jump.
Instants are UTC ms; lengths are what really passes, 23 or 25 hours on the days when clocks change.
"""

import calendar
import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sealcast.core.errors import UsageError

MONTH_DAY_MAX, WEEK_DAY_MAX = 31, 7
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)

FIRST_MS = 0
LAST_MS = 253_370_764_800_000
"""From 1970 to 9999-01-01: calendars beyond are not ours to say."""


class PeriodKind(StrEnum):
    """How often a customer gets a bill; with `CLOSING` once, when the subscription ends."""

    MONTHLY = "monthly"
    WEEKLY = "weekly"
    DAILY = "daily"
    CLOSING = "closing"


@dataclass(frozen=True, slots=True)
class Period:
    """A span of time, `start_ms` ≤ t < `end_ms`; `end_ms` is None if nothing has ended it yet.

    One that `is_run` was ended by the customer and not by the calendar: nothing is prorated by its length.
    """

    start_ms: int
    end_ms: int | None
    is_run: bool = False

    @property
    def length_ms(self) -> int | None:
        """How long all of it lasts: the denominator of every proration. None if there is no such."""
        return None if self.end_ms is None or self.is_run else self.end_ms - self.start_ms

    def overlap_ms(self, start_ms: int, end_ms: int) -> int:
        """Return how much of a span lies in the period."""
        last = end_ms if self.end_ms is None else min(end_ms, self.end_ms)
        return max(0, last - max(start_ms, self.start_ms))


@dataclass(frozen=True, slots=True)
class BillingCycle:
    """When periods begin: on `anchor_day` of month (1 to 31) or week (1 is Monday), at midnight in `zone`.

    A month without that day begins on its last. Raises UsageError for a day or a zone that does not exist.
    """

    kind: PeriodKind
    zone: str = "UTC"
    anchor_day: int = 1

    def __post_init__(self) -> None:
        limit = {PeriodKind.MONTHLY: MONTH_DAY_MAX, PeriodKind.WEEKLY: WEEK_DAY_MAX}.get(self.kind, 1)
        if not 1 <= self.anchor_day <= limit:
            raise UsageError(f"the anchor day of a {self.kind} period lies between 1 and {limit}")
        zone_of(self.zone)

    def period_at(self, instant_ms: int) -> Period:
        """Return the period in which an instant lies; raises UsageError outside of 1970 to 9998."""
        if not FIRST_MS <= instant_ms < LAST_MS:
            raise UsageError("an instant of a bill lies between the years 1970 and 9998")
        if self.kind is PeriodKind.CLOSING:
            return Period(FIRST_MS, None)
        zone = zone_of(self.zone)
        day = (_EPOCH + instant_ms * _MS).astimezone(zone).date()
        first = self._first_day(day)
        after = self._day_after(first)
        # Where a date is left out, the periods around it share one instant; none of them is empty then.
        return Period(_begin_ms(first, zone), _begin_ms(after, zone))

    def _first_day(self, day: dt.date) -> dt.date:
        if self.kind is PeriodKind.DAILY:
            return day
        if self.kind is PeriodKind.WEEKLY:
            return day - dt.timedelta(days=(day.isoweekday() - self.anchor_day) % 7)
        first = _day_of_month(day.year, day.month, self.anchor_day)
        if first <= day:
            return first
        before = day.replace(day=1) - dt.timedelta(days=1)
        return _day_of_month(before.year, before.month, self.anchor_day)

    def _day_after(self, first: dt.date) -> dt.date:
        if self.kind is PeriodKind.DAILY:
            return first + dt.timedelta(days=1)
        if self.kind is PeriodKind.WEEKLY:
            return first + dt.timedelta(days=7)
        month = first.replace(day=1) + dt.timedelta(days=MONTH_DAY_MAX)
        return _day_of_month(month.year, month.month, self.anchor_day)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone of the IANA database; raises UsageError if it has none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError(f"no time zone is called {name[:40]!r}; write for instance Asia/Tokyo") from error


def format_instant(instant_ms: int) -> str:
    """Return an instant as ISO 8601 writes it, in UTC: `2026-03-01T00:00:00Z`; ms if it has any."""
    instant = _EPOCH + instant_ms * _MS
    return instant.isoformat(timespec="milliseconds" if instant_ms % 1_000 else "seconds")[:-6] + "Z"


def _day_of_month(year: int, month: int, anchor_day: int) -> dt.date:
    return dt.date(year, month, min(anchor_day, calendar.monthrange(year, month)[1]))


def _begin_ms(day: dt.date, zone: ZoneInfo) -> int:
    """Return the first instant of a day: the earlier of two midnights, or the jump over it (`fold` 0)."""
    midnight = dt.datetime.combine(day, dt.time(), tzinfo=zone)
    return (midnight.astimezone(dt.UTC) - _EPOCH) // _MS
