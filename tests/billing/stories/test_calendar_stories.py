"""Stories of the calendar, each with its arithmetic: leap days, clock changes, far zones, odd anchor days."""

import pytest

from billing.world import DAY_MS, HOUR_MS, MINUTE_MS, World, at, by, cycle, flat
from sealcast.billing.periods import PeriodKind
from sealcast.billing.tariffs import Quantity

DAILY = PeriodKind.DAILY


@pytest.mark.parametrize(
    ("year", "price", "days", "cents"),
    [
        # 15 to 29 February 2024 are 15 days of 29: 29.00 x 15 / 29 = 15.00.
        (2024, "29", 15, 1_500),
        # 15 to 28 February 2026 are 14 days of 28: 28.00 x 14 / 28 = 14.00.
        (2026, "28", 14, 1_400),
        # 2100 is no leap year: 14 days of 28, though 2100 divides by 4.
        (2100, "28", 14, 1_400),
    ],
)
def test_leap_day(year: int, price: str, days: int, cents: int) -> None:
    """A February is prorated by the days that it has."""
    world = World(cycle())
    world.tariff("basic", flat(price))
    world.assign("basic")
    world.subscribe(at(f"{year}-02-15T00:00Z"))
    march = at(f"{year}-03-01T00:00Z")
    assert march - at(f"{year}-02-15T00:00Z") == days * DAY_MS
    assert world.due(march + world.settle_ms - 1) == []
    assert world.due(march + world.settle_ms) == [cents]


def test_on_the_leap_day_itself() -> None:
    """Subscribed on 29 February alone: 29.00 x 1 / 29 = 1.00, asked for at once."""
    world = World(cycle())
    world.tariff("basic", flat("29"))
    world.assign("basic")
    world.subscribe(at("2024-02-29T00:00Z"))
    world.leave(at("2024-03-01T00:00Z"))
    assert world.due(at("2024-03-01T00:00Z")) == [100]
    assert world.due(at("2024-04-01T01:00Z")) == []


@pytest.mark.parametrize(
    ("price", "since", "end", "cents"),
    [
        # March 2026 in Berlin: 31 days less the hour that is jumped over, 743 h. From Sunday the 29th, when
        # clocks jump, to its end there are 23 + 24 + 24 = 71 h: 7.43 x 71 / 743 = 0.71.
        ("7.43", "2026-03-29T00:00+01:00", "2026-04-01T00:00+02:00", 71),
        # October 2026: 745 h. From Sunday the 25th, which has 25 h, there are 25 + 6 x 24 = 169: 1.69.
        ("7.45", "2026-10-25T00:00+02:00", "2026-11-01T00:00+01:00", 169),
    ],
)
def test_clock_changes_in_a_month(price: str, since: str, end: str, cents: int) -> None:
    """The denominator is what really passes in the month."""
    world = World(cycle(zone="Europe/Berlin"))
    world.tariff("basic", flat(price))
    world.assign("basic")
    world.subscribe(at(since))
    assert world.due(at(end) - 1) == []
    assert world.due(at(end) + world.settle_ms) == [cents]


def test_days_of_23_and_25_hours() -> None:
    """At 0.01 an hour of reception, days in Berlin cost 0.23 and 0.25 when clocks change, else 0.24."""
    world = World(cycle(DAILY, zone="Europe/Berlin"), lifetime_ms=HOUR_MS)
    world.tariff("hours", by(Quantity.RECEIVED_MS, "0.01", HOUR_MS))
    world.assign("hours")
    bills = {}
    for day, following in (("2026-03-28", 29), ("2026-03-29", 30), ("2026-10-24", 25), ("2026-10-25", 26)):
        zone = "+02:00" if day in {"2026-10-24", "2026-10-25"} else "+01:00"
        after = "+01:00" if day in {"2026-03-28", "2026-10-25"} else "+02:00"
        start, end = at(f"{day}T00:00{zone}"), at(f"{day[:8]}{following}T00:00{after}")
        world.subscribe(start)
        epoch = len(bills) + 1
        world.on_air(epoch, start, end)
        world.grant(start, epoch)
        world.leave(end)
        world.erase(end, epoch)
        bills[day] = world.due(end + world.settle_ms)
    # The epoch over the jump in March is on air from 00:00 to 24:00 on the wall: 23 hours.
    assert bills == {"2026-03-28": [24], "2026-03-29": [23], "2026-10-24": [24], "2026-10-25": [25]}


