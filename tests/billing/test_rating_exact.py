"""Rating's fast way against the plain one, and what goes on over a price change inside a period."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.periods import Period
from sealcast.billing.rating import LIMIT, LineKey, Rated, Span, amounts_between, rate
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.usage import Amounts, Usage, UsageEvent, collect, first_of_turns, split_event, unique

PERIOD = Period(0, 1_000)


def plainly(limits: list[int], events: list[UsageEvent]) -> list[Amounts]:
    """Return what lies between limits by cutting every event to pieces and looking where each piece lies."""
    once = unique(events)
    sums = []
    for first, last in pairwise(limits):
        total = Amounts()
        for event in once:
            for start_ms, part in split_event(event, limits):
                if first <= start_ms < last:
                    total += part
        begun = sum(first <= begin_ms < last for begin_ms in first_of_turns(once))
        sums.append(total + Amounts(epochs=begun))
    return sums


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 60), st.integers(0, 30), st.integers(0, 10**12), st.integers(0, 99), st.integers(0, 5)
    ),
    max_size=20,
)


@given(EVENTS, st.sets(st.integers(0, 100), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_fast_way_is_exact(
    facts: list[tuple[int, int, int, int, int]], edges: set[int], order: random.Random
) -> None:
    """Adding up what reaches over no edge gives what cutting everything to pieces gives, in any order."""
    events = [
        UsageEvent(f"7/{number}/TV", start, start + length, size, packets, f"7/{turn}")
        for number, (start, length, size, packets, turn) in enumerate(facts)
    ]
    told = events + events[:3]
    order.shuffle(told)
    limits = sorted(edges)
    assert amounts_between(limits, collect(told)) == plainly(limits, events)


@given(EVENTS, st.integers(1, 99), st.integers(1, 99))
def test_neighbouring_periods_share_everything(
    facts: list[tuple[int, int, int, int, int]], edge: int, other: int
) -> None:
    """However time is cut into periods, each millisecond, byte, packet and turn lies in exactly one."""
    usage = collect(
        UsageEvent(f"7/{number}/TV", start, start + length, size, packets, f"7/{turn}")
        for number, (start, length, size, packets, turn) in enumerate(facts)
    )
    whole = amounts_between([0, 100], usage)[0]
    parts = Amounts()
    for first, last in pairwise(sorted({0, edge, other, 100})):
        parts += amounts_between([first, last], usage)[0]
    assert parts == whole


def rated(
    tariff: Tariff, *events: UsageEvent, period: Period = PERIOD, spans: tuple[Span, ...] = ()
) -> Rated:
    """Return a whole period's bill."""
    return rate(
        tariff, period, spans or (Span(0, 1_000),), events, until_ms=1_000, billed_minor={}, is_final=True
    )


def test_a_price_change_gives_no_second_allowance() -> None:
    """Of a period 5 packets are free and the next 10 in the first step, whatever versions it has."""
    prices = [
        Price("Data", Quantity.PACKETS, (Step(low, 1, 10), Step(high)), free=5)
        for low, high in ((100_000, 50_000), (200_000, 20_000))
    ]
    tariff = Tariff("t", tuple(TariffVersion("EUR", 400 * at, (prices[at],)) for at in (0, 1)))
    # 8 packets before the change: 5 free, 3 at 0.10. 10 after it: 7 at 0.20, for the first ten paid packets
    # of the period end there, and 3 at 0.02.
    lines = rated(tariff, UsageEvent("a", 0, 10, 0, 8), UsageEvent("b", 500, 510, 0, 10)).lines
    assert [line.due_minor for line in lines] == [30, 146]
    assert [line.charge and line.charge.before for line in lines] == [0, 8]


def test_by_volume_the_step_is_that_of_all_units_so_far() -> None:
    """With 12 packets before a price change, the 10 after it are beyond the 20 of the first step."""
    price = Price("Data", Quantity.PACKETS, (Step(100_000, 1, 20), Step(10_000)), Mode.VOLUME)
    tariff = Tariff("t", tuple(TariffVersion("EUR", at, (price,)) for at in (0, 400)))
    lines = rated(tariff, UsageEvent("a", 0, 10, 0, 12), UsageEvent("b", 500, 510, 0, 10)).lines
    assert [line.due_minor for line in lines] == [120, 10]


def test_a_run_pays_one_flat_price_over_a_price_change() -> None:
    """Billed at the end of the subscription, 400 ms at 10.00 and 600 ms at 20.00 are 4.00 and 12.00."""
    versions = [
        TariffVersion("EUR", at, (Price("Flat", Quantity.PERIODS, (Step(micro),)),))
        for at, micro in ((0, 10_000_000), (400, 20_000_000))
    ]
    run = Period(0, 5_000, is_run=True)
    assert [line.due_minor for line in rated(Tariff("t", tuple(versions)), period=run).lines] == [400, 1_200]


def test_lines_that_are_rounded_up_stay_below_the_cap() -> None:
    """Two lines of 0.005 are rounded to 0.01 each; a cap of 0.01 takes one of them back."""
    prices = tuple(Price(name, Quantity.EPOCHS, (Step(5_000),)) for name in ("a", "b"))
    tariff = Tariff("t", (TariffVersion("EUR", 0, prices, cap_micro=10_000),))
    bill = rated(tariff, UsageEvent("a", 0, 10))
    assert {line.key: line.due_minor for line in bill.lines} == {
        LineKey(0, "a"): 1, LineKey(0, "b"): 1, LineKey(0, LIMIT): -1,
    }  # fmt: skip


@pytest.mark.parametrize("events", [(), (UsageEvent("a", 5, 5, 7),)])
def test_usage_collected_once_is_the_same(events: tuple[UsageEvent, ...]) -> None:
    """Who rates many periods collects once; also nothing, and what has no length."""
    tariff = Tariff("t", (TariffVersion("EUR", 0, (Price("b", Quantity.BYTES, (Step(10**6),)),)),))
    known = collect(events)
    assert isinstance(known, Usage)
    again = rate(
        tariff, PERIOD, (Span(0, 1_000),), known, until_ms=1_000, billed_minor={}, is_final=True
    )  # fmt: skip
    assert again == rated(tariff, *events)
    assert again.due_minor == 100 * sum(event.bytes for event in events)
