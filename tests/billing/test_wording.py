"""Shows how amounts, periods and units read on a bill."""

import pytest

from sealcast.billing import wording


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [(0, 0, "0"), (-7, 0, "-7"), (5, 3, "0.005"), (1234567, 2, "12,345.67"), (-100, 2, "-1.00")],
)
def test_amounts(units: int, decimals: int, text: str) -> None:
    """Amounts have their currency's decimals, commas for people and none for programs."""
    assert wording.amount_text(units, decimals) == text
    assert wording.plain_amount(units, decimals) == text.replace(",", "")


def test_amounts_to_the_micro_unit() -> None:
    """All amounts of a statement have the decimals that the finest of them needs."""
    assert wording.micro_decimals([1_000_000, 2_500_000], 2) == 2
    assert wording.micro_decimals([1_000_000, 2_500_010, 0], 2) == 5
    assert wording.micro_decimals([], 0) == 0
    assert wording.micro_text(-2_500_010, 5) == "-2.50001"


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-03-01T00:00:00+01:00", "2026-04-01T00:00:00+02:00", "1 \u2013 31 March 2026"),
        ("2026-01-31T00:00:00+09:00", "2026-02-28T00:00:00+09:00", "31 January \u2013 27 February 2026"),
        ("2025-12-15T00:00:00+14:00", "2026-01-15T00:00:00+14:00", "15 December 2025 \u2013 14 January 2026"),
        ("2024-02-29T00:00:00Z", "2024-03-01T00:00:00Z", "29 February 2024"),
        (
            "2026-09-06T01:00:00-03:00",
            "2026-09-07T00:00:00-03:00",
            "6 September 2026, 01:00 (UTC-03:00) \u2013 7 September 2026, 00:00 (UTC-03:00)",
        ),
        ("1970-01-01T00:00:00Z", None, "the whole subscription"),
        ("1969-12-31T14:00:00-10:00", None, "the whole subscription"),
        ("2026-03-01T12:30:05Z", None, "from 1 March 2026, 12:30:05 (UTC)"),
        ("soon", "later", "soon \u2013 later"),
    ],
)
def test_periods(start: str, end: str | None, text: str) -> None:
    """A period of whole days reads by its days, another one by its instants."""
    assert wording.period_text(start, end) == text


@pytest.mark.parametrize(
    ("quantity", "units", "text"),
    [
        ("bytes", 1, "1 byte"),
        ("packets", 1_234_567, "1,234,567 packets"),
        ("epochs", 2, "2 key epochs"),
        ("periods", 2_674_800_000, "30 d 23 h"),
        ("received-ms", 90_061_500, "1 d 1 h 1 min 1 s 500 ms"),
        ("subscribed-ms", 0, "0 s"),
        ("subscribed-ms", -1, "-1 ms"),
        (None, 5, ""),
    ],
)
def test_units(quantity: str | None, units: int, text: str) -> None:
    """Units read as what they are, to the millisecond and byte."""
    assert wording.units_text(quantity, units) == text


def test_rates_of_tax() -> None:
    """A rate of tax is shown exactly."""
    assert [wording.percent_text(ppm) for ppm in (190_000, 77_000, 1, 0)] == [
        "19 %",
        "7.7 %",
        "0.0001 %",
        "0 %",
    ]


def test_nothing_hides() -> None:
    """Characters that would turn a line around, end it or hide in it are marked; spaces and joiners stay."""
    assert wording.clean("a\u3000b\u00a0c") == "a b c"
    assert wording.clean("a\u202eb\nc\x00d\u200de") == "a\ufffdb\ufffdc\ufffdd\u200de"