@pytest.mark.parametrize(
    ("zone", "midnight"),
    [
        ("Pacific/Kiritimati", "2026-06-30T10:00Z"),  # UTC+14: July begins there fourteen hours early
        ("Pacific/Pago_Pago", "2026-07-01T11:00Z"),  # UTC-11: and eleven hours late
    ],
)
def test_far_zones_have_one_bill_a_month(zone: str, midnight: str) -> None:
    """Closed every hour through all midnights of the world, June has one bill, over the customer's June.

    On air from 10 minutes before midnight there to 10 minutes after it, 2,000,000 bytes at 1.00 a million:
    half of them in June, 1.00, the other half in July. June's 30 days at 30.00 from the 16th on: 15.00.
    """
    world = World(cycle(zone=zone), lifetime_ms=HOUR_MS)
    world.tariff("basic", flat("30"), by(Quantity.BYTES, "1", 1_000_000))
    world.assign("basic")
    change = at(midnight)
    world.subscribe(change - 15 * DAY_MS)
    world.on_air(1, change - 10 * MINUTE_MS, change + 10 * MINUTE_MS, 2_000_000)
    world.grant(change - 9 * MINUTE_MS, 1)
    bills = {hour: world.due(change + hour * HOUR_MS) for hour in range(-40, 41)}
    assert {hour: due for hour, due in bills.items() if due} == {1: [1_600]}
    assert [line.period.start_ms for line in world.lines()] == [change - 30 * DAY_MS] * 2
    assert world.due(change + 31 * DAY_MS + HOUR_MS) == [3_100]


def test_a_date_that_was_left_out() -> None:
    """Samoa had no 30 December 2011: by the day at 1.00, the last week of that year costs 6.00."""
    world = World(cycle(DAILY, zone="Pacific/Apia"))
    world.tariff("basic", flat("1"))
    world.assign("basic")
    world.subscribe(at("2011-12-25T00:00-10:00"))
    world.leave(at("2012-01-01T00:00+14:00"))
    bills = [world.due(at("2011-12-25T00:00-10:00") + hour * HOUR_MS) for hour in range(24 * 9)]
    assert [due for due in bills if due] == [[100]] * 6


def test_anchor_day_31() -> None:
    """Months from the 31st begin on the last day of shorter ones: 31 January, 28 February, 31 March.

    28 days, 31 and 30: whoever was subscribed all the time pays 9.00 for each. From 14 February on there are
    14 of the 28 days up to the 28th: 4.50.
    """
    world = World(cycle(day=31))
    world.tariff("basic", flat("9"))
    world.assign("basic")
    world.subscribe(at("2026-01-31T00:00Z"))
    world.subscribe(at("2026-02-14T00:00Z"), "PC")
    bills = [world.due(at("2026-01-31T00:01Z") + day * DAY_MS) for day in range(90)]
    assert [due for due in bills if due] == [[900 + 450], [1_800], [1_800]]
    starts = sorted({line.period.start_ms for line in world.lines()})
    assert starts == [at("2026-01-31T00:00Z"), at("2026-02-28T00:00Z"), at("2026-03-31T00:00Z")]


def test_subscribed_and_withdrawn_in_the_same_second() -> None:
    """Half a second of June at 30.00 is 0.0000058, so nothing; the key granted meanwhile is 0.50."""
    world = World(cycle())
    world.tariff("basic", flat("30"), by(Quantity.EPOCHS, "0.50"))
    world.assign("basic")
    noon = at("2026-06-10T12:00Z")
    world.on_air(1, noon - MINUTE_MS, noon + 9 * MINUTE_MS)
    world.subscribe(noon + 200)
    world.grant(noon + 400, 1)
    world.leave(noon + 700)
    world.erase(noon + 700, 1)
    # The epoch was on air as the statement came: the bill waits until it is settled.
    assert world.due(noon + MINUTE_MS) == []
    assert world.due(noon + 10 * MINUTE_MS) == [50]
    assert world.due(at("2026-07-01T01:00Z")) == []


@pytest.mark.parametrize("kind", [PeriodKind.MONTHLY, PeriodKind.CLOSING])
def test_subscribed_and_withdrawn_in_the_same_millisecond(kind: PeriodKind) -> None:
    """No time was subscribed; what was granted meanwhile is charged, also where only the end makes a bill."""
    world = World(cycle(kind))
    world.tariff("basic", flat("30"), by(Quantity.EPOCHS, "0.50"))
    world.assign("basic")
    noon = at("2026-06-10T12:00Z")
    world.on_air(1, noon, noon + MINUTE_MS)
    world.subscribe(noon)
    world.grant(noon, 1)
    world.leave(noon)
    assert world.due(noon + HOUR_MS) == [50]
    assert world.due(noon + 40 * DAY_MS) == []
