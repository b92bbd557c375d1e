"""Shows which epochs on air a grant counts for: what the device could open by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.ids import Epoch
from sealcast.keyserver.service_counting import AiredEpoch, GrantRow, counted


def aired(*chains: tuple[int | None, tuple[int, ...]]) -> list[AiredEpoch]:
    """Return epochs of chains as (next fresh start, epochs); epoch n went on air at 1000 n ms."""
    return [
        AiredEpoch(Epoch(epoch), epoch * 1_000, None if fresh_at is None else Epoch(fresh_at))
        for fresh_at, epochs in chains
        for epoch in epochs
    ]


def chained(epoch: int, until: int, granted_at_ms: int | None = None) -> GrantRow:
    """Return a grant of a chain, given in the middle of its first epoch unless told."""
    at_ms = epoch * 1_000 + 500 if granted_at_ms is None else granted_at_ms
    return GrantRow(Epoch(epoch), at_ms, Epoch(until))


WHOLE = aired((11, (5, 6, 7, 8, 9, 10)), (17, (11, 12)))
CUT = aired((11, (5, 6, 7, 8)), (15, (9, 10, 11)))
GAPS = aired((11, (5, 7, 9)), (17, (12,)))

CASES = [
    ("to its fresh start", chained(6, 11), WHOLE, (), (6, 7, 8, 9, 10)),
    ("granted ahead", chained(7, 11, 6_500), WHOLE, (), (7, 8, 9, 10)),
    ("the chain after it", chained(11, 17), WHOLE, (), (11, 12)),
    ("cut by an earlier fresh start", chained(6, 11), CUT, (), (6, 7, 8)),
    ("the chain that cut it", chained(10, 15), CUT, (), (10, 11)),
    ("epochs that never went on air", chained(5, 11), GAPS, (), (5, 7, 9)),
    ("still under way", chained(6, 11), aired((11, (5, 6))), (), (6,)),
    ("never on air", chained(7, 11, 6_500), aired((11, (5, 6))), (), ()),
    ("erased in an epoch", chained(6, 11), WHOLE, (8_100,), (6, 7, 8)),
    ("erased in the first", chained(6, 11), WHOLE, (6_900,), (6,)),
    ("erased before it went on air", chained(7, 11, 6_500), WHOLE, (6_900,), ()),
    ("erased before it was granted again", chained(8, 11), WHOLE, (7_200,), (8, 9, 10)),
    ("erased twice", chained(6, 11), WHOLE, (9_100, 7_100, 3_000), (6, 7)),
    ("erased after its end", chained(6, 11), WHOLE, (12_500,), (6, 7, 8, 9, 10)),
    ("a fetched key", GrantRow(Epoch(6), 6_500), aired((None, (5, 6, 7))), (), (6,)),
    ("a fetched key, erased while on air", GrantRow(Epoch(6), 6_500), aired((None, (6,))), (6_900,), (6,)),
    ("a fetched key, erased ahead", GrantRow(Epoch(7), 6_500), aired((None, (6, 7))), (6_900,), ()),
]


@pytest.mark.parametrize(
    ("grant", "on_air", "erased_at_ms", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_a_grant_counts_for(
    grant: GrantRow, on_air: list[AiredEpoch], erased_at_ms: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    """From its first epoch to before the next fresh start, or to a verified erasure: nothing else ends it."""
    assert counted(grant, on_air, erased_at_ms) == expected


@given(first=st.integers(1, 12), order=st.permutations(WHOLE), erased_at_ms=st.lists(st.integers(0, 20_000)))
def test_order_means_nothing_and_an_erasure_only_shortens(
    first: int, order: list[AiredEpoch], erased_at_ms: list[int]
) -> None:
    """However the epochs come; and what counts with an erasure is the beginning of what counts without."""
    grant = chained(first, 11)
    whole = counted(grant, order)
    assert whole == counted(grant, WHOLE) == tuple(range(max(first, 5), 11))
    shorter = counted(grant, order, erased_at_ms)
    assert shorter == whole[: len(shorter)]
