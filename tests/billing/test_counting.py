"""Shows which epochs on air a grant counts for: what the device could open by it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.counting import AiredEpoch, Erasure, GrantRow, counted


def aired(*chains: tuple[int | None, tuple[int, ...]]) -> list[AiredEpoch]:
    """Return epochs of chains as (next fresh start, epochs); epoch n went on air at 1000 n ms."""
    return [AiredEpoch(epoch, epoch * 1_000, fresh_at) for fresh_at, epochs in chains for epoch in epochs]


def chained(epoch: int, until: int, granted_at_ms: int | None = None) -> GrantRow:
    """Return a grant of a chain, given in the middle of its first epoch unless told."""
    at_ms = epoch * 1_000 + 500 if granted_at_ms is None else granted_at_ms
    return GrantRow(epoch, at_ms, until)


def gone(at_ms: int, epoch: int, fresh_at: int | None = 11, begun_at_ms: int | None = None) -> Erasure:
    """Return an erasure of one key, of a withdrawal that began at that instant unless told."""
    return Erasure(epoch, at_ms if begun_at_ms is None else begun_at_ms, at_ms, fresh_at)


WHOLE = aired((11, (5, 6, 7, 8, 9, 10)), (17, (11, 12)))
CUT = aired((11, (5, 6, 7, 8)), (15, (9, 10, 11)))
GAPS = aired((11, (5, 7, 9)), (17, (12,)))
FETCHED = aired((None, (5, 6, 7)))

CASES = [
    ("to its fresh start", chained(6, 11), WHOLE, (), (6, 7, 8, 9, 10)),
    ("granted ahead", chained(7, 11, 6_500), WHOLE, (), (7, 8, 9, 10)),
    ("the chain after it", chained(11, 17), WHOLE, (), (11, 12)),
    ("cut by an earlier fresh start", chained(6, 11), CUT, (), (6, 7, 8)),
    ("the chain that cut it", chained(10, 15), CUT, (), (10, 11)),
    ("epochs that never went on air", chained(5, 11), GAPS, (), (5, 7, 9)),
    ("still under way", chained(6, 11), aired((11, (5, 6))), (), (6,)),
    ("never on air", chained(7, 11, 6_500), aired((11, (5, 6))), (), ()),
    ("erased in an epoch", chained(6, 11), WHOLE, [gone(8_100, 8)], (6, 7, 8)),
    ("erased in the first", chained(6, 11), WHOLE, [gone(6_900, 6)], (6,)),
    ("erased with the one after it", chained(6, 11), WHOLE, [gone(8_100, 9)], (6, 7, 8)),
    (
        "erased in the epoch after it began",
        chained(6, 11),
        WHOLE,
        [gone(9_100, 8, begun_at_ms=8_900)],
        (6, 7, 8, 9),
    ),
    ("only an older one is erased", chained(6, 11), WHOLE, [gone(8_100, 7)], (6, 7, 8, 9, 10)),
    ("an older one, then the newest", chained(6, 11), WHOLE, [gone(8_100, 7), gone(9_500, 9)], (6, 7, 8, 9)),
    ("erased before it went on air", chained(7, 11, 6_500), WHOLE, [gone(6_900, 7)], ()),
    ("the one before it is erased ahead", chained(7, 11, 6_500), WHOLE, [gone(6_900, 6)], (7, 8, 9, 10)),
    ("erased before it was granted again", chained(8, 11), WHOLE, [gone(7_200, 7)], (8, 9, 10)),
    ("erased twice", chained(6, 11), WHOLE, [gone(9_100, 9), gone(7_100, 7), gone(3_000, 6)], (6, 7)),
    ("erased after its end", chained(6, 11), WHOLE, [gone(12_500, 10)], (6, 7, 8, 9, 10)),
    ("another chain is erased", chained(6, 11), CUT, [gone(7_500, 9, 15)], (6, 7, 8)),
    ("a fetched key", GrantRow(6, 6_500), FETCHED, (), (6,)),
    (
        "a fetched key, erased while on air",
        GrantRow(6, 6_500),
        aired((None, (6,))),
        [gone(6_900, 6, None)],
        (6,),
    ),
    ("a fetched key, erased ahead", GrantRow(7, 6_500), aired((None, (6, 7))), [gone(6_900, 7, None)], ()),
    (
        "another fetched key is erased",
        GrantRow(7, 6_500),
        aired((None, (6, 7))),
        [gone(6_900, 6, None)],
        (7,),
    ),
]


@pytest.mark.parametrize(
    ("grant", "on_air", "erasures", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_what_a_grant_counts_for(
    grant: GrantRow, on_air: list[AiredEpoch], erasures: list[Erasure], expected: tuple[int, ...]
) -> None:
    """From its first epoch to before the next fresh start, or to a verified erasure: nothing else ends it."""
    assert counted(grant, on_air, erasures) == expected


ERASURES = st.builds(
    lambda epoch, begun_at_ms, later_ms: gone(begun_at_ms + later_ms, epoch, begun_at_ms=begun_at_ms),
    st.integers(1, 12),
    st.integers(0, 20_000),
    st.integers(0, 3_000),
)


@given(first=st.integers(1, 12), order=st.permutations(WHOLE), erasures=st.lists(ERASURES))
def test_order_means_nothing_and_an_erasure_only_shortens(
    first: int, order: list[AiredEpoch], erasures: list[Erasure]
) -> None:
    """However the epochs come; and what counts with an erasure is the beginning of what counts without."""
    grant = chained(first, 11)
    whole = counted(grant, order)
    assert whole == counted(grant, WHOLE) == tuple(range(max(first, 5), 11))
    shorter = counted(grant, order, erasures)
    assert shorter == counted(grant, WHOLE, erasures[::-1]) == whole[: len(shorter)]
    # Nobody is let off an epoch that was on air before all statements.
    first_ms = min((each.erased_at_ms for each in erasures), default=20_000)
    assert set(shorter) >= {epoch for epoch in whole if epoch * 1_000 < first_ms}
