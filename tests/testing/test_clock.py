"""Simulated time."""

import pytest

from sealcast.core.errors import LocalError
from sealcast.core.ports import Clock
from sealcast.testing import SimClock


def test_is_a_clock() -> None:
    """It can stand wherever a Clock is asked for, and stands still."""
    clock: Clock = SimClock(monotonic_ns=5, wall_ns=1_000)
    assert (clock.monotonic_ns(), clock.wall_ns()) == (5, 1_000)
    assert (clock.monotonic_ns(), clock.wall_ns()) == (5, 1_000)


def test_advance_moves_both() -> None:
    """Time passes on both clocks alike."""
    clock = SimClock(monotonic_ns=5, wall_ns=1_000)
    clock.advance(10)
    clock.advance_to(20)
    clock.advance_to(7)
    assert (clock.monotonic_ns(), clock.wall_ns()) == (20, 1_015)


def test_wall_time_jumps_alone() -> None:
    """Setting the wall clock does not touch monotonic time."""
    clock = SimClock(monotonic_ns=5, wall_ns=1_000)
    clock.jump_wall(-300)
    assert (clock.monotonic_ns(), clock.wall_ns()) == (5, 700)


def test_monotonic_time_never_falls() -> None:
    """Going back is refused."""
    with pytest.raises(LocalError):
        SimClock().advance(-1)
