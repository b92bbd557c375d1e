"""Billing periods in the customer's time zone: anchor days, leap days, clock changes, odd zones."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.periods import LAST_MS, BillingCycle, Period, PeriodKind
from sealcast.core.errors import UsageError

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Apia",
    "Asia/Beirut", "America/Sao_Paulo", "Australia/Lord_Howe", "Atlantic/Azores", "Asia/Kathmandu",
]  # fmt: skip


def ms(text: str) -> int:
    """Return the UTC ms of an instant in ISO 8601."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1000)


def weekly(anchor_day: int) -> BillingCycle:
    """Return a weekly cycle in UTC."""
    return BillingCycle(PeriodKind.WEEKLY, "UTC", anchor_day)


def daily(zone: str) -> BillingCycle:
    """Return a daily cycle."""
    return BillingCycle(PeriodKind.DAILY, zone)


def monthly(anchor_day: int, zone: str = "UTC") -> BillingCycle:
    """Return a monthly cycle."""
    return BillingCycle(PeriodKind.MONTHLY, zone, anchor_day)


@pytest.mark.parametrize(
    ("cycle", "instant", "start", "end"),
    [
        # Anchor day 31 begins on the last day of shorter months, and comes back to 31.
        (monthly(31), "2023-02-10T00:00Z", "2023-01-31T00:00Z", "2023-02-28T00:00Z"),
        (monthly(31), "2024-02-29T00:00Z", "2024-02-29T00:00Z", "2024-03-31T00:00Z"),
        (monthly(31), "2024-04-29T23:59Z", "2024-03-31T00:00Z", "2024-04-30T00:00Z"),
        # Leap day: February has 29 days, from the 15th to the 15th of March there are 29 of them.
        (monthly(15), "2024-02-20T12:00Z", "2024-02-15T00:00Z", "2024-03-15T00:00Z"),
        # Over the new year.
        (monthly(5), "2025-01-04T23:59Z", "2024-12-05T00:00Z", "2025-01-05T00:00Z"),
        # Berlin's March has lost an hour: 31 days less one hour; its October has one more.
        (monthly(1, "Europe/Berlin"), "2026-03-15T00:00Z", "2026-02-28T23:00Z", "2026-03-31T22:00Z"),
        (monthly(1, "Europe/Berlin"), "2026-10-15T00:00Z", "2026-09-30T22:00Z", "2026-10-31T23:00Z"),
        # UTC+14 has its first of the month fourteen hours before Greenwich, UTC-11 eleven after.
        (monthly(1, "Pacific/Kiritimati"), "2026-06-30T10:00Z", "2026-06-30T10:00Z", "2026-07-31T10:00Z"),
        (monthly(1, "Pacific/Pago_Pago"), "2026-07-01T10:59Z", "2026-06-01T11:00Z", "2026-07-01T11:00Z"),
        # Weeks begin on their day.
        (weekly(1), "2026-11-22T23:00Z", "2026-11-16T00:00Z", "2026-11-23T00:00Z"),
        (weekly(7), "2026-11-22T00:00Z", "2026-11-22T00:00Z", "2026-11-29T00:00Z"),
        # In Beirut clocks jump over midnight: the day begins at one in the morning, and has 23 hours.
        (daily("Asia/Beirut"), "2022-03-27T12:00Z", "2022-03-26T22:00Z", "2022-03-27T21:00Z"),
        # Samoa left out 30 December 2011: the 29th ends where the 31st begins.
        (daily("Pacific/Apia"), "2011-12-30T09:59Z", "2011-12-29T10:00Z", "2011-12-30T10:00Z"),
        (daily("Pacific/Apia"), "2011-12-30T10:00Z", "2011-12-30T10:00Z", "2011-12-31T10:00Z"),
    ],
)  # fmt: skip
def test_periods(cycle: BillingCycle, instant: str, start: str, end: str) -> None:
    """Each instant lies in the period that the calendar on the customer's wall shows."""
    period = cycle.period_at(ms(instant))
    assert (period.start_ms, period.end_ms) == (ms(start), ms(end))


@pytest.mark.parametrize(
    ("month", "hours"), [("2026-03-15", 31 * 24 - 1), ("2026-10-15", 31 * 24 + 1), ("2024-02-15", 29 * 24)]
)
def test_the_denominator_is_what_really_passes(month: str, hours: int) -> None:
    """A month with a clock change is an hour shorter or longer, a leap February a day longer."""
    assert monthly(1, "Europe/Berlin").period_at(ms(f"{month}T00:00Z")).length_ms == hours * HOUR_MS


@given(
    st.sampled_from(list(PeriodKind)[:3]),
    st.sampled_from(ZONES),
    st.integers(1, 7),
    st.integers(0, ms("2100-01-01T00:00Z")),
)
def test_every_instant_lies_in_one_period(kind: PeriodKind, zone: str, anchor: int, instant: int) -> None:
    """Periods follow each other without gap or overlap, and none is empty."""
    cycle = BillingCycle(kind, zone, anchor if kind is not PeriodKind.DAILY else 1)
    period = cycle.period_at(instant)
    assert period.end_ms is not None
    assert period.start_ms <= instant < period.end_ms
    after = cycle.period_at(period.end_ms)
    assert after.start_ms == period.end_ms
    assert cycle.period_at(period.end_ms - 1) == period


def test_a_closing_period_has_no_end() -> None:
    """It is the subscription that ends it."""
    period = BillingCycle(PeriodKind.CLOSING).period_at(5)
    assert (period.end_ms, period.length_ms) == (None, None)
    assert period.overlap_ms(10, 30) == 20


def test_overlap() -> None:
    """What lies in a period, to the millisecond."""
    spans = ((0, 10), (0, 11), (12, 15), (19, 30), (20, 30))
    assert [Period(10, 20).overlap_ms(*span) for span in spans] == [
        0, 1, 3, 1, 0,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "anchor", "zone"),
    [
        (PeriodKind.MONTHLY, 0, "UTC"),
        (PeriodKind.MONTHLY, 32, "UTC"),
        (PeriodKind.WEEKLY, 8, "UTC"),
        (PeriodKind.DAILY, 2, "UTC"),
        (PeriodKind.MONTHLY, 1, "Europe/Atlantis"),
        (PeriodKind.MONTHLY, 1, "../etc/passwd"),
        (PeriodKind.MONTHLY, 1, ""),
    ],
)
def test_what_is_no_cycle(kind: PeriodKind, anchor: int, zone: str) -> None:
    """Days and zones that do not exist are refused."""
    with pytest.raises(UsageError):
        BillingCycle(kind, zone, anchor)


@pytest.mark.parametrize("instant", [-1, LAST_MS])
def test_instants_that_no_bill_has(instant: int) -> None:
    """Before 1970 and after 9998 there is no bill."""
    with pytest.raises(UsageError):
        monthly(1).period_at(instant)
