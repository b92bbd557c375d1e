"""Owns what leaves a receiver: the payloads of its streams in order, and the loss near key changes."""

from collections.abc import Mapping

from sealcast.receiver.stats import ReceiverStats, SwitchLoss
from sealcast.receiver.streams import Stream


class OrderedOutput:
    """Gives out what the streams of one session have in order."""

    def __init__(self, streams: Mapping[int, Stream], stats: ReceiverStats) -> None:
        self._streams = streams
        self._stats = stats
        self._switch_loss = SwitchLoss()

    @property
    def lost(self) -> int:
        """Packets that were sent and not opened, of all streams."""
        return sum(stream.lost for stream in self._streams.values())

    def pop_ready(self, now: int) -> list[bytes]:
        """Return the payloads that leave now, each stream's in order of its index."""
        ready: list[bytes] = []
        for stream in self._streams.values():
            ready += stream.reorder.pop_ready(now)
            self._count_gap(stream, now)
        return ready

    def drain(self, now: int) -> list[bytes]:
        """Return all payloads that still wait, at the end."""
        ready: list[bytes] = []
        for stream in self._streams.values():
            ready += stream.reorder.drain()
            self._count_gap(stream, now)
        return ready

    def next_timeout(self) -> int | None:
        """Return when a missing packet is given up, in monotonic ns."""
        times = [stream.reorder.next_timeout() for stream in self._streams.values()]
        return min((time for time in times if time is not None), default=None)

    def note_change(self, now: int) -> None:
        """Count the loss around a key change, which is now, to it."""
        self._switch_loss.note_change(now)
        self._count_switch_loss()

    def _count_gap(self, stream: Stream, now: int) -> None:
        if stream.reorder.gap:
            self._switch_loss.note_gap(stream.reorder.gap, now)
            stream.reorder.gap = 0
            self._count_switch_loss()

    def _count_switch_loss(self) -> None:
        # A packet that comes late may do so on the other side of the second than its gap.
        self._stats.switch_lost = min(max(0, self._switch_loss.total), self.lost)
