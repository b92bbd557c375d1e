"""Rating: charges by every quantity, and bills that add up however usage comes and however they are split."""

import random
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.periods import BillingCycle, Period, PeriodKind
from sealcast.billing.rating import LIMIT, TAX, LineKey, Rated, Span, merge_spans, rate
from sealcast.billing.tariffs import Mode, Price, Quantity, Step, Tariff, TariffVersion
from sealcast.billing.usage import UsageEvent, split_event, unique
from sealcast.core.errors import LocalError, UsageError
from sealcast.ledger.money import currency

PERIOD = Period(0, 1_000_000)
WHOLE = [Span(0)]


def tariff(*prices: Price, code: str = "EUR", **more: object) -> Tariff:
    """Return a tariff of one version, valid for ever."""
    return Tariff("t", (TariffVersion(code, 0, prices, **more),))  # type: ignore[arg-type]


def flat(micro: int) -> Price:
    """Return a price of a whole period."""
    return Price("flat", Quantity.PERIODS, (Step(micro),))


def by(quantity: Quantity, micro: int, per: int = 1, free: int = 0) -> Price:
    """Return a price of one step."""
    return Price(str(quantity), quantity, (Step(micro, per),), free=free)


def event(number: int, start_ms: int, end_ms: int, **amounts: int) -> UsageEvent:
    """Return the usage of one epoch."""
    return UsageEvent(f"e{number}", start_ms, end_ms, **amounts)


def bill(
    of: Tariff, events: Iterable[UsageEvent], *, until: int = 1_000_000, spans: Sequence[Span] = WHOLE,
    billed: dict[LineKey, int] | None = None, period: Period = PERIOD, is_final: bool = True,
) -> Rated:  # fmt: skip
    """Return one bill."""
    return rate(of, period, spans, events, until_ms=until, billed_minor=billed or {}, is_final=is_final)


def due(of: Tariff, *events: UsageEvent, **more: object) -> int:
    """Return what one bill of a period asks for."""
    return bill(of, events, **more).due_minor  # type: ignore[arg-type]


def test_each_quantity() -> None:
    """Time, bytes, packets, epochs and the period itself are charged at once."""
    everything = tariff(
        flat(5_000_000),  # 5.00
        by(Quantity.SUBSCRIBED_MS, 1_000_000, 1_000_000),  # 1.00 for the period's 1,000 s
        by(Quantity.RECEIVED_MS, 2_000_000, 10_000),  # 10 s on air: 2.00
        by(Quantity.BYTES, 100_000, 1_000_000),  # 3 MB at 0.10: 0.30
        by(Quantity.PACKETS, 10_000, 100),  # 300 packets at 0.01 a hundred: 0.03
        by(Quantity.EPOCHS, 500_000),  # 0.50
    )
    rated = bill(everything, [event(1, 0, 10_000, bytes=3_000_000, packets=300)])
    assert [line.due_minor for line in rated.lines] == [30, 50, 500, 3, 200, 100]
    assert rated.due_minor == 883


@pytest.mark.parametrize(
    ("units", "graduated", "volume"),
    [
        (0, 0, 0),
        (10, 0, 0),  # the free ones
        (11, 5, 5),
        (20, 50, 50),  # 10 at 5
        (21, 53, 33),  # graduated: 10 at 5 and 1 at 3; by volume: 11 at 3
        (30, 80, 60),  # 10 at 5 and 10 at 3; 20 at 3
        (31, 81, 21),  # and 1 at 1; 21 at 1
    ],
)
def test_steps(units: int, graduated: int, volume: int) -> None:
    """Graduated and volume steps, behind a free allowance, at their edges."""
    steps = (Step(5, 1, 10), Step(3, 1, 20), Step(1))
    for mode, costs in ((Mode.GRADUATED, graduated), (Mode.VOLUME, volume)):
        assert Price("p", Quantity.PACKETS, steps, mode, free=10).charge_micro(units) == costs


def test_proration_is_by_the_full_period() -> None:
    """Who was subscribed for 42 of 91 days pays 42/91 of a flat price, whatever else happened."""
    period = Period(0, 91 * 86_400_000)
    spans = [Span(49 * 86_400_000)]
    assert due(tariff(flat(91_000_000)), spans=spans, period=period, until=period.end_ms) == 4_200


def test_minimum_and_cap() -> None:
    """A minimum is asked for at the end, prorated; a cap at every moment."""
    low = tariff(by(Quantity.EPOCHS, 10_000), minimum_micro=2_000_000)
    assert due(low, event(1, 0, 10), is_final=False) == 1
    assert due(low, event(1, 0, 10)) == 200
    assert due(low, event(1, 0, 10), spans=[Span(500_000)]) == 100
    high = tariff(by(Quantity.EPOCHS, 10_000), cap_micro=25_000)
    assert due(high, *(event(number, number, number) for number in range(9)), is_final=False) == 3
    assert bill(high, [event(number, number, number) for number in range(9)]).lines[-1].key.name in {
        LIMIT,
        "epochs",
    }


