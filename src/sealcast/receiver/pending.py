"""Owns packets that wait for their key: bounded in number, age and in how many key IDs they may name."""

from collections import deque
from collections.abc import Sequence

from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_S

PENDING_PACKETS_MAX = 4_096
"""Five seconds at 8 Mbit/s, 6 MB; a flood of packets under unknown keys takes no more."""

PENDING_BYTES_MAX = 8 << 20
"""Bounds the same for datagrams of 64 kB, which nobody sends but a flood."""

PENDING_NS_MAX = 5 * NS_PER_S
"""A key that takes longer than this comes too late for what waits."""

PENDING_KEYS_MAX = 2
"""The key on air and the next; made-up key IDs find no room beside them for long."""


class PendingPackets:
    """Datagrams by the key that would open them, oldest first."""

    __slots__ = ("_bytes", "_count", "_queues", "dropped")

    def __init__(self) -> None:
        self._queues: dict[KeyId, deque[tuple[int, bytes]]] = {}
        self._count = 0
        self._bytes = 0
        self.dropped = 0
        """Packets given up since the caller last set it to 0."""

    def __len__(self) -> int:
        return self._count

    def hold(self, key_id: KeyId, packet: bytes, arrived_ns: int) -> None:
        """Keep a packet until its key comes; drops the oldest where there is no room."""
        while self._count >= PENDING_PACKETS_MAX or (
            self._count and self._bytes + len(packet) > PENDING_BYTES_MAX
        ):
            self._drop_oldest()
        queue = self._queues.get(key_id)
        if queue is None:
            if len(self._queues) >= PENDING_KEYS_MAX:
                self._forget(min(self._queues, key=lambda k: self._queues[k][-1][0]))
            queue = self._queues[key_id] = deque()
        queue.append((arrived_ns, packet))
        self._count += 1
        self._bytes += len(packet)

    def hold_run(self, key_id: KeyId, packets: Sequence[bytes], arrived_ns: int) -> None:
        """Keep packets that came together under one key ID, as `hold` each would; about 1 µs a packet."""
        if len(packets) == 1 or len(self._queues) > 1 or key_id not in self._queues:
            self.hold(key_id, packets[0], arrived_ns)
            if len(packets) > 1:
                self._extend(key_id, packets[1:], arrived_ns)
        else:
            self._extend(key_id, packets, arrived_ns)

    def _extend(self, key_id: KeyId, packets: Sequence[bytes], arrived_ns: int) -> None:
        """Keep packets behind others of their key, and drop the oldest after."""
        self._queues[key_id].extend((arrived_ns, packet) for packet in packets)
        self._count += len(packets)
        self._bytes += sum(map(len, packets))
        while self._count > PENDING_PACKETS_MAX or self._bytes > PENDING_BYTES_MAX:
            self._drop_oldest()

    def take(self, key_id: KeyId) -> list[tuple[int, bytes]]:
        """Return and forget the packets that wait for a key, each with its arrival in monotonic ns."""
        queue = self._queues.pop(key_id, deque())
        self._count -= len(queue)
        self._bytes -= sum(len(packet) for _, packet in queue)
        return list(queue)

    def expire(self, now: int) -> None:
        """Drop what is too old."""
        while self._queues:
            key_id = self._oldest()
            if now - self._queues[key_id][0][0] <= PENDING_NS_MAX:
                break
            self._drop_from(key_id)

    def next_timeout(self) -> int | None:
        """Return when the oldest packet is given up."""
        return self._queues[self._oldest()][0][0] + PENDING_NS_MAX + 1 if self._queues else None

    def _forget(self, key_id: KeyId) -> None:
        self.dropped += len(self.take(key_id))

    def _oldest(self) -> KeyId:
        if len(self._queues) == 1:
            return next(iter(self._queues))
        return min(self._queues, key=lambda k: self._queues[k][0][0])

    def _drop_oldest(self) -> None:
        self._drop_from(self._oldest())

    def _drop_from(self, key_id: KeyId) -> None:
        """Drop a queue's first packet; a queue without packets does not stay."""
        queue = self._queues[key_id]
        _, packet = queue.popleft()
        self._count -= 1
        self._bytes -= len(packet)
        self.dropped += 1
        if not queue:
            del self._queues[key_id]
