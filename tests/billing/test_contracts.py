"""Contracts: what none says, which end each other, and never more than all given away."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.contracts import Contract, check_end, contract_of, fit, share_text, terms_of
from sealcast.billing.tariffs import Quantity
from sealcast.core.errors import RefusedError, UsageError

HALF = Contract(1, "one", 7, "EUR", 1_000, share_parts=1, share_of=2)
"""Of broadcaster one on channel 7, from the first second on."""


def test_terms_there_and_back() -> None:
    """What a contract says as a message makes the same contract."""
    full = replace(
        HALF,
        number=0,
        until_ms=9_000,
        unit=Quantity.BYTES,
        unit_price_micro=5,
        unit_per=1_000,
        minimum_micro=3,
    )
    for contract in (full, replace(HALF, number=0)):
        again = contract_of(terms_of(contract, "news"), 7, contract.from_ms, contract.until_ms)
        assert again == contract


WRONG = [
    ({"share_parts": 3}, "between 0 and 100 %"),
    ({"share_parts": -1}, "between 0 and 100 %"),
    ({"share_of": 0, "share_parts": 0}, "between 0 and 100 %"),
    ({"share_of": 1_000_001}, "between 0 and 100 %"),
    ({"share_parts": 0}, "this one gives nothing"),
    ({"unit": Quantity.BYTES}, "names the unit and is above 0"),
    ({"unit_price_micro": 5}, "names the unit and is above 0"),
    ({"unit": Quantity.BYTES, "unit_price_micro": -5}, "from 0 on"),
    ({"unit": Quantity.BYTES, "unit_price_micro": 5, "unit_per": 0}, "from 0 on"),
    ({"unit": Quantity.BYTES, "unit_price_micro": 10**18 + 1}, "beyond all there is"),
    ({"unit": Quantity.PERIODS, "unit_price_micro": 5}, "no price per period"),
    ({"minimum_micro": -1}, "from 0 on"),
    ({"minimum_micro": 10**18 + 1}, "beyond all there is"),
    ({"until_ms": 999}, "ends after it begins"),
    ({"from_ms": -1}, "between the years"),
    ({"from_ms": 10**15}, "between the years"),
    ({"currency": "XXQ"}, "no currency"),
    ({"broadcaster": "two words"}, "without spaces"),
    ({"broadcaster": ""}, "1 to 128"),
]


@pytest.mark.parametrize(("change", "why"), WRONG, ids=lambda value: str(value)[:40])
def test_what_no_contract_says(change: dict[str, object], why: str) -> None:
    """Terms that make no sense are refused, with the reason."""
    with pytest.raises(UsageError, match=why):
        replace(HALF, **change)  # type: ignore[arg-type]


def test_a_new_one_ends_the_one_before() -> None:
    """The same broadcaster's next contract on a channel stands from its beginning on, with its own share."""
    new = replace(HALF, number=0, from_ms=5_000, share_parts=2)
    assert fit([HALF], new) == HALF
    assert fit([replace(HALF, until_ms=5_000)], new) is None
    assert fit([replace(HALF, until_ms=5_001)], new) is not None
    with pytest.raises(RefusedError, match="contract 1 of one begins at 1970-01-01T00:00:01Z") as no:
        fit([HALF], replace(HALF, number=0))
    assert no.value.type == "overlap"
    early = replace(HALF, number=0, from_ms=0)
    with pytest.raises(RefusedError, match="end this one by then"):
        fit([HALF], early)
    assert fit([HALF], replace(early, until_ms=1_000)) is None
    # One that was ended before it began is nobody's.
    assert fit([replace(HALF, until_ms=1_000)], replace(HALF, number=0)) is None


def test_no_more_than_all() -> None:
    """Shares of one channel are 100 % at most at every instant, also in one to come."""
    two = replace(HALF, number=2, broadcaster="two")
    three = replace(HALF, number=0, broadcaster="three", share_parts=1, share_of=1_000_000)
    assert fit([HALF], two) is None
    with pytest.raises(RefusedError, match=r"from 1970-01-01T00:00:01Z on 100\.0001 %") as no:
        fit([HALF, two], three)
    assert no.value.type == "overlap"
    later = replace(two, from_ms=8_000)
    assert fit([HALF, later], replace(three, until_ms=8_000)) is None
    with pytest.raises(RefusedError, match="from 1970-01-01T00:00:08Z on"):
        fit([HALF, later], three)
    ended = replace(HALF, until_ms=8_000)
    assert fit([ended, later], replace(three, share_of=2)) is None
    # What ends makes room at once: one takes all when its half is over.
    assert fit([HALF], replace(HALF, number=0, from_ms=2_000, share_of=1)) == HALF


THIRDS = [replace(HALF, number=n, broadcaster=f"b{n}", share_of=3) for n in (1, 2, 3)]


def test_three_thirds_are_all() -> None:
    """A third is a third: three fit, and not a millionth beside them."""
    assert fit(THIRDS[:2], THIRDS[2]) is None
    with pytest.raises(RefusedError, match=r"100\.0003 %"):
        fit(THIRDS, replace(HALF, broadcaster="four", share_parts=3, share_of=1_000_000))


SPANS = st.tuples(st.integers(0, 30), st.integers(1, 30) | st.none())


@given(st.lists(st.tuples(SPANS, st.integers(0, 3), st.integers(1, 6)), max_size=12))
def test_whatever_fits_is_never_too_much(told: list[tuple[tuple[int, int | None], int, int]]) -> None:
    """Whatever contracts are taken one after the other, at no instant are shares more than all."""
    known: list[Contract] = []
    for number, ((from_ms, length), broadcaster, share_of) in enumerate(told, 1):
        until_ms = None if length is None else from_ms + length
        new = Contract(number, f"b{broadcaster}", 1, "EUR", from_ms, until_ms, 1, share_of)
        try:
            ended = fit(known, new)
        except RefusedError:
            continue
        known = [replace(each, until_ms=from_ms) if each is ended else each for each in known]
        known.append(new)
    for at_ms in range(70):
        in_force = [each for each in known if each.is_in_force(at_ms)]
        assert sum(each.share for each in in_force) <= 1
        assert len({each.broadcaster for each in in_force}) == len(in_force)


def test_when_one_can_end() -> None:
    """A contract ends later than it begins, or as it begins, and never later than it ends already."""
    check_end(HALF, 1_000)
    check_end(replace(HALF, until_ms=9_000), 8_999)
    with pytest.raises(UsageError, match="contract 1 begins at 1970-01-01T00:00:01Z only"):
        check_end(HALF, 999)
    with pytest.raises(UsageError, match="contract 1 ends at 1970-01-01T00:00:09Z already"):
        check_end(replace(HALF, until_ms=9_000), 9_000)


@pytest.mark.parametrize(
    ("parts", "of", "text"),
    [(1, 2, "50 %"), (1, 3, "1/3"), (333, 1_000, "33.3 %"), (1, 1_000_000, "0.0001 %"), (1, 1, "100 %")],
)
def test_how_a_share_reads(parts: int, of: int, text: str) -> None:
    """Per cent where they have an end, else a fraction."""
    assert share_text(Fraction(parts, of)) == text