def test_tax_is_one_line_on_all_others() -> None:
    """19 % of 10.01 are 1.90."""
    rated = bill(tariff(flat(10_010_000), tax_ppm=190_000), [])
    assert [(line.key.name, line.due_minor) for line in rated.lines] == [("flat", 1_001), (TAX, 190)]


def test_a_price_change_inside_a_period_and_an_epoch() -> None:
    """Bytes and time are split by time, the epoch takes the price at its start."""
    prices = lambda micro: (by(Quantity.BYTES, micro, 1_000), by(Quantity.EPOCHS, micro * 10))  # noqa: E731 - two forms
    changing = Tariff(
        "t", (TariffVersion("EUR", 0, prices(10_000)), TariffVersion("EUR", 400, prices(20_000)))
    )
    # On air from 0 to 1,000 ms with 10,000 bytes: 4,000 of them at 0.01 a thousand, 6,000 at 0.02.
    # 0.04 + 0.12 for bytes, 0.10 for the epoch that began before the change.
    rated = bill(changing, [event(1, 0, 1_000, bytes=10_000)])
    assert {(line.key.valid_from_ms, line.key.name): line.due_minor for line in rated.lines} == {
        (0, "bytes"): 4, (0, "epochs"): 10, (400, "bytes"): 12, (400, "epochs"): 0,
    }  # fmt: skip


def test_usage_over_the_edge_of_a_period_is_shared() -> None:
    """The halves of an epoch on either side of midnight are billed on either side, and add up."""
    prices = tariff(by(Quantity.BYTES, 1_000_000, 1_000))
    long = event(1, 999_000, 1_003_000, bytes=4_001)
    halves = [due(prices, long), due(prices, long, period=Period(1_000_000, 2_000_000), until=2_000_000)]
    assert halves == [100, 300]
    assert sum(part.bytes for _, part in split_event(long, [1_000_000])) == 4_001


@given(
    st.sampled_from(["JPY", "EUR", "KWD"]),
    st.lists(st.tuples(st.integers(0, 999_999), st.integers(0, 5_000), st.integers(0, 10**9)), max_size=12),
    st.integers(0, 10**6),
    st.integers(0, 3),
)
def test_order_repetition_and_delay_change_nothing(
    code: str, facts: list[tuple[int, int, int]], price: int, repeats: int
) -> None:
    """Any permutation and duplication of events gives the same bill, and lines sum to its total."""
    prices = tariff(
        by(Quantity.BYTES, price, 1_000_000), by(Quantity.RECEIVED_MS, price, 977), code=code, tax_ppm=77_000
    )
    events = [
        event(number, start, start + length, bytes=size) for number, (start, length, size) in enumerate(facts)
    ]
    told = events * (repeats + 1)
    random.Random(price).shuffle(told)  # noqa: S311 - an order, no secret
    once, again = bill(prices, events), bill(prices, told)
    assert once == again
    assert once.due_minor == sum(line.due_minor for line in again.lines)


