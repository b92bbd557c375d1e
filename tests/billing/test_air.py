"""Shows how what was on air becomes usage: ids that stay, parts of an epoch, chains, erasures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.air import Aired, AirLog, Grant
from sealcast.billing.counting import AiredEpoch, Erasure, GrantRow, counted
from sealcast.billing.usage import unique
from sealcast.core.errors import LocalError


def aired(epoch: int, part: int = 1, *, fresh_at: int | None = None, turn: int = 0) -> Aired:
    """Return part of an epoch: n is on air from 10 n to 10 n + 10, a later part for no time at its end."""
    start = 10 * epoch if part == 1 else 10 * epoch + 10
    return Aired(7, epoch, "schedule", start, 10 * epoch + 10, 100 * part, part, part, turn, fresh_at)


FETCHED = AirLog(7, [aired(3), aired(1), aired(2, turn=1), aired(2, 2, turn=1)])
CHAINED = AirLog(7, [*(aired(epoch, fresh_at=5) for epoch in (1, 2, 3)), aired(5, fresh_at=9)])


def test_each_part_of_a_granted_epoch_is_one_event() -> None:
    """Part 1 under the epoch's own name, another under its number; all of an epoch in its turn."""
    grants: list[Grant] = [(2, 5, None), (3, 5, None), (4, 5, None)]
    assert FETCHED.usage("TV-1", grants) == (
        ("7/2/TV-1", 20, 30, 100, 1, "7/1"),
        ("7/2.2/TV-1", 30, 30, 200, 2, "7/1"),
        ("7/3/TV-1", 30, 40, 100, 1, "7/3"),
    )
    assert FETCHED.usage("TV-1", grants * 2) == FETCHED.usage("TV-1", grants[::-1])
    assert FETCHED.usage("TV-1", []) == ()


def test_an_erased_key_is_not_charged() -> None:
    """If it was erased before it went on air; the others are."""
    grants: list[Grant] = [(2, 5, None), (3, 5, None)]
    erasures = [Erasure(2, 24, 25), Erasure(3, 24, 25)]
    assert [event.id for event in FETCHED.usage("TV-1", grants, erasures)] == ["7/2/TV-1", "7/2.2/TV-1"]


def test_a_grant_of_a_chain_is_usage_of_what_follows() -> None:
    """Of its chain alone, and up to an erasure."""
    assert CHAINED.epochs([(2, 12, 5)]) == {2, 3}
    assert CHAINED.epochs([(2, 12, 5), (5, 12, 9)]) == {2, 3, 5}
    assert CHAINED.epochs([(1, 12, 5)], [Erasure(2, 24, 25, 5)]) == {1, 2}
    assert CHAINED.epochs([(1, 12, 7)]) == set()


def test_what_cannot_have_been_on_air_is_refused() -> None:
    """A part that ends before it begins, or is less than nothing."""
    with pytest.raises(LocalError, match="usage 7/1 ends before it begins"):
        Aired(7, 1, "schedule", 10, 9, 0, 0)
    with pytest.raises(LocalError, match=r"usage 7/1.2 ends before it begins, or is less than nothing"):
        Aired(7, 1, "schedule", 10, 10, -1, 0, 2)


GRANTS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 70), st.sampled_from([None, 5, 9])), max_size=12
)
ERASURES = st.lists(
    st.builds(
        lambda epoch, begun, later, fresh_at: Erasure(epoch, begun, begun + later, fresh_at),
        st.integers(1, 6),
        st.integers(0, 70),
        st.integers(0, 10),
        st.sampled_from([None, 5, 9]),
    ),
    max_size=4,
)


@given(GRANTS, ERASURES, st.sampled_from([FETCHED, CHAINED]))
def test_usage_is_what_grants_count_for(grants: list[Grant], erasures: list[Erasure], air: AirLog) -> None:
    """However it is looked up: each grant counted against all that was on air, each part once."""
    from_each = {epoch for grant in grants for epoch in counted(GrantRow(*grant), epochs_of(air), erasures)}
    events = air.usage("TV-1", grants, erasures)
    assert [event.id for event in events] == [
        f"{part.name}/TV-1" for part in air.parts if part.epoch in from_each
    ]
    assert len(unique(events)) == len(events)


def epochs_of(air: AirLog) -> list[AiredEpoch]:
    """Return the epochs of a log."""
    return [AiredEpoch(part.epoch, part.start_ms, part.fresh_at) for part in air.parts if part.part == 1]
