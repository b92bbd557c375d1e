"""Shows when what a replica knows is young enough to give out the next key."""

import pytest

from sealcast.cluster.freshness import Freshness
from sealcast.core.ports import NS_PER_MS
from sealcast.messages.cluster import Beat

WALL_MS = 1_700_000_000_000


def test_nothing_is_fresh_before_the_first_beat_of_a_run() -> None:
    """What a replica knew before it started is old, however short a time it was away."""
    freshness = Freshness(30_000, version=7, is_founded=True)
    assert freshness.age_ms(0, WALL_MS) is None
    assert not freshness.is_fresh(0, WALL_MS)
    assert freshness.is_founded
    assert not Freshness(30_000).is_founded


@pytest.mark.parametrize(
    ("since_ms", "behind_ms", "age_ms"),
    [
        (0, 0, 0),
        (30_000, 30_000, 30_000),
        (30_001, 30_001, 30_001),
        # The beat waited somewhere for a minute: it says nothing of the minute.
        (0, 60_000, 60_000),
        # Our wall clock is behind the master's, or was set back: the monotonic one counts.
        (40_000, -3_600_000, 40_000),
        # It is ahead of the master's: what we know seems older than it is, never younger.
        (1_000, 20_000, 20_000),
    ],
)
def test_age_is_the_larger_of_two_clocks(since_ms: int, behind_ms: int, age_ms: int) -> None:
    """Neither a beat that came late nor a wall clock that errs makes old knowledge young."""
    freshness = Freshness(30_000)
    freshness.hear(Beat(master="m", at_ms=WALL_MS), 1, 5 * NS_PER_MS)
    now, wall_ms = (5 + since_ms) * NS_PER_MS, WALL_MS + behind_ms
    assert freshness.age_ms(now, wall_ms) == age_ms
    assert freshness.is_fresh(now, wall_ms) == (age_ms <= 30_000)


def test_a_beat_makes_young_again() -> None:
    """After a partition the first beat is enough."""
    freshness = Freshness(30_000)
    freshness.hear(Beat(master="m", at_ms=WALL_MS), 1, 0)
    assert not freshness.is_fresh(60_000 * NS_PER_MS, WALL_MS + 60_000)
    freshness.hear(Beat(master="m", at_ms=WALL_MS + 60_000), 2, 60_000 * NS_PER_MS)
    assert freshness.is_fresh(60_000 * NS_PER_MS, WALL_MS + 60_000)
    assert freshness.version == 2
