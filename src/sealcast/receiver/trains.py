"""Owns opening what came with one system call: run by run where packets follow each other, else one by one.

```
train ─► runs (one SSRC, one MKI, SEQ rising by one) ─► fast: key, index and replay window once a run
                                                     └► what is odd, new, old or forged: the session's own way
```
"""

from collections.abc import Callable
from functools import cached_property

from sealcast.receiver.keyring import HeldKey, KeyRing
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import Stream
from sealcast.receiver.values import Slab
from sealcast.wire.opening import Opener
from sealcast.wire.rtp import PLAIN_HEADER
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES


class TrainReader:
    """Takes trains for one receiver session, whose keys, streams and ways it borrows."""

    def __init__(
        self,
        ring: KeyRing,
        streams: dict[int, Stream],
        take_one: Callable[[bytes, int], None],
        hold: Callable[[list[bytes], int], None],
        note_opened: Callable[[HeldKey, Stream, int, int, int], None],
        *,
        stats: ReceiverStats,
    ) -> None:
        """`take_one` handles a packet by itself, `hold` a run whose key is not held.

        `note_opened` takes key, stream, packets, bytes and now.
        """
        self._ring = ring
        self._streams = streams
        self._take_one = take_one
        self._stats = stats
        self._hold = hold
        self._note_opened = note_opened
        self._ready: list[Slab] = []
        self._packet_bytes = 1
        self._now = 0

    @cached_property
    def _opener(self) -> Opener:
        """Made for the first train: its buffers are 256 kB, and not every session receives trains."""
        return Opener()

    @property
    def buffer(self) -> memoryview:
        """Where a train is received."""
        return self._opener.received

    def pop_ready(self) -> list[Slab]:
        """Return what was opened in order; it leaves before anything that waits for its turn."""
        ready, self._ready = self._ready, []
        return ready

    def take(self, size_bytes: int, packet_bytes: int, now: int) -> int:
        """Open the train in `buffer`, datagrams of `packet_bytes` and a last shorter one; return how many."""
        self._packet_bytes, self._now = packet_bytes, now
        whole, rest_bytes = divmod(size_bytes, packet_bytes)
        if packet_bytes > PACKET_OVERHEAD_BYTES:
            self._take_runs(whole)
        else:
            for place in range(whole):
                self._take_one(self._packet(place), now)
        if rest_bytes:
            self._take_one(bytes(self.buffer[size_bytes - rest_bytes : size_bytes]), now)
        return whole + (1 if rest_bytes else 0)

    def _take_runs(self, count: int) -> None:
        begin, expected, run_ssrc, run_mki = 0, -1, -1, b""
        for place, (first, seq, ssrc, mki) in enumerate(self._opener.fields(self._packet_bytes, count)):
            if seq == expected and first == PLAIN_HEADER and ssrc == run_ssrc and mki == run_mki:
                expected = seq + 1 & 0xFFFF
                continue
            if place > begin:
                self._take_run(begin, place - begin, run_ssrc, run_mki)
            begin, run_ssrc, run_mki = place, ssrc, mki
            # A packet with an odd header is a run of its own that nothing follows.
            expected = seq + 1 & 0xFFFF if first == PLAIN_HEADER else -1
        if count:
            self._take_run(begin, count - begin, run_ssrc, run_mki)

    def _take_run(self, begin: int, count: int, ssrc: int, mki: bytes) -> None:
        held, end = self._ring.find(mki), begin + count
        if held is None:
            self._hold([self._packet(place) for place in range(begin, end)], self._now)
            return
        while begin < end:
            stream = self._streams.get(ssrc)
            opened = 0 if stream is None else self._open_run(held, stream, begin, end - begin)
            if not opened:
                # Its own way: another ROC to try, seen before, or forged.
                self._take_one(self._packet(begin), self._now)
            begin += opened or 1

    def _open_run(self, held: HeldKey, stream: Stream, begin: int, count: int) -> int:
        """Open as much of a run as follows what the stream had; return how many packets."""
        start = begin * self._packet_bytes
        if self.buffer[start] != PLAIN_HEADER:
            return 0
        seq = self.buffer[start + 2] << 8 | self.buffer[start + 3]
        index = stream.index_of_run(held.key_id, seq, count, self._now)
        if index is None:
            return 0
        opened = self._opener.open_run(stream.key(held), self._packet_bytes, begin, count, index)
        if opened:
            data = bytes(self._opener.payloads(self._packet_bytes, begin, opened))
            is_announced = held.key_id == self._ring.current
            stream.note_run(held.key_id, index, opened, self._now, is_announced=is_announced)
            self._note_opened(held, stream, opened, len(data), self._now)
            self._pass_on(stream, index, opened, data)
        return opened

    def _pass_on(self, stream: Stream, index: int, count: int, data: bytes) -> None:
        slab = Slab(data, self._packet_bytes - PACKET_OVERHEAD_BYTES)
        if stream.reorder.pass_run(index, count):
            self._ready.append(slab)
            return
        for place, payload in enumerate(slab.payloads()):
            if not stream.reorder.push(index + place, payload, self._now):
                self._stats.late += 1

    def _packet(self, place: int) -> bytes:
        start = place * self._packet_bytes
        return bytes(self.buffer[start : start + self._packet_bytes])
