"""Tests of probe.sequence: what sequence numbers tell of loss, order and copies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.probe.sequence import SequenceTracker


def counts(*numbers: int) -> tuple[int, int, int, int]:
    """Return (lost, reordered, duplicates, jumps) of packets that arrive in this order."""
    tracker = SequenceTracker()
    for number in numbers:
        tracker.add(number)
    assert tracker.packets == len(numbers)
    return tracker.lost, tracker.reordered, tracker.duplicates, tracker.jumps


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((), (0, 0, 0, 0)),
        ((5,), (0, 0, 0, 0)),
        ((1, 2, 3), (0, 0, 0, 0)),
        ((1, 3, 6), (3, 0, 0, 0)),
        ((1, 3, 2), (0, 1, 0, 0)),
        ((2, 1), (0, 1, 0, 0)),
        ((1, 2, 2, 1), (0, 0, 2, 0)),
        ((65_534, 65_535, 0, 1), (0, 0, 0, 0)),
        ((65_535, 1, 0), (0, 1, 0, 0)),
        ((1, 2, 40_000, 40_001, 40_003), (1, 0, 0, 1)),
        ((0, 65_535), (0, 1, 0, 0)),
    ],
)
def test_what_numbers_tell(numbers: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Loss, reordering, copies and new beginnings are told apart, also where the numbers wrap."""
    assert counts(*numbers) == expected


@given(st.lists(st.integers(0, 65_535), max_size=300))
def test_no_numbers_upset_it(numbers: list[int]) -> None:
    """Whatever arrives, no count is negative, and each packet is counted in at most one way."""
    lost, reordered, duplicates, jumps = counts(*numbers)
    assert min(lost, reordered, duplicates, jumps) >= 0
    assert reordered + duplicates + jumps <= len(numbers)
