"""Owns simulated time: a `core.ports.Clock` that stands still until it is told to move."""

from sealcast.core.errors import LocalError

FIRST_WALL_NS = 1_767_225_600 * 1_000_000_000
"""2026-01-01 00:00 UTC: where wall time begins unless told otherwise."""


class SimClock:
    """Two clocks in one, as every machine has them: a monotonic one, and wall time that may jump.

    >>> clock = SimClock()
    >>> clock.advance(2_000_000_000)
    >>> clock.jump_wall(-3_600_000_000_000)
    >>> clock.monotonic_ns()
    2000000000
    >>> clock.wall_ns() < SimClock().wall_ns()
    True
    """

    __slots__ = ("_monotonic_ns", "_wall_offset_ns")

    def __init__(self, monotonic_ns: int = 0, wall_ns: int = FIRST_WALL_NS) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_offset_ns = wall_ns - monotonic_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds that only rise."""
        return self._monotonic_ns

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._monotonic_ns + self._wall_offset_ns

    def advance(self, duration_ns: int) -> None:
        """Let time pass on both clocks; raises LocalError for a negative duration."""
        if duration_ns < 0:
            raise LocalError("simulated time only rises; use jump_wall to set the wall clock back")
        self._monotonic_ns += duration_ns

    def advance_to(self, monotonic_ns: int) -> None:
        """Let time pass until `monotonic_ns`; does nothing if that is over already."""
        self.advance(max(0, monotonic_ns - self._monotonic_ns))

    def jump_wall(self, by_ns: int) -> None:
        """Set the wall clock forward, or back, as an operator or NTP may; monotonic time does not notice."""
        self._wall_offset_ns += by_ns
