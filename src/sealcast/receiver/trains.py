"""Owns opening what came with one system call: run by run where packets go together, else one by one.

```
train ─► runs (plain headers, one MKI) ─► fast: key, index and replay window once a run
                                       └► what is odd, new, old or forged: the session's own way
```
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import groupby

from sealcast.receiver.keyring import HeldKey, KeyRing
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import Stream
from sealcast.receiver.values import Slab
from sealcast.wire.opening import Opener, PacketFields
from sealcast.wire.rtp import PLAIN_HEADER
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES

FEW_PACKETS = 8
"""Fewer than this are tried each by itself."""


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
        """Return what was opened in order, good until the next `take`; it leaves before what waits."""
        ready, self._ready = self._ready, []
        return ready

    def take(self, size_bytes: int, packet_bytes: int, now: int) -> int:
        """Open the train in `buffer`, datagrams of `packet_bytes` and a last shorter one; return how many."""
        self._packet_bytes, self._now = packet_bytes, now
        if self._ready:
            # Nobody fetched it, and the places where it was opened are needed again.
            self._ready = [Slab(bytes(slab.data), slab.payload_bytes) for slab in self._ready]
        whole, rest_bytes = divmod(size_bytes, packet_bytes)
        if packet_bytes > PACKET_OVERHEAD_BYTES:
            self._take_runs(whole)
        else:
            for place in range(whole):
                self._take_one(self._packet(place), now)
        if rest_bytes:
            self._take_one(bytes(self.buffer[size_bytes - rest_bytes : size_bytes]), now)
        return whole + (1 if rest_bytes else 0)

    def take_packets(self, packets: Sequence[bytes], now: int) -> None:
        """Open packets that waited, as if they came now, those of one length together."""
        for packet_bytes, alike in groupby(packets, len):
            waiting, most = list(alike), max(1, len(self.buffer) // max(1, packet_bytes))
            for begin in range(0, len(waiting), most):
                train = b"".join(waiting[begin : begin + most])
                self.buffer[: len(train)] = train
                self.take(len(train), max(1, packet_bytes), now)

    def _take_runs(self, end: int) -> None:
        """Take packets of one length: as many at a time as go together, else one.

        One that does not open is tried by itself; so are those behind it, twice as many each time, before a
        run is tried again: a train full of what does not belong together costs little more than its packets.
        """
        place, alone, spell = 0, 0, 1
        while place < end:
            fields = self._opener.fields(self._packet_bytes, place)
            taken = 0
            if fields[0] == PLAIN_HEADER and not alone:
                taken, is_forged = self._take_run(place, end, fields)
                if taken:
                    # A packet that does not verify where the one before it went on takes its own way.
                    alone, spell = int(is_forged), 1
                else:
                    alone, spell = spell, 2 * spell
            if not taken:
                # Another ROC to try, an odd header, seen before, or forged.
                opened_before = self._stats.opened
                self._take_one(self._packet(place), self._now)
                # One that opened shows where the others are.
                alone = max(0, alone - 1) if self._stats.opened == opened_before else 0
            place += taken or 1

    def _take_run(self, place: int, end: int, fields: PacketFields) -> tuple[int, bool]:
        """Take what has one MKI; return how many packets, and whether the next should have verified."""
        _, seq, ssrc, mki = fields
        count = self._opener.run_length(self._packet_bytes, place, end, mki)
        held = self._ring.find(mki)
        if held is None:
            self._hold([self._packet(each) for each in range(place, place + count)], self._now)
            return count, False
        stream = self._streams.get(ssrc)
        if stream is None:
            return 0, False
        index = stream.index_of_run(held.key_id, seq, count, self._now)
        if index is None:
            return self._refuse_run(held, stream, place, count, seq), False
        opened = self._opener.open_run(stream.key(held), self._packet_bytes, place, count, index)
        if opened:
            self._note_run(held, stream, place, opened, index)
        follows = self._opener.follow
        is_forged = 0 < opened < count and follows(self._packet_bytes, place + opened - 1, 2) > 1
        return opened, is_forged

    def _refuse_run(self, held: HeldKey, stream: Stream, place: int, count: int, seq: int) -> int:
        """Refuse packets in a row that are far from where the sender says it is; return how many.

        A receiver that stood still finds thousands of them in its socket, and has to be through with them
        sooner than more come: while it is in doubt, three of a row are tried for all.
        """
        guesses, now = stream.counter.guesses, self._now
        count = self._opener.follow(self._packet_bytes, place, count)
        last = place + count - 1
        if guesses(seq, now) or guesses(seq + count - 1 & 0xFFFF, now):
            if count < FEW_PACKETS or stream.counter.is_committed(now):
                return 0
            probes = (place, (place + last) // 2, last)
            if any(stream.verifies(held, self._packet(probe), now) for probe in probes):
                return 0
        self._stats.refused += count
        return count

    def _note_run(self, held: HeldKey, stream: Stream, place: int, count: int, index: int) -> None:
        data = self._opener.payloads(self._packet_bytes, place, count)
        is_announced = held.key_id == self._ring.current
        stream.note_run(held.key_id, index, count, self._now, is_announced=is_announced)
        self._note_opened(held, stream, count, len(data), self._now)
        slab = Slab(data, self._packet_bytes - PACKET_OVERHEAD_BYTES)
        if stream.reorder.pass_run(index, count):
            self._ready.append(slab)
            return
        for number, payload in enumerate(slab.payloads()):
            if not stream.reorder.push(index + number, payload, self._now):
                self._stats.late += 1

    def _packet(self, place: int) -> bytes:
        start = place * self._packet_bytes
        return bytes(self.buffer[start : start + self._packet_bytes])
