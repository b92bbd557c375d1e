"""Owns the order of the output: packets leave by index, waiting a little for those that are missing."""

from collections.abc import Iterator

from sealcast.core.ports import NS_PER_MS

WAITING_MAX = 8_192
"""More packets than this do not wait for one missing: at 100 Mbit/s it is 0.9 s."""


class ReorderBuffer:
    """Puts one stream's payloads in order. With `reorder_ms` 0 they leave as they arrive."""

    __slots__ = ("_deadline_ns", "_next", "_wait_ns", "_waiting", "gap")

    def __init__(self, reorder_ms: int) -> None:
        self._wait_ns = reorder_ms * NS_PER_MS
        self._next: int | None = None
        self._waiting: dict[int, bytes] = {}
        self._deadline_ns: int | None = None
        self.gap = 0
        """Packets passed over since the caller last set it to 0."""

    def push(self, index: int, payload: bytes, now: int) -> bool:
        """Take a payload in; False if its place has passed."""
        if self._wait_ns == 0:
            return self._pass_through(index, payload)
        if self._next is not None and index < self._next:
            return False
        self._waiting[index] = payload
        if index != self._next and self._deadline_ns is None:
            self._deadline_ns = now + self._wait_ns
        return True

    def pop_ready(self, now: int) -> list[bytes]:
        """Return what may leave now, in order."""
        if self._wait_ns == 0:
            ready = list(self._waiting.values())
            self._waiting.clear()
            return ready
        ready = list(self._contiguous())
        while self._waiting and self._is_due(now):
            self._skip_gap()
            ready.extend(self._contiguous())
            self._deadline_ns = now + self._wait_ns if self._waiting else None
        if not self._waiting:
            self._deadline_ns = None
        return ready

    def drain(self) -> list[bytes]:
        """Return all that waits, in order, at the end."""
        ready: list[bytes] = []
        while self._waiting:
            self._skip_gap()
            ready.extend(self._contiguous())
        return ready

    def next_timeout(self) -> int | None:
        """Return when a missing packet is given up."""
        return self._deadline_ns

    def _is_due(self, now: int) -> bool:
        if len(self._waiting) > WAITING_MAX:
            return True
        return self._deadline_ns is not None and now >= self._deadline_ns

    def _contiguous(self) -> Iterator[bytes]:
        while self._next is not None and (payload := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield payload

    def _skip_gap(self) -> None:
        first = min(self._waiting)
        if self._next is not None:
            self.gap += first - self._next
        self._next = first

    def _pass_through(self, index: int, payload: bytes) -> bool:
        in_order = self._next is None or index >= self._next
        if in_order:
            self.gap += 0 if self._next is None else index - self._next
            self._next = index + 1
        else:
            self.gap -= 1
        self._waiting[index] = payload
        return True
