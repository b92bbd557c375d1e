"""Settlement: what is shared adds up to the last micro-unit, in whatever order and pieces it was billed."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.billing.contracts import Contract, fit
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.settlement import Billed, Due, Month, cuts, months, settle, share_out
from sealcast.billing.tariffs import Quantity
from sealcast.core.errors import LocalError, RefusedError
from sealcast.ledger.money import currency

MONTH = Month(1_000, 2_000, 1_000)
CODES = ("EUR", "JPY", "KWD")
"""2, 0 and 3 decimals."""

EXAMPLES = 50
"""Each makes a dozen contracts that fit together."""

UNITS = (None, Quantity.BYTES, Quantity.EPOCHS)
HALF = Contract(1, "one", 1, "EUR", 0, share_parts=1, share_of=2)


@st.composite
def all_contracts(draw: st.DrawFn) -> tuple[Contract, ...]:
    """Return contracts that fit together, on two channels, in force for all or a part of the month."""
    known: list[Contract] = []
    for number in range(1, draw(st.integers(1, 9))):
        from_ms = draw(st.integers(800, 1_900))
        of = draw(st.integers(1, 7) | st.just(1_000_000))
        unit = draw(st.sampled_from(UNITS))
        new = Contract(
            number,
            broadcaster=draw(st.sampled_from(["one", "two", "three"])),
            channel=draw(st.integers(1, 2)),
            currency=draw(st.sampled_from(CODES)),
            from_ms=from_ms,
            until_ms=draw(st.none() | st.integers(from_ms + 1, 2_200)),
            share_parts=draw(st.integers(0, of)),
            share_of=of,
            unit=unit,
            unit_price_micro=draw(st.integers(1, 10**7)) if unit else 0,
            unit_per=draw(st.integers(1, 10**9)),
            minimum_micro=draw(st.integers(1, 10**8)),
        )
        subject = new.channel, new.currency
        try:
            ended = fit([each for each in known if (each.channel, each.currency) == subject], new)
        except RefusedError:
            continue
        known = [replace(each, until_ms=from_ms) if each is ended else each for each in known]
        known.append(new)
    return tuple(known)


LINES = st.lists(
    st.builds(
        Billed,
        channel=st.integers(1, 3),
        currency=st.sampled_from(CODES),
        at_ms=st.integers(900, 2_100),
        quantity=st.sampled_from(["bytes", "epochs", None]),
        units=st.integers(-(10**12), 10**12),
        minor=st.integers(-(10**9), 10**9),
    ),
    max_size=12,
)


def billed_micro(lines: Sequence[Billed], channel: int, code: str, start_ms: int, end_ms: int) -> int:
    """Return what was billed of a subject in a span."""
    return currency(code).micro_per_minor * sum(
        line.minor
        for line in lines
        if (line.channel, line.currency) == (channel, code) and start_ms <= line.at_ms < end_ms
    )


@settings(max_examples=EXAMPLES)
@given(all_contracts(), LINES)
def test_shares_and_the_operators_rest_are_all(contracts: tuple[Contract, ...], lines: list[Billed]) -> None:
    """Of each piece of a month, what broadcasters and the operator get is what was billed, exactly.

    Everybody's part is right to less than a micro-unit, the operator's too.
    """
    given_out = {due.contract.number: due.share_micro for due in settle(contracts, lines, MONTH)}
    for channel, code in {(each.channel, each.currency) for each in contracts}:
        own = [each for each in contracts if (each.channel, each.currency) == (channel, code)]
        starts = cuts(own, MONTH)
        for start_ms, end_ms in zip(starts, (*starts[1:], MONTH.end_ms), strict=True):
            sharing = [each for each in own if each.is_in_force(start_ms)]
            amount = billed_micro(lines, channel, code, start_ms, end_ms)
            parts, rest = share_out(amount, sharing)
            assert sum(parts) + rest == amount
            assert abs(rest - amount * (1 - sum(each.share for each in sharing))) < 1
            for each, part in zip(sharing, parts, strict=True):
                assert abs(part - amount * each.share) < 1
                given_out[each.number] -= part
    assert set(given_out.values()) <= {0}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=7), LINES)
def test_all_is_given_away(weights: list[int], lines: list[Billed]) -> None:
    """Where broadcasters have all of a channel among them, their shares add up to what was billed."""
    whole = sum(weights)
    contracts = [
        replace(HALF, number=number, broadcaster=f"b{number}", share_parts=weight, share_of=whole)
        for number, weight in enumerate(weights, 1)
    ]
    dues = settle(contracts, lines, MONTH)
    assert sum(due.share_micro for due in dues) == billed_micro(lines, 1, "EUR", 1_000, 2_000)


@settings(max_examples=EXAMPLES)
@given(all_contracts(), LINES, st.integers(0, 2**32))
def test_order_and_splitting_are_nothing(
    contracts: tuple[Contract, ...], lines: list[Billed], seed: int
) -> None:
    """The lines of a month in another order, each cut in two, and contracts in another order: the same."""
    chance = random.Random(seed)  # noqa: S311 - the same cases each time
    pieces = []
    for line in lines:
        units, minor = chance.randint(-(10**12), 10**12), chance.randint(-(10**9), 10**9)
        pieces.append(replace(line, units=units, minor=minor))
        pieces.append(replace(line, units=line.units - units, minor=line.minor - minor))
    chance.shuffle(pieces)
    shuffled = list(contracts)
    chance.shuffle(shuffled)
    assert settle(shuffled, pieces, MONTH) == settle(contracts, lines, MONTH)


@settings(max_examples=EXAMPLES)
@given(all_contracts(), LINES)
def test_never_below_the_minimum(contracts: tuple[Contract, ...], lines: list[Billed]) -> None:
    """What a month itself brought is the minimum's part at least; a credit is taken off that, not lost."""
    for due in settle(contracts, lines, MONTH):
        part = due.contract.overlap_ms(1_000, 2_000)
        least = due.contract.minimum_micro * part / 1_000
        brought = due.share_micro + due.units_micro
        assert due.amount_micro == brought + due.minimum_micro
        assert max(0, brought) + due.minimum_micro >= least - 1
        assert due.minimum_micro <= least + 1
        assert due.minimum_micro == 0 or max(0, brought) + due.minimum_micro <= least + 1