@given(
    st.sampled_from(["JPY", "EUR", "KWD"]),
    st.lists(st.tuples(st.integers(0, 999_999), st.integers(0, 10**9)), max_size=12),
    st.lists(st.integers(1, 999_999), max_size=4),
    st.integers(0, 10**8),
    st.booleans(),
)
def test_several_bills_of_a_period_add_up_to_one(
    code: str,
    facts: list[tuple[int, int]],
    until: list[int],
    micro: int,
    is_limited: bool,  # noqa: FBT001 - hypothesis gives it by place
) -> None:
    """However a period is split into bills, and whatever comes late, the sum is that of one bill."""
    limits: dict[str, object] = {"minimum_micro": 10**6, "cap_micro": 10**7} if is_limited else {}
    prices = tariff(flat(micro), by(Quantity.BYTES, 3_333, 1_000), code=code, tax_ppm=81_000, **limits)
    events = [event(number, start, start + 100, bytes=size) for number, (start, size) in enumerate(facts)]
    billed: dict[LineKey, int] = {}
    total = 0
    for end in (*sorted(until), 1_000_000):
        known = [each for each in events if each.start_ms <= end // 2 or end == 1_000_000]
        rated = bill(prices, known, until=end, billed=billed, is_final=end == 1_000_000)
        total += rated.due_minor
        for line in rated.lines:
            billed[line.key] = billed.get(line.key, 0) + line.due_minor
    assert total == bill(prices, events).due_minor


def test_a_hundred_yen_in_three_bills() -> None:
    """¥100 a period, billed after each third of it: 33, 34 and 33, not 99."""
    yen, billed, bills = tariff(flat(100_000_000), code="JPY"), {}, []  # type: ignore[var-annotated]
    for until in (333_333, 666_667, 1_000_000):
        rated = bill(yen, [], until=until, billed=billed, is_final=until == 1_000_000)
        bills.append(rated.due_minor)
        billed = {line.key: line.cumulative_minor for line in rated.lines}
    assert (bills, sum(bills)) == ([33, 34, 33], 100)
    assert currency("JPY").format_minor(sum(bills)) == "100"


def test_usage_that_turns_out_not_to_be_is_paid_back() -> None:
    """A line that was billed and has nothing left comes with what is paid back."""
    prices = tariff(by(Quantity.EPOCHS, 1_000_000))
    first = bill(prices, [event(1, 0, 10)], is_final=False)
    later = bill(prices, [], billed={line.key: line.cumulative_minor for line in first.lines}, spans=[])
    assert (first.due_minor, later.due_minor) == (100, -100)


def test_subscribed_twice_is_subscribed_once() -> None:
    """Spans that overlap or touch are one."""
    spans = [Span(5, 9), Span(0, 3), Span(3, 4), Span(8, None), Span(2, 2)]
    assert merge_spans(spans, 0, 20) == ((0, 4), (5, 20))


def test_subscribed_and_withdrawn_in_the_same_second() -> None:
    """Nothing of the period is charged, and an epoch that was granted meanwhile is."""
    of = tariff(flat(30_000_000), by(Quantity.EPOCHS, 1_000_000))
    assert due(of, spans=[Span(500, 500)]) == 0
    assert due(of, event(1, 500, 600), spans=[Span(500, 500)]) == 100


def test_a_closing_period_charges_the_whole_flat_price() -> None:
    """Billed at the end of the subscription alone, there is no period to prorate by."""
    period = BillingCycle(PeriodKind.CLOSING).period_at(0)
    assert due(tariff(flat(7_000_000)), period=period, until=5_000, spans=[Span(0, 5_000)]) == 700


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Price("", Quantity.BYTES, (Step(1),)),
        lambda: Price("p", Quantity.BYTES, ()),
        lambda: Price("p", Quantity.BYTES, (Step(-1),)),
        lambda: Price("p", Quantity.BYTES, (Step(1, 0),)),
        lambda: Price("p", Quantity.BYTES, (Step(1, 1, 5),)),
        lambda: Price("p", Quantity.BYTES, (Step(1, 1, 5), Step(1, 1, 5), Step(1))),
        lambda: Price("p", Quantity.BYTES, (Step(1), Step(1))),
        lambda: Price("p", Quantity.BYTES, (Step(10**19),)),
        lambda: Price("p", Quantity.BYTES, (Step(1),), free=-1),
        lambda: Price("p", Quantity.PERIODS, (Step(1),), free=1),
        lambda: TariffVersion("EUR", 0, ()),
        lambda: TariffVersion("XXQ", 0, (flat(1),)),
        lambda: TariffVersion("EUR", -1, (flat(1),)),
        lambda: TariffVersion("EUR", 5, (flat(1),), valid_until_ms=5),
        lambda: TariffVersion("EUR", 0, (flat(1), flat(2))),
        lambda: TariffVersion("EUR", 0, (flat(1),), tax_ppm=-1),
        lambda: TariffVersion("EUR", 0, (flat(1),), tax_ppm=1_000_001),
        lambda: TariffVersion("EUR", 0, (flat(1),), minimum_micro=-1),
        lambda: TariffVersion("EUR", 0, (flat(1),), minimum_micro=2, cap_micro=1),
        lambda: Tariff("t", ()),
        lambda: Tariff("t", (TariffVersion("EUR", 5, (flat(1),)), TariffVersion("EUR", 5, (flat(2),)))),
        lambda: Tariff("t", (TariffVersion("EUR", 0, (flat(1),), 9), TariffVersion("EUR", 5, (flat(2),)))),
        lambda: Tariff("t", (TariffVersion("EUR", 0, (flat(1),)), TariffVersion("JPY", 5, (flat(2),)))),
    ],
)  # fmt: skip
def test_absurd_tariffs_are_refused(wrong: object) -> None:
    """Amounts below 0, steps that fall, validities that overlap, unknown currencies: a clear no."""
    with pytest.raises(UsageError):
        wrong()  # type: ignore[operator]


def test_two_facts_under_one_id_are_a_fault() -> None:
    """Nobody bills what contradicts itself."""
    with pytest.raises(LocalError):
        unique([event(1, 0, 10), event(1, 0, 11)])
