"""Shows how prices are read and written: each line means one price, and each price has its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.billing.pricelines import (
    format_count,
    format_percent,
    format_price,
    format_rate,
    parse_count,
    parse_percent,
    parse_price,
    parse_rate,
)
from sealcast.billing.tariffs import Mode, Price, Quantity, Step
from sealcast.core.errors import UsageError

LINES = [
    ("Subscription: 9.99 per period", Price("Subscription", Quantity.PERIODS, (Step(9_990_000),))),
    (
        "Data: 0.10 per GB, 5 GB free",
        Price("Data", Quantity.BYTES, (Step(100_000, 10**9),), free=5 * 10**9),
    ),
    ("Data: 1 per 1.5 GiB", Price("Data", Quantity.BYTES, (Step(1_000_000, 3 << 29),))),
    ("Viewing: 0.02 per minute", Price("Viewing", Quantity.RECEIVED_MS, (Step(20_000, 60_000),))),
    (
        "Viewing: 0.02 per 15 minutes received, 2 hours free",
        Price("Viewing", Quantity.RECEIVED_MS, (Step(20_000, 900_000),), free=7_200_000),
    ),
    (
        "Access: 0.5 per day subscribed, 1 day free",
        Price("Access", Quantity.SUBSCRIBED_MS, (Step(500_000, 86_400_000),), free=86_400_000),
    ),
    (
        "Packets: 0.000001 per 1000 packets",
        Price("Packets", Quantity.PACKETS, (Step(1, 1_000),)),
    ),
    ("Keys: 0 per epoch, 10 epochs free", Price("Keys", Quantity.EPOCHS, (Step(0),), free=10)),
    ("at night: Data: 3 per kB", Price("at night: Data", Quantity.BYTES, (Step(3_000_000, 1_000),))),
]


@pytest.mark.parametrize(("line", "price"), LINES, ids=[line for line, _ in LINES])
def test_lines(line: str, price: Price) -> None:
    """Each line is read as its price, and what is written of it is read as the same."""
    assert parse_price(line) == price
    assert parse_price(format_price(price)) == price


NO_LINES = [
    ("", "not a price"),
    ("9.99 per period", "not a price"),
    ("Data 0.10 per GB", "not a price"),
    ("Data:", "not a price"),
    ("Data: 0.10", "not a price"),
    ("Data: 0.10 a GB", "not a price"),
    ("Data: -0.10 per GB", "a price is 0 or more"),
    ("Data: 0,10 per GB", "not a price"),
    ("Data: ten per GB", "not an amount"),
    ("Data: 0.0000001 per GB", "6 decimals at most"),
    ("Data: 0.10 per Gb", "not units: 'Gb'; there are period, ms, second"),
    ("Data: 0.10 per 0 GB", "no whole number"),
    ("Data: 0.10 per 0.5 byte", "no whole number"),
    ("Data: 0.10 per 9999999999 TB", "or none that there is"),
    ("Data: 0.10 per GB subscribed", "only time is subscribed"),
    ("Data: 0.10 per GB, 5 GB", "not free units"),
    ("Data: 0.10 per GB, 5 packets free", "are not bytes"),
    ("Data: 0.10 per GB, 5 GB free, 6 GB free", "not a price"),
    ("Viewing: 0.10 per hour, 1 day subscribed free", "are not time, which"),
    ("Access: 0.10 per hour subscribed, 1 day received free", "are not time subscribed"),
    ("Subscription: 9.99 per 2 periods", "for one period"),
    (": 1 per GB", "1 to 64 characters"),
    ("Subscription: 9.99 per period, 1 period free", "neither steps nor free units"),
]


@pytest.mark.parametrize(("line", "why"), NO_LINES, ids=[line for line, _ in NO_LINES])
def test_what_is_no_line(line: str, why: str) -> None:
    """Each mistake is told in one line."""
    with pytest.raises(UsageError) as refused:
        parse_price(line)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_steps_in_words() -> None:
    """A price of several steps is told with all of them, for people."""
    steps = (Step(100_000, 10**9, 10**11), Step(50_000, 10**9, 10**12), Step(20_000, 10**9))
    price = Price("Data", Quantity.BYTES, steps, Mode.VOLUME, 5 * 10**9)
    assert format_price(price) == (
        "Data: 0.1 per GB; 0.05 per GB above 100 GB; 0.02 per GB above 1 TB, 5 GB free"
        " (all units at the price of the last step reached)"
    )


def test_per_cent() -> None:
    """A rate of tax is read with up to four decimals, with or without its sign."""
    assert [parse_percent(text) for text in ("19", "7.7 %", "0", "0.0001%", "100")] == [
        190_000,
        77_000,
        0,
        1,
        1_000_000,
    ]
    for ppm in (0, 1, 190_000, 77_000, 1_000_000):
        assert parse_percent(format_percent(ppm)) == ppm
    for text in ("", "-1", "19,5", "0.00001", "nineteen"):
        with pytest.raises(UsageError, match="not per cent"):
            parse_percent(text)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([each for each in Quantity if each is not Quantity.PERIODS]),
    st.integers(0, 10**12),
    st.integers(1, 10**18),
)
def test_whatever_is_written_is_read(quantity: Quantity, price_micro: int, count: int) -> None:
    """Any number of any units, and any price for it, is written so that it is read as the same."""
    assert parse_count(format_count(quantity, count), quantity) == count
    assert parse_rate(format_rate(quantity, Step(price_micro, count))) == (quantity, Step(price_micro, count))
