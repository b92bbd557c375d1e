"""Owns when a sender changes its pattern (S1-10): after bytes, packets or a time, whichever is first."""

from collections.abc import Sequence
from dataclasses import dataclass

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ids import U32_MAX


@dataclass(frozen=True, slots=True)
class Change:
    """When a new pattern comes; at least one is set, and all are above 0. Raises UsageError.

    A packet goes under one pattern, and is its last when with it `after_bytes` of payload are reached. Time
    counts on from the start or the first packet, whatever else changes patterns, and also without packets.
    """

    after_bytes: int | None = None
    after_packets: int | None = None
    after_ns: int | None = None

    def __post_init__(self) -> None:
        given = [each for each in (self.after_bytes, self.after_packets, self.after_ns) if each is not None]
        if not given or min(given) <= 0:
            raise UsageError("patterns change after a number of bytes or packets, or a time, above 0")


class PatternSchedule:
    """Counts what goes under a pattern and gives the number of the next, from `first` on.

    For each batch: `plan`, then `record` what left. The last number of 32 bits is stayed with.
    """

    def __init__(self, change: Change, first: int = 0) -> None:
        if not 0 <= first <= U32_MAX:
            raise LocalError("pattern numbers have 32 bits")
        self._change = change
        self._bytes = self._packets = 0
        self._due_ns: int | None = None
        self.number = first

    def follow(self, now: int) -> int:
        """Return the number that a packet has now, in ns; the first call, as of `plan`, starts the time."""
        self._follow_time(now)
        if self._is_full(self._bytes, self._packets):
            self._advance()
        return self.number

    def plan(self, sizes: Sequence[int], now: int) -> tuple[int, int]:
        """Return the pattern number for the next packet, and how many of those in line go under it.

        `sizes` are the lengths of their payloads in bytes, at least one; `now` is in ns. Which packet goes
        under which number does not depend on how many are in line, as long as `now` stands.
        """
        self.follow(now)
        bytes_ = self._bytes
        for count, size in enumerate(sizes, 1):
            bytes_ += size
            if self._is_full(bytes_, self._packets + count):
                return self.number, count
        return self.number, len(sizes)

    def record(self, packets: int, payload_bytes: int) -> None:
        """Count what left under the number that `plan` gave."""
        self._packets += packets
        self._bytes += payload_bytes

    def remaining_ns(self, now: int) -> int | None:
        """Return the time until the pattern changes; None before time has started, or without a time."""
        return None if self._due_ns is None else max(0, self._due_ns - now)

    def _follow_time(self, now: int) -> None:
        """Change the pattern once for each time that is over: so numbers can be told beforehand."""
        every_ns = self._change.after_ns
        if every_ns is None:
            return
        if self._due_ns is None:
            self._due_ns = now + every_ns
        elif now >= self._due_ns:
            steps = 1 + (now - self._due_ns) // every_ns
            self._due_ns += every_ns * steps
            self._advance(steps)

    def _is_full(self, bytes_: int, packets: int) -> bool:
        change = self._change
        return (change.after_packets is not None and packets >= change.after_packets) or (
            change.after_bytes is not None and bytes_ >= change.after_bytes
        )

    def _advance(self, steps: int = 1) -> None:
        self._bytes = self._packets = 0
        self.number = min(self.number + steps, U32_MAX)