def test_more_than_all_is_a_fault() -> None:
    """Contracts that cannot be on record together are not settled."""
    with pytest.raises(LocalError, match="more than all"):
        share_out(1, [HALF, HALF, HALF])


def due_of(contracts: Sequence[Contract], *lines: Billed) -> tuple[Due, ...]:
    """Return what is due of the month."""
    return settle(contracts, lines, MONTH)


def test_what_is_not_the_contracts_own() -> None:
    """Other channels, currencies, quantities, and instants outside of month and contract do not count."""
    contract = replace(HALF, unit=Quantity.BYTES, unit_price_micro=1, from_ms=1_100, until_ms=1_900)
    line = Billed(1, "EUR", 1_500, "bytes", 10, 100)
    (due,) = due_of([contract], line)
    assert (due.billed_micro, due.share_micro, due.units_micro) == (1_000_000, 500_000, 10)
    for change in (
        {"channel": 2},
        {"currency": "JPY"},
        {"at_ms": 999},
        {"at_ms": 1_099},
        {"at_ms": 1_900},
        {"at_ms": 2_000},
    ):
        (due,) = due_of([contract], replace(line, **change))  # type: ignore[arg-type]
        assert due.amount_micro == 0, change
    (due,) = due_of([contract], replace(line, quantity="epochs"))
    assert (due.share_micro, due.units) == (500_000, 0)


UTC = BillingCycle(PeriodKind.MONTHLY)
BERLIN = BillingCycle(PeriodKind.MONTHLY, "Europe/Berlin")
DAY_MS = 86_400_000
JAN, FEB, MAR, APR = (day * DAY_MS for day in (20_454, 20_485, 20_513, 20_544))
"""The first of January, February, March and April 2026, midnight UTC."""


def spans(
    contracts: Sequence[Contract], settled_ms: int, now_ms: int, cycle: BillingCycle = UTC
) -> list[object]:
    """Return begin and end of the months that are due."""
    return [(month.start_ms, month.end_ms) for month in months(contracts, settled_ms, now_ms, cycle)]


def test_months_that_are_over() -> None:
    """Each month in which a contract is in force gets a statement once it is over, and never another."""
    contract = replace(HALF, from_ms=JAN + 15 * DAY_MS)
    assert spans([], 0, APR) == []
    assert spans([contract], 0, FEB - 1) == []
    assert spans([contract], 0, FEB) == [(JAN, FEB)]
    assert spans([contract], 0, APR) == [(JAN, FEB), (FEB, MAR), (MAR, APR)]
    assert spans([contract], MAR, APR) == [(MAR, APR)]
    assert spans([contract], APR, APR) == []
    # In February it was not in force.
    gap = [replace(contract, until_ms=FEB), replace(contract, number=2, from_ms=MAR)]
    assert spans(gap, 0, APR) == [(JAN, FEB), (MAR, APR)]
    # One that was ended before it began has no month.
    assert spans([replace(contract, until_ms=contract.from_ms)], 0, APR) == []


def test_an_operator_that_moves() -> None:
    """In another time zone the next month begins where the last one ended: no instant is left out."""
    contract = replace(HALF, from_ms=JAN)
    hour_ms = 3_600_000
    # Settled in UTC until 1 March: March in Berlin has begun an hour before that.
    assert spans([contract], MAR, APR, BERLIN) == [(MAR, APR - 2 * hour_ms)]
    # Settled in Berlin until 1 March there: in UTC, an hour of February is left.
    left = list(months([contract], MAR - hour_ms, APR, UTC))
    assert left == [Month(MAR - hour_ms, MAR, 28 * DAY_MS), Month(MAR, APR, 31 * DAY_MS)]
