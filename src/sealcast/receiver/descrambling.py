"""Owns which patterns a receiver believes in, and descrambling what came with one system call.

```
verified SEAL: number n ──► numbers from n - behind to n + ahead; ahead grows with time until the next SEAL
packet: key held, number among them ──► cycle ──► payload, in its place by SEQ
        key held, nothing told of it   ──► waits;   other numbers ──► refused
```
Nothing in a scrambled packet is proven. So no packet moves a counter, a number or a key, and none keeps a key
alive: a SEAL packet does, a grant does. What is forged can be given out, late, or in the place of a true one.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import groupby

from sealcast.core.errors import FormatError
from sealcast.core.ids import KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.receiver.keyring import KeyRing
from sealcast.receiver.pending import PendingPackets
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import Stream
from sealcast.receiver.values import Slab
from sealcast.wire import scramble
from sealcast.wire.counters import AHEAD_NS_PER_PACKET, AHEAD_PACKETS, LATE_NS
from sealcast.wire.cycles import Cycle, PatternBook
from sealcast.wire.patterns import Rule
from sealcast.wire.seal import PatternState, Seal

BEHIND_NUMBERS = 8
"""Late packets are taken under so many numbers before the one told, however slowly patterns change."""

PACKET_BYTES = 1_500
"""What a packet is taken for where numbers change by bytes: as many as an Ethernet frame carries."""

NUMBERS_MAX = 16_384
"""So far from the number told no packet is believed; a book then has patterns for 65,536 at most."""

UNTOLD_NS = 10 * NS_PER_S
"""A key may have been on air so long before the first SEAL packet under it is heard: two intervals of it."""


class PatternReach:
    """How many numbers a sender may have passed in a time, by the channel's policy."""

    def __init__(self, policy: PatternPolicy) -> None:
        self._after_ns = policy.after_ms * NS_PER_MS if policy.after_ms is not None else None
        self._after_packets, self._after_bytes = policy.after_packets, policy.after_bytes

    def passed_max(self, elapsed_ns: int) -> int:
        """Return the most numbers that can have passed, 1 at least.

        Beyond the time: 16,384 packets, and 61,000 a second (as `wire.counters`), of 1,500 bytes each.
        """
        packets = AHEAD_PACKETS + elapsed_ns // AHEAD_NS_PER_PACKET
        passed = 1
        if self._after_ns is not None:
            passed += 1 + elapsed_ns // self._after_ns
        if self._after_packets is not None:
            passed += packets // self._after_packets
        if self._after_bytes is not None:
            passed += packets * PACKET_BYTES // self._after_bytes
        return min(passed, NUMBERS_MAX)


class HeldPatterns:
    """The patterns of the keys in a ring: which numbers are believed, and their cycles."""

    def __init__(self, policy: PatternPolicy, ring: KeyRing) -> None:
        self._bits = policy.bits
        self._rule = Rule.parse(policy.rule)
        self._reach = PatternReach(policy)
        self._behind = max(BEHIND_NUMBERS, self._reach.passed_max(LATE_NS))
        self._ring = ring
        self._told: dict[KeyId, tuple[int, int]] = {}
        """The number in the last SEAL packet under a key, and when that was heard, in monotonic ns."""
        self._books: dict[KeyId, PatternBook] = {}

    def announce(self, key_id: KeyId, state: PatternState, now: int) -> None:
        """Take a sender's signed word for the number in use; patterns long before it are erased."""
        self._told[key_id] = state.number, now
        if key_id in self._books:
            self._books[key_id].drop_before(max(self._rule.first_number, state.number - self._behind))

    def numbers(self, key_id: KeyId, now: int) -> range | None:
        """Return the numbers that are believed under a held key; None while nothing is known of them.

        Of a key that is still to come the first are: its SEAL packets may be lost, or come after its data.
        """
        first = self._rule.first_number
        if key_id in self._told:
            number, told_ns = self._told[key_id]
            return range(
                max(first, number - self._behind), number + self._reach.passed_max(now - told_ns) + 1
            )
        if self._ring.current is not None and key_id > self._ring.current:
            return range(first, first + self._reach.passed_max(UNTOLD_NS) + 1)
        return None

    def cycle(self, key_id: KeyId, number: int) -> Cycle | None:
        """Return the cycle of a number that is believed; None if the key is not held."""
        tek, book = self._ring.tek(key_id), self._books.get(key_id)
        if tek is None:
            return None
        if book is None:
            derive = partial(derive_pattern_bits, tek)
            book = self._books[key_id] = PatternBook(self._rule, derive=derive, bits=self._bits)
        return book.cycle(number)

    def keep_only(self, held: Collection[KeyId]) -> None:
        """Erase the patterns of keys that are no longer held."""
        for key_id in [key_id for key_id in self._books if key_id not in held]:
            self._books.pop(key_id).erase()
        self._told = {key_id: told for key_id, told in self._told.items() if key_id in held}


