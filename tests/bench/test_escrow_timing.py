"""Shows that the experiment on an escrow's time can tell times apart, and what it finds in a long run."""

import pytest

from sealcast.bench.escrow_timing import compare, measure_timing, welch_t
from sealcast.testing import SimRandom
from sealcast.transport.system import SystemRandom


def test_welchs_t_is_that_of_the_books() -> None:
    """Known samples have the known t; equal ones, and too small ones, have none."""
    one, other = [1.0, 2.0, 3.0, 4.0, 5.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    # Means 3 and 7; variances 2.5 and 14, of 5 and 6 values.
    assert welch_t(one, other) == pytest.approx(-4 / (2.5 / 5 + 14 / 6) ** 0.5)
    assert welch_t(one, one) == 0
    assert welch_t([1.0], other) == 0


def test_both_numbers_are_asked_as_often_in_no_order() -> None:
    """Each pair has both numbers, and which comes first is drawn: a drift of the machine is of both alike."""
    asked: list[int] = []
    compare(asked.append, (1, 2), 40, SimRandom("order"))
    pairs = list(zip(asked[::2], asked[1::2], strict=True))
    assert all(sorted(pair) == [1, 2] for pair in pairs)
    assert 60 < sum(first == 1 for first, _ in pairs) < 140


@pytest.mark.soak
def test_blinding_leaves_nothing_to_measure() -> None:
    """In 400 pairs the control without blinding is found, and an escrow's own way is not."""
    report = measure_timing(400, SystemRandom())
    assert report.control.is_leak
    assert not report.blinded_input.is_leak
    assert not report.blinded_output.is_leak
