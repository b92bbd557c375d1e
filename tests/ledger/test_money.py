"""Money: currencies with 0, 2, 3 and 4 decimals, amounts read and written, rounding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import UsageError
from sealcast.ledger.money import AMOUNT_MICRO_MAX, currency, format_micro, parse_amount

CODES = st.sampled_from(["JPY", "EUR", "KWD", "CLF"])


@pytest.mark.parametrize(("code", "decimals"), [("JPY", 0), ("EUR", 2), ("KWD", 3), ("CLF", 4)])
def test_decimals(code: str, decimals: int) -> None:
    """A currency has the decimals of its minor unit by ISO 4217."""
    assert currency(code).decimals == decimals
    assert currency(code).micro_per_minor == 10 ** (6 - decimals)


@pytest.mark.parametrize("code", ["", "eur", "EURO", "XXQ", "XAU", "XTS"])
def test_no_currency(code: str) -> None:
    """A code that is none, or of which nothing is paid, is refused."""
    with pytest.raises(UsageError):
        currency(code)


@pytest.mark.parametrize(
    ("code", "micro", "minor"),
    [
        ("JPY", 499_999, 0), ("JPY", 500_000, 1), ("JPY", -500_000, -1), ("JPY", 1_499_999, 1),
        ("EUR", 4_999, 0), ("EUR", 5_000, 1), ("EUR", -5_000, -1), ("EUR", 1_005_000, 101),
        ("KWD", 500, 1), ("KWD", 499, 0), ("CLF", 50, 1),
    ],
)  # fmt: skip
def test_half_a_coin_goes_away_from_zero(code: str, micro: int, minor: int) -> None:
    """Amounts are rounded to the nearest coin."""
    assert currency(code).round_micro(micro) == minor


@given(CODES, st.integers(-AMOUNT_MICRO_MAX, AMOUNT_MICRO_MAX))
def test_no_more_than_half_a_coin_is_lost(code: str, micro: int) -> None:
    """What is rounded lies within half a coin, and is written with the currency's decimals."""
    coin = currency(code)
    minor = coin.round_micro(micro)
    assert abs(minor * coin.micro_per_minor - micro) * 2 <= coin.micro_per_minor
    assert parse_amount(coin.format_minor(minor)) == minor * coin.micro_per_minor
    assert len(coin.format_minor(minor).partition(".")[2]) == coin.decimals


@given(st.integers(-AMOUNT_MICRO_MAX, AMOUNT_MICRO_MAX))
def test_text_and_back(micro: int) -> None:
    """Every amount is read as it was written."""
    assert parse_amount(format_micro(micro)) == micro


@pytest.mark.parametrize(
    "text", ["", "1,00", "1.", ".5", "1e3", "0.0000001", "--1", "\u0661", "1" * 16, "nan", " 1"]
)
def test_what_is_no_amount(text: str) -> None:
    """Anything else is refused, absurd sums too."""
    with pytest.raises(UsageError):
        parse_amount(text)
