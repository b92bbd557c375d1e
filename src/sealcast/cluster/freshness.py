"""Decides how old what a replica knows is, and what it may give out by that.

```
age = the larger of  now - when the last beat came   (our monotonic clock)
                     wall - beat.at_ms               (both wall clocks: how long it was on its way)
no beat since the start: as old as can be
a party whose newest entry did not fit: who may have what is not known
```
Pure: `now` is nanoseconds of the monotonic clock, `wall_ms` milliseconds of the wall clock.
"""

from sealcast.core.ports import NS_PER_MS
from sealcast.messages.cluster import Beat


class Freshness:
    """How a replica stands with its master. The writer's thread changes it; anybody may read it."""

    __slots__ = ("_beat", "_came_ns", "doubts", "is_founded", "stale_after_ms", "version")

    def __init__(self, stale_after_ms: int, *, version: int = 0, is_founded: bool = False) -> None:
        """`version` is that of the last beat before the start; `is_founded` whether there ever was one."""
        self.stale_after_ms = stale_after_ms
        self.version = version
        self.is_founded = is_founded
        self.doubts: frozenset[str] = frozenset()
        """Parties of which something was told that could not be taken over."""
        self._beat: Beat | None = None
        self._came_ns = 0

    @property
    def beat(self) -> Beat | None:
        """The last beat since the start."""
        return self._beat

    def hear(self, beat: Beat, version: int, now: int) -> None:
        """Take in a beat that was believed and is newer than the last one."""
        self._beat, self.version, self._came_ns = beat, version, now
        self.is_founded = True

    def age_ms(self, now: int, wall_ms: int) -> int | None:
        """Return how old what is known is; None if no beat came since the start."""
        if self._beat is None:
            return None
        return max(0, (now - self._came_ns) // NS_PER_MS, wall_ms - self._beat.at_ms)

    def is_fresh(self, now: int, wall_ms: int) -> bool:
        """Whether the next key may be given: whoever may not have it would be known by now."""
        age_ms = self.age_ms(now, wall_ms)
        return age_ms is not None and age_ms <= self.stale_after_ms and not self.doubts
