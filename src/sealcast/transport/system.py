"""Owns the one place that asks the operating system for time and for randomness."""

import secrets
import time


class SystemClock:
    """The `Clock` of programs that run for real."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that only rise; the zero is arbitrary."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump."""
        return time.time_ns()


class SystemRandom:
    """The `Random` of programs that run for real: the kernel's generator, fit for keys."""

    def bytes(self, count: int) -> bytes:
        """Return `count` random bytes."""
        return secrets.token_bytes(count)

    def below(self, limit: int) -> int:
        """Return a uniform integer in [0, limit)."""
        return secrets.randbelow(limit)
