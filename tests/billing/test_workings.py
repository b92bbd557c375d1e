"""Workings: each line of a bill says how units and prices come to its amount."""

import pytest

from sealcast.billing.periods import Period
from sealcast.billing.rating import LineKey, Span, rate
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.timeline import Assignment, timelines
from sealcast.billing.usage import UsageEvent
from sealcast.billing.workings import explain

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
PERIOD = Period(0, 28 * DAY_MS)
GB = 1_000_000_000


def workings(
    *prices: Price, code: str = "EUR", days: int = 28, period: Period = PERIOD,
    billed: dict[LineKey, int] | None = None, size: int = 12_345_678, **limits: int,
) -> list[str]:  # fmt: skip
    """Return what the lines of a period say: one epoch of 90 minutes, with 1,000 packets."""
    tariff = Tariff("t", (TariffVersion(code, 0, prices, **limits),))  # type: ignore[arg-type]
    timeline = timelines([Assignment(0, "t")], "TV", {"t": tariff})[0]
    usage = [UsageEvent("1", 0, 90 * 60_000, size, 1_000)]
    rated = rate(
        tariff, period, [Span(0, days * DAY_MS)], usage,
        until_ms=28 * DAY_MS, billed_minor=billed or {}, is_final=True,
    )  # fmt: skip
    return [explain(line, rated, timeline) for line in rated.lines]


def one(quantity: Quantity, *steps: Step, mode: Mode = Mode.GRADUATED, free: int = 0) -> Price:
    """Return a price."""
    return Price("p", quantity, steps, mode, free)


@pytest.mark.parametrize(
    ("price", "text"),
    [
        (one(Quantity.PERIODS, Step(9_990_000)), "9.99 a period, for 14 d of 28 d = 4.995, rounded 5.00"),
        (one(Quantity.BYTES, Step(100_000, GB)),
         "12,345,678 bytes at 0.10 per 1,000,000,000 = 0.001235, rounded 0.00"),
        (one(Quantity.BYTES, Step(100_000, 1_000_000), free=12_000_000),
         "12,000,000 bytes free, 345,678 bytes at 0.10 per 1,000,000 = 0.034568, rounded 0.03"),
        (one(Quantity.BYTES, Step(1, GB), free=GB), "12,345,678 bytes free = 0.00"),
        (one(Quantity.RECEIVED_MS, Step(200_000, HOUR_MS)), "1 h 30 min at 0.20 per 1 h = 0.30"),
        (one(Quantity.SUBSCRIBED_MS, Step(10_000, DAY_MS)), "14 d at 0.01 per 1 d = 0.14"),
        (one(Quantity.EPOCHS, Step(500_000)), "1 key epoch at 0.50 each = 0.50"),
        (one(Quantity.PACKETS, Step(100_000, 100, 300), Step(50_000, 100)),
         "300 packets at 0.10 per 100, 700 packets at 0.05 per 100 = 0.65"),
        (one(Quantity.PACKETS, Step(100_000, 100, 300), Step(50_000, 100), mode=Mode.VOLUME),
         "1,000 packets at 0.05 per 100 = 0.50"),
    ],
)  # fmt: skip
def test_a_line_says_how_it_comes_about(price: Price, text: str) -> None:
    """Units, prices, free units, steps, proration and rounding, with no digit left out."""
    assert workings(price, days=14) == [text]


def test_whole_periods_and_subscriptions() -> None:
    """Where nothing is prorated nothing is said of it; a yen has no decimals."""
    assert workings(one(Quantity.PERIODS, Step(9_990_000))) == ["9.99 for the whole period"]
    run = Period(0, None, is_run=True)
    assert workings(one(Quantity.PERIODS, Step(10**8)), period=run, code="JPY") == [
        "100 for the whole subscription"
    ]


def test_what_is_not_there() -> None:
    """No bytes, and a line of an earlier bill that nothing is left of."""
    assert workings(one(Quantity.BYTES, Step(1)), size=0) == ["no bytes"]
    billed = {LineKey(0, "old"): 7, LineKey(9, "p"): 7}
    told = workings(one(Quantity.BYTES, Step(1)), size=0, billed=billed)
    assert told == ["charged no more", "no bytes", "charged no more"]


def test_tax_minimum_and_cap() -> None:
    """What is on top of prices: 19 % of 12.34 is 2.3446; limits say what they are."""
    flat = one(Quantity.PERIODS, Step(12_340_000))
    assert workings(flat, tax_ppm=190_000)[-1] == "19 % of 12.34 = 2.3446, rounded 2.34"
    assert workings(flat, tax_ppm=77_777)[-1] == "7.7777 % of 12.34 = 0.95976818, rounded 0.96"
    low = workings(flat, minimum_micro=15_000_000)
    assert low[0] == "up to 15.00 for a whole period, the least that one costs"
    assert workings(flat, cap_micro=10_000_000)[0] == "down to 10.00, the most that a period costs"


def test_after_a_price_change_units_go_on() -> None:
    """What was used at the old price stands in front of the new one's."""
    price = one(Quantity.PACKETS, Step(100_000, 1, 10), Step(50_000), free=5)
    tariff = Tariff("t", tuple(TariffVersion("EUR", at, (price,)) for at in (0, 400)))
    timeline = timelines([Assignment(0, "t")], "TV", {"t": tariff})[0]
    usage = [UsageEvent("1", 0, 1, 0, 8), UsageEvent("2", 500, 501, 0, 10)]
    rated = rate(tariff, Period(0, 900), [], usage, until_ms=900, billed_minor={}, is_final=True)
    assert [explain(line, rated, timeline) for line in rated.lines] == [
        "5 packets free, 3 packets at 0.10 each = 0.30",
        "after 8 packets at earlier prices: 7 packets at 0.10 each, 3 packets at 0.05 each = 0.85",
    ]
