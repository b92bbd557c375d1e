"""Owns packets that wait for their key: bounded in number, age and in how many key IDs they may name."""

from collections import deque

from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_S

PENDING_PACKETS_MAX = 4_096
"""Five seconds at 8 Mbit/s, 6 MB; a flood of packets under unknown keys takes no more."""

PENDING_NS_MAX = 5 * NS_PER_S
"""A key that takes longer than this comes too late for what waits."""

PENDING_KEYS_MAX = 2
"""The key on air and the next; made-up key IDs find no room beside them for long."""


class PendingPackets:
    """Datagrams by the key that would open them, oldest first."""

    __slots__ = ("_count", "_queues", "dropped")

    def __init__(self) -> None:
        self._queues: dict[KeyId, deque[tuple[int, bytes]]] = {}
        self._count = 0
        self.dropped = 0
        """Packets given up since the caller last set it to 0."""

    def __len__(self) -> int:
        return self._count

    def hold(self, key_id: KeyId, packet: bytes, now: int) -> None:
        """Keep a packet until its key comes; drops the oldest where there is no room."""
        queue = self._queues.get(key_id)
        if queue is None:
            if len(self._queues) >= PENDING_KEYS_MAX:
                self._forget(min(self._queues, key=lambda k: self._queues[k][-1][0]))
            queue = self._queues[key_id] = deque()
        if self._count >= PENDING_PACKETS_MAX:
            self._drop_oldest()
        queue.append((now, packet))
        self._count += 1

    def take(self, key_id: KeyId) -> list[bytes]:
        """Return and forget the packets that wait for a key."""
        queue = self._queues.pop(key_id, deque())
        self._count -= len(queue)
        return [packet for _, packet in queue]

    def expire(self, now: int) -> None:
        """Drop what is too old."""
        for key_id in list(self._queues):
            queue = self._queues[key_id]
            while queue and now - queue[0][0] > PENDING_NS_MAX:
                queue.popleft()
                self._count -= 1
                self.dropped += 1
            if not queue:
                del self._queues[key_id]

    def next_timeout(self) -> int | None:
        """Return when the oldest packet is given up."""
        oldest = min((queue[0][0] for queue in self._queues.values() if queue), default=None)
        return None if oldest is None else oldest + PENDING_NS_MAX + 1

    def _forget(self, key_id: KeyId) -> None:
        self.dropped += len(self.take(key_id))

    def _drop_oldest(self) -> None:
        key_id = min((k for k, q in self._queues.items() if q), key=lambda k: self._queues[k][0][0])
        self._queues[key_id].popleft()
        self._count -= 1
        self.dropped += 1
