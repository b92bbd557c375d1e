"""Owns the ports through which time and chance enter; the pure packages see nothing else of them."""

from typing import Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Where a program's edge gets time from, to hand it on as `now`."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that only rise; the zero is arbitrary."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump. Only the key server's ever counts."""
        ...


class Random(Protocol):
    """Where unpredictable values come from."""

    def bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        ...

    def below(self, limit: int) -> int:
        """Return a uniform integer in [0, limit)."""
        ...
