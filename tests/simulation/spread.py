"""Owns what tests of windows ask: when an audience made its requests, and whether chance spread them."""

from collections import Counter
from collections.abc import Sequence

from simulation.harness import Scene
from simulation.parts import MS, SECOND

LIFETIME_MS = 40_000
WINDOW_MS = 8_000
"""From Y = 10 s before the switch to the guard of 2 s."""

BINS = 10


def offsets_ms(scene: Scene, change: int) -> list[float]:
    """Return when each request of one change came, in ms after the fetch window opened."""
    switch_ns = scene.studio.switches[change][0]
    opens_ns = switch_ns - LIFETIME_MS * MS // 4
    before_ns = scene.studio.switches[change - 1][0] + 10 * SECOND
    asked = [at for viewer in scene.viewers for at in viewer.fetched_ns if before_ns <= at <= switch_ns]
    return [(at - opens_ns) / MS for at in asked]


def assert_inside(offsets: Sequence[float]) -> None:
    """Fail if a request fell outside of the window.

    What its instants are counted from took a millisecond to arrive, and is rounded to one.
    """
    assert all(0 <= offset <= WINDOW_MS + 5 for offset in offsets)


def assert_even(offsets: Sequence[float], receivers: int) -> Counter[int]:
    """Fail if chance spreads so unevenly less than once in a thousand; return the number in each tenth."""
    bins = Counter(min(BINS - 1, int(offset * BINS / WINDOW_MS)) for offset in offsets)
    expected = receivers / BINS
    chi_square = sum((bins[i] - expected) ** 2 / expected for i in range(BINS))
    assert chi_square < 27.9, "less likely than one in a thousand, were they uniform"
    return bins
