"""Tests of transport.system: time that rises, bytes that differ."""

from sealcast.core.ports import Clock, Random
from sealcast.transport.system import SystemClock, SystemRandom


def test_clock_rises_and_wall_is_this_century() -> None:
    """Monotonic time never falls, and wall time counts nanoseconds since 1970."""
    clock: Clock = SystemClock()
    assert clock.monotonic_ns() <= clock.monotonic_ns()
    assert 1_700_000_000 * 10**9 < clock.wall_ns() < 4_102_444_800 * 10**9


def test_random_has_the_length_and_range_asked_for() -> None:
    """Bytes come in the number asked for and differ; integers stay below the limit."""
    random: Random = SystemRandom()
    assert len(random.bytes(32)) == 32
    assert random.bytes(32) != random.bytes(32)
    assert random.bytes(0) == b""
    assert {random.below(3) for _ in range(200)} == {0, 1, 2}
