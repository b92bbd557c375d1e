"""Settlement told as dated stories, each with its arithmetic."""

import datetime as dt
from collections.abc import Sequence

from sealcast.billing.contracts import Contract
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.settlement import Billed, Due, Month, settle
from sealcast.billing.tariffs import Quantity

NEWS, FILM = 1, 2
BERLIN = BillingCycle(PeriodKind.MONTHLY, "Europe/Berlin")
TOKYO = BillingCycle(PeriodKind.MONTHLY, "Asia/Tokyo")


def at(text: str) -> int:
    """Return an instant in ms since 1970."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000)


def month(text: str, cycle: BillingCycle = BERLIN) -> Month:
    """Return the whole calendar month in which an instant lies."""
    period = cycle.period_at(at(text))
    assert period.end_ms is not None
    return Month(period.start_ms, period.end_ms, period.end_ms - period.start_ms)


def billed(when: str, minor: int, units: int = 0, quantity: str | None = None, code: str = "EUR") -> Billed:
    """Return what an invoice of that instant asked for on the news channel."""
    return Billed(NEWS, code, at(when), quantity, units, minor)


def settled(contracts: Sequence[Contract], of: Month, *lines: Billed) -> list[Due]:
    """Settle a month."""
    return list(settle(contracts, lines, of))


def share(number: int, parts: int, of: int, since: str, **more: object) -> Contract:
    """Return a contract on the news channel."""
    fields = {"currency": "EUR", **more}
    return Contract(number, f"b{number}", NEWS, from_ms=at(since), share_parts=parts, share_of=of, **fields)  # type: ignore[arg-type]


SINCE = "2026-01-01T00:00+01:00"


def test_three_broadcasters_at_one_third() -> None:
    """100.00 EUR among three: 33.333334 to the first, 33.333333 to the others, nothing to the operator.

    100 / 3 = 33.333333 and a third of a micro-unit: one micro-unit is over, and the first has it.
    """
    thirds = [share(n, 1, 3, SINCE) for n in (1, 2, 3)]
    dues = settled(thirds, month("2026-03-10T12:00+01:00"), billed("2026-03-01T00:00+01:00", 10_000))
    assert [due.amount_micro for due in dues] == [33_333_334, 33_333_333, 33_333_333]
    assert dues[0].workings == "1/3 of 100 billed net = 33.333334"


def test_a_third_one_comes_in_mid_month() -> None:
    """Two at a half each until the 16th, three at a third from then on; 60.00 before, 40.00 after.

    60 / 2 = 30 each; 40 / 3 = 13.333333, for the first 13.333334: 43.333334 + 43.333333 + 13.333333 = 100.
    """
    middle = "2026-03-16T00:00+01:00"
    contracts = [
        share(1, 1, 2, SINCE, until_ms=at(middle)),
        share(2, 1, 2, SINCE, until_ms=at(middle)),
        Contract(3, "b1", NEWS, "EUR", at(middle), share_parts=1, share_of=3),
        Contract(4, "b2", NEWS, "EUR", at(middle), share_parts=1, share_of=3),
        Contract(5, "b3", NEWS, "EUR", at(middle), share_parts=1, share_of=3),
    ]
    lines = billed("2026-03-15T23:59:59.999+01:00", 6_000), billed(middle, 4_000)
    dues = settled(contracts, month(middle), *lines)
    assert [due.amount_micro for due in dues] == [30_000_000, 30_000_000, 13_333_334, 13_333_333, 13_333_333]


def test_a_minimum_from_the_16th_on() -> None:
    """A minimum of 310.00 a month in a contract that begins on 16 March in Berlin, where clocks change then.

    March has 31 days less an hour, 743 hours; from the 16th on it is 16 days less an hour, 383 hours:
    310 * 383 / 743 = 159.798116 (118,730 / 743 = 159.798115 7...). Shares bring 70 % of 100.00 = 70.00, so
    89.798116 is added. In April it is 310.00, and 70 % of 1,000.00 is more.
    """
    contract = share(1, 70, 100, "2026-03-16T00:00+01:00", minimum_micro=310_000_000)
    (due,) = settled([contract], month("2026-03-20T00:00+01:00"), billed("2026-03-31T12:00+02:00", 10_000))
    assert (due.share_micro, due.minimum_micro, due.amount_micro) == (70_000_000, 89_798_116, 159_798_116)
    assert due.workings == (
        "70 % of 100 billed net = 70; at least 159.798116, 15 d 23 h of 30 d 23 h at 310 a month"
    )
    (due,) = settled([contract], month("2026-04-20T00:00+02:00"), billed("2026-04-02T12:00+02:00", 100_000))
    assert (due.minimum_micro, due.amount_micro) == (0, 700_000_000)
    assert due.workings == "70 % of 1000 billed net = 700; at least 310"


def test_a_credit_note_in_the_next_month() -> None:
    """Invoices of 100.00 in March; in April 20.00 new and a credit note of 80.00 for March: 60.00 below 0.

    March: 50 % of 100.00 = 50.00. April: 50 % of -60.00 = -30.00, on the broadcaster's account: 20.00 of both
    months, which is 50 % of the 40.00 that were asked for in all.
    """
    contract = share(1, 1, 2, SINCE)
    (march,) = settled([contract], month("2026-03-10T00:00+01:00"), billed("2026-03-01T00:00+01:00", 10_000))
    april = month("2026-04-10T00:00+02:00")
    credit = billed("2026-04-03T00:00+02:00", 2_000), billed("2026-04-05T00:00+02:00", -8_000)
    (due,) = settled([contract], april, *credit)
    assert (march.amount_micro, due.amount_micro) == (50_000_000, -30_000_000)
    assert due.workings == "50 % of -60 billed net = -30"


def test_a_credit_note_and_a_minimum() -> None:
    """The same with a minimum of 10.00: April's is due, and what April takes back of March is taken back.

    March: 50.00 is above 10.00. April: -30.00, and 10.00 for the month itself, which brought less than
    nothing: -20.00. Both: 30.00. Were the minimum of April set off against the credit, it would be lost; were
    the statement lifted to 10.00, the credit would be.
    """
    contract = share(1, 1, 2, SINCE, minimum_micro=10_000_000)
    april = month("2026-04-10T00:00+02:00")
    (due,) = settled([contract], april, billed("2026-04-05T00:00+02:00", -6_000))
    assert (due.share_micro, due.minimum_micro, due.amount_micro) == (-30_000_000, 10_000_000, -20_000_000)


def test_yen() -> None:
    """1,000 yen among 1/3, 1/7 and the operator: yen are shared to the micro-unit, and paid in whole yen.

    1,000 / 3 = 333.333333; 1,000 / 7 = 142.857143 (857142 and 6/7 of a micro-unit, the largest remainder);
    the operator's 11/21 is 523.809524 (523.809523 8...): together 1,000.
    """
    contracts = [share(1, 1, 3, SINCE, currency="JPY"), share(2, 1, 7, SINCE, currency="JPY")]
    lines = [
        billed("2026-03-31T23:59:59+09:00", 1_000, code="JPY"),
        billed("2026-04-01T00:00+09:00", 7, code="JPY"),
    ]
    dues = settled(contracts, month("2026-03-10T00:00+09:00", TOKYO), *lines)
    assert [due.amount_micro for due in dues] == [333_333_333, 142_857_143]
    assert 1_000_000_000 - 333_333_333 - 142_857_143 == 523_809_524


def test_per_key_epoch_and_per_gigabyte() -> None:
    """0.002 for each key epoch and 0.01 for each GB billed, whatever the viewers paid for them.

    4,321 epochs at 0.002 = 8.642. 12,345,678,901 bytes at 0.01 per 1,000,000,000 = 0.123457 (0.123456 789).
    A credit note took 321 epochs back in the same month: 4,000 at 0.002 = 8.00.
    """
    epochs = share(1, 0, 1, SINCE, unit=Quantity.EPOCHS, unit_price_micro=2_000)
    data = share(2, 0, 1, SINCE, unit=Quantity.BYTES, unit_price_micro=10_000, unit_per=10**9)
    march = month("2026-03-10T00:00+01:00")
    lines = [
        billed("2026-03-02T00:00+01:00", 500, 4_321, "epochs"),
        billed("2026-03-02T00:00+01:00", 123, 12_345_678_901, "bytes"),
        billed("2026-03-02T00:00+01:00", 999),
    ]
    one, two = settled([epochs, data], march, *lines)
    assert (one.amount_micro, two.amount_micro) == (8_642_000, 123_457)
    assert one.workings == "4,321 key epochs at 0.002 each = 8.642"
    assert two.workings == "12,345,678,901 bytes at 0.01 per 1,000,000,000 bytes = 0.123457"
    one, _ = settled([epochs, data], march, *lines, billed("2026-03-30T00:00+02:00", -40, -321, "epochs"))
    assert one.amount_micro == 8_000_000


def test_all_three_at_once() -> None:
    """A share, a price per hour subscribed and a minimum in one contract: the minimum is of both together.

    10 % of 50.00 = 5.00; 100 hours at 0.01 = 1.00; at least 8.00, so 2.00 is added.
    """
    contract = share(
        1, 10, 100, SINCE, unit=Quantity.SUBSCRIBED_MS, unit_price_micro=10_000, unit_per=3_600_000,
        minimum_micro=8_000_000,
    )  # fmt: skip
    line = billed("2026-03-02T00:00+01:00", 5_000, 360_000_000, "subscribed-ms")
    (due,) = settled([contract], month("2026-03-10T00:00+01:00"), line)
    assert (due.share_micro, due.units_micro, due.minimum_micro) == (5_000_000, 1_000_000, 2_000_000)
    assert due.workings == "10 % of 50 billed net = 5; 4 d 4 h at 0.01 per 1 h = 1; at least 8"