class ScrambledReader:
    """Takes the packets of a scrambled channel for one receiver session, as `TrainReader` does of others."""

    def __init__(
        self,
        policy: PatternPolicy,
        ring: KeyRing,
        streams: dict[int, Stream],
        pending: PendingPackets,
        *,
        ask: Callable[[list[bytes], int], None],
        note_opened: Callable[[Stream, int], None],
        buffer: memoryview,
        stats: ReceiverStats,
    ) -> None:
        """`ask` takes packets whose key is not held, with now; `pending` those of which nothing is told yet.

        `note_opened` takes stream and now. Trains are received in `buffer`.
        """
        self.patterns = HeldPatterns(policy, ring)
        self.buffer = buffer
        self._ring = ring
        self._streams = streams
        self._pending = pending
        self._ask = ask
        self._note_opened = note_opened
        self._stats = stats
        self._ready: list[Slab] = []

    def note_told(self, seal: Seal, now: int) -> None:
        """Take what a verified SEAL packet says."""
        if seal.patterns is not None:
            self.patterns.announce(seal.current, seal.patterns, now)
        stream = self._streams.get(seal.ssrc)
        if stream is not None:
            stream.lead_back(seal.roc << 16 | seal.seq)

    def keep_only(self, held: Collection[KeyId]) -> None:
        """Erase the patterns of keys that are no longer held."""
        self.patterns.keep_only(held)

    def pop_ready(self) -> list[Slab]:
        """Return what came in order; it leaves before what waits."""
        ready, self._ready = self._ready, []
        return ready

    def take(self, size_bytes: int, packet_bytes: int, now: int) -> int:
        """Take the train in `buffer`, datagrams of `packet_bytes` and a last shorter one; return how many."""
        whole, rest_bytes = divmod(size_bytes, packet_bytes)
        end = size_bytes - rest_bytes
        self._take_alike(self.buffer[:end], packet_bytes, now)
        if rest_bytes:
            self._take_alike(self.buffer[end:size_bytes], rest_bytes, now)
        return whole + (1 if rest_bytes else 0)

    def take_waiting(self, key_id: KeyId, now: int) -> None:
        """Take what waited for a held key, if its patterns are known by now."""
        if self.patterns.numbers(key_id, now) is not None:
            waiting = self._pending.take(key_id)
            known = [packet for _, packet in waiting if int.from_bytes(packet[8:12]) in self._streams]
            self.take_packets(known, now)
            for arrived_ns, packet in waiting:
                if int.from_bytes(packet[8:12]) not in self._streams:
                    self._pending.hold(key_id, packet, arrived_ns)
            self._count_dropped()

    def take_packets(self, packets: Sequence[bytes], now: int) -> None:
        """Take packets that waited, or came one by one, as if they came now."""
        for packet_bytes, alike in groupby(packets, len):
            if packet_bytes:
                self._take_alike(memoryview(b"".join(alike)), packet_bytes, now)
            else:
                self._stats.refused += sum(1 for _ in alike)

    def _take_alike(self, packets: memoryview, packet_bytes: int, now: int) -> None:
        """Take packets of one length, as many at a time as go together."""
        while packets:
            count = scramble.run_length(packets, packet_bytes)
            if count:
                self._take_run(packets[: count * packet_bytes], packet_bytes, count, now)
            else:
                self._take_odd(bytes(packets[:packet_bytes]), now)
            packets = packets[max(1, count) * packet_bytes :]

    def _take_run(self, run: memoryview, packet_bytes: int, count: int, now: int) -> None:
        ssrc, seq = int.from_bytes(run[8:12]), int.from_bytes(run[2:4])
        place = self._place(run, packet_bytes, ssrc, seq, now)
        if place is None:
            return
        cycle, stream, index = place
        size_bytes = packet_bytes - scramble.PACKET_OVERHEAD_BYTES
        payloads = scramble.descramble_run(cycle, run, packet_bytes, count)
        self._note(stream, index, count, count * size_bytes, now)
        if size_bytes and stream.reorder.pass_run(index, count):
            self._ready.append(Slab(b"".join(payloads), size_bytes))
            return
        for number, payload in enumerate(payloads):
            self._stats.late += not stream.reorder.push(index + number, payload, now)

    def _take_odd(self, packet: bytes, now: int) -> None:
        """Take a packet with CSRCs or an extension, or refuse what is none."""
        try:
            parsed = scramble.parse_packet(packet)
        except FormatError:
            self._stats.refused += 1
            return
        place = self._place(memoryview(packet), len(packet), parsed.header.ssrc, parsed.header.seq, now)
        if place is not None:
            cycle, stream, index = place
            payload = scramble.descramble_packet(cycle, parsed)
            self._note(stream, index, 1, len(payload), now)
            self._stats.late += not stream.reorder.push(index, payload, now)

    def _place(
        self, run: memoryview, packet_bytes: int, ssrc: int, seq: int, now: int
    ) -> tuple[Cycle, Stream, int] | None:
        """Return cycle, stream and first index of packets that belong together, of an SSRC and from a SEQ on.

        None if they wait or were refused.
        """
        number, mki = scramble.read_trailer(run[:packet_bytes])
        held = self._ring.find(mki)
        if held is None:
            self._ask(_apart(run, packet_bytes), now)
            return None
        stream, numbers = self._streams.get(ssrc), self.patterns.numbers(held.key_id, now)
        if stream is None or numbers is None:
            self._pending.hold_run(held.key_id, _apart(run, packet_bytes), now)
            self._count_dropped()
            return None
        index = stream.counter.unproven(seq, now, stream.last_index)
        cycle = self.patterns.cycle(held.key_id, number) if number in numbers else None
        if cycle is None or index is None:
            self._stats.refused += len(run) // packet_bytes
            return None
        return cycle, stream, index

    def _note(self, stream: Stream, index: int, count: int, size_bytes: int, now: int) -> None:
        stream.note_unproven(index, count)
        self._stats.opened += count
        self._stats.opened_bytes += size_bytes
        self._note_opened(stream, now)

    def _count_dropped(self) -> None:
        self._stats.dropped += self._pending.dropped
        self._pending.dropped = 0


def _apart(run: memoryview, packet_bytes: int) -> list[bytes]:
    """Return packets of one length one by one, to keep."""
    return [bytes(run[at : at + packet_bytes]) for at in range(0, len(run), packet_bytes)]
