"""Owns the order of the output: packets leave by index, waiting a little for those that are missing."""

from collections import deque
from collections.abc import Iterator

from sealcast.core.ports import NS_PER_MS

WAITING_MAX = 8_192
"""More packets than this do not wait for one missing: at 100 Mbit/s it is 0.9 s."""


class ReorderBuffer:
    """Puts one stream's payloads in order. With `reorder_ms` 0 they leave as they arrive."""

    __slots__ = ("_arrivals", "_first", "_next", "_wait_ns", "_waiting", "gap")

    def __init__(self, reorder_ms: int) -> None:
        self._wait_ns = reorder_ms * NS_PER_MS
        self._first = 0
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}
        self._arrivals: deque[tuple[int, int]] = deque()
        self.gap = 0
        """Packets passed over, less those that came late, since the caller last set it to 0."""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, index: int, payload: bytes, now: int) -> bool:
        """Take a payload in; False if its place has passed."""
        if self._next is not None and index < self._next:
            self.gap -= index > self._first
            if self._wait_ns:
                return False
        elif self._wait_ns == 0:
            self._advance_to(index)
            self._next = index + 1
        else:
            self._arrivals.append((now, index))
        self._waiting[index] = payload
        return True

    def pass_run(self, index: int, count: int) -> bool:
        """Let payloads of consecutive indices through at once; False if one before them is awaited.

        Those that are let through leave before anything that is pushed later.
        """
        if self._waiting or index != self._next:
            if self._wait_ns or self._waiting or (self._next is not None and index < self._next):
                return False
            self._advance_to(index)
        self._next = index + count
        return True

    def lead_back(self, index: int, ahead: int) -> None:
        """Go on behind `index`, which the sender signed, if packets came from further than `ahead` beyond it.

        For streams whose packets nothing proves: what was made up lets the true ones pass for late no longer.
        """
        limit = index + ahead
        for far in [each for each in self._waiting if each > limit]:
            del self._waiting[far]
        if self._next is not None and self._next > limit:
            self.gap -= self._next - index - 1
            self._next = index + 1

    def pop_ready(self, now: int) -> list[bytes]:
        """Return what may leave now, in order."""
        if self._wait_ns == 0:
            ready = list(self._waiting.values())
            self._waiting.clear()
            return ready
        ready = list(self._contiguous())
        while self._is_due(now):
            self._advance_to(min(self._waiting))
            ready.extend(self._contiguous())
        return ready

    def drain(self) -> list[bytes]:
        """Return all that waits, in order, at the end."""
        ready = [self._waiting[index] for index in sorted(self._waiting)]
        if self._wait_ns and self._waiting:
            self._advance_to(min(self._waiting))
            last = max(self._waiting)
            self.gap += last + 1 - (self._next or 0) - len(ready)
            self._next = last + 1
        self._waiting.clear()
        return ready

    def next_timeout(self) -> int | None:
        """Return when a missing packet is given up: when the oldest packet behind it has waited enough."""
        arrivals = self._arrivals
        while arrivals and self._next is not None and arrivals[0][1] < self._next:
            arrivals.popleft()
        return arrivals[0][0] + self._wait_ns if arrivals else None

    def _is_due(self, now: int) -> bool:
        deadline_ns = self.next_timeout()
        return deadline_ns is not None and (now >= deadline_ns or len(self._waiting) > WAITING_MAX)

    def _contiguous(self) -> Iterator[bytes]:
        while self._next is not None and (payload := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield payload

    def _advance_to(self, index: int) -> None:
        """Pass over what is missing before `index`."""
        if self._next is None:
            self._first = index
        else:
            self.gap += index - self._next
        self._next = index
