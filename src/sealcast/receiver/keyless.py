"""Owns finding the key of packets that do not name it (S1-15): the tag, or the sync bytes, decide.

```
aes-gcm   keys held: the last that fitted, current, next, previous ──► tag verifies ──► opened
scramble  (key, number) by the sender's word and the time since    ──► 0x47 each 188 bytes ──► descrambled
neither   waits for the next key or word; the sender is asked
```
What is tried first depends on packets; what may be tried only on what the sender signed, and time.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from enum import Enum
from itertools import groupby

from sealcast.core.channel import ChannelSpec, Framing
from sealcast.core.errors import AuthenticationError, FormatError, ReplayError
from sealcast.core.ids import Epoch, KeyId
from sealcast.core.ports import NS_PER_S
from sealcast.receiver.descrambling import HeldPatterns
from sealcast.receiver.fetch import UNKNOWN_KEY_NS
from sealcast.receiver.finding import TS_PACKET_BYTES, PatternFinder
from sealcast.receiver.keyring import HeldKey, KeyRing
from sealcast.receiver.pending import PendingPackets
from sealcast.receiver.stats import ReceiverStats
from sealcast.receiver.streams import UNPROVEN_AHEAD, Stream
from sealcast.receiver.values import Slab
from sealcast.wire import rtp
from sealcast.wire.counters import estimate_index
from sealcast.wire.seal import Seal
from sealcast.wire.srtp import TAG_BYTES

SILENT_NS = 5 * NS_PER_S
"""Packets fit nothing and the sender has said nothing for so long: the key server may know more."""

NoteOpened = Callable[[HeldKey, Stream, int, int, int], None]
"""Takes key, stream, packets, bytes and now of what was verified."""

NoteUnproven = Callable[[Stream, int], None]
"""Takes stream and now of what was descrambled."""


class Wish(Enum):
    """Why the sender should be asked."""

    FITS_NOTHING = "packets fit nothing"
    FITS_NEWER = "packets fit a newer key"


class KeylessReader:
    """Takes the packets of a channel without key IDs for one receiver session, whose parts it borrows.

    A sealed packet takes 16 µs, a scrambled one 8, with an RTP header 11, where patterns are short 25. One
    that fits nothing takes 15 µs, and again when there is another key, run or number to try.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        ring: KeyRing,
        streams: dict[int, Stream],
        pending: PendingPackets,
        *,
        patterns: HeldPatterns | None,
        ask: Callable[[int], None],
        noted: tuple[NoteOpened, NoteUnproven],
        buffer: memoryview,
        stats: ReceiverStats,
    ) -> None:
        """Have `noted` called after each packet that is given out; trains are received in `buffer`.

        `ask`, with now, has the key server asked, at once or a little later.
        """
        self._ring = ring
        self._streams = streams
        self._pending = pending
        self._ask = ask
        self._key_asked_ns: int | None = None
        self._note_opened, self._note_unproven = noted
        self._stats = stats
        self.buffer = buffer
        self._hold_as = KeyId(spec.number, Epoch(0))
        """Packets that fit nothing wait under it; no packet is ever sealed for this epoch's name."""
        self._tried: tuple[object, ...] = ()
        self._last_key: KeyId | None = None
        self._finder = None if patterns is None else PatternFinder(spec, ring, patterns)
        self._is_bare = spec.framing is Framing.UDP
        self._ssrc: int | None = None
        self._references: dict[int, int] = {}
        """The highest index of each run: told, or of a packet that came close behind it."""
        self._has_far = False
        self._told_ns = 0
        self._wish: Wish | None = None
        self.told: tuple[Seal, int] | None = None
        """What the sender last said of itself, and when we heard it."""

    def pop_wish(self) -> Wish | None:
        """Return why to ask the sender, of what came since the last call; None if there is no reason."""
        wish, self._wish = self._wish, None
        return wish

    def pop_ready(self) -> list[Slab]:
        """Return nothing: every payload takes its place in the order of its stream."""
        return []

    def note_told(self, seal: Seal, now: int) -> None:
        """Take what a sender signed, in a SEAL packet or an answer; of an earlier key it says nothing new."""
        if self.told is not None and seal.current < self.told[0].current:
            return
        self.told = seal, now
        self._ssrc, self._told_ns = seal.ssrc, now
        self._references[seal.ssrc] = index = seal.roc << 16 | seal.seq
        if self._finder is not None and not self._is_bare and seal.ssrc in self._streams:
            self._streams[seal.ssrc].lead_back(index)
        if self._has_far:
            self._tried, self._has_far = (), False
        for ssrc in [ssrc for ssrc in self._references if ssrc not in self._streams]:
            del self._references[ssrc]
        if self._finder is not None:
            self._finder.note_told(seal, now)

    def keep_only(self, held: Collection[KeyId]) -> None:
        """Erase the patterns of keys that are no longer held."""
        if self._finder is not None:
            self._finder.keep_only(held)

    def take(self, size_bytes: int, packet_bytes: int, now: int) -> int:
        """Take the train in `buffer`, datagrams of `packet_bytes` and a last shorter one; return how many."""
        ends = range(0, size_bytes, packet_bytes)
        packets = [bytes(self.buffer[at : min(at + packet_bytes, size_bytes)]) for at in ends]
        self.take_packets(packets, now)
        return len(packets)

    def take_packets(self, packets: Sequence[bytes], now: int) -> None:
        """Take packets one by one; those that fit nothing wait."""
        for fits, alike in groupby(packets, lambda packet: self._take(packet, now, now)):
            if not fits:
                self._pending.hold_run(self._hold_as, list(alike), now)
                self._wish = Wish.FITS_NOTHING
                self._ask_for_key(now)

    def take_waiting(self, key_id: KeyId, now: int) -> None:
        """Try again what waits, for whichever key, if there is something new to try."""
        del key_id
        place = None if self._finder is None else self._finder.place(now)
        known = (*self._ring.held, *self._streams, self._ssrc, place)
        if known == self._tried:
            return
        self._tried = known
        for arrived_ns, packet in self._pending.take(self._hold_as):
            if not self._take(packet, arrived_ns, now):
                self._pending.hold(self._hold_as, packet, arrived_ns)

    def _ask_for_key(self, now: int) -> None:
        """Have the key server asked, where the sender cannot help: we hold no key, or it does not answer."""
        since_ns = now - self._told_ns
        is_lost = not self._ring.held or self.told is None or since_ns >= SILENT_NS
        if is_lost and (self._key_asked_ns is None or now - self._key_asked_ns >= UNKNOWN_KEY_NS):
            self._key_asked_ns = now
            self._ask(now)

    def _take(self, packet: bytes, arrived_ns: int, now: int) -> bool:
        """Give a packet's payload out if it fits; what is no packet at all is refused."""
        if self._is_bare:
            return self._descramble(packet, None, arrived_ns, now)
        try:
            header = rtp.parse_header(packet)
        except FormatError:
            self._stats.refused += 1
            return True
        if self._finder is None:
            return self._open(packet, header, now)
        if header.padded:
            self._stats.refused += 1
            return True
        return self._descramble(packet, header, arrived_ns, now)

    def _open(self, packet: bytes, header: rtp.RtpHeader, now: int) -> bool:
        """Try the keys held on a sealed packet; the tag decides."""
        if len(packet) < header.length_bytes + TAG_BYTES:
            self._stats.refused += 1
            return True
        stream = self._streams.get(header.ssrc)
        if stream is None:
            return False
        is_replayed = False
        for key_id in self._keys_in_line():
            mki = key_id.pack()
            held = self._ring.find(mki)
            if held is None:
                continue
            is_announced = key_id == self._ring.current
            try:
                index, payload = stream.open(held, packet + mki, now, is_announced=is_announced)
            except AuthenticationError:
                continue
            except ReplayError:
                is_replayed = True
                continue
            self._note_fit(key_id)
            self._note_opened(held, stream, 1, len(payload), now)
            self._stats.late += not stream.reorder.push(index, payload, now)
            return True
        self._stats.replayed += is_replayed
        return is_replayed

    def _keys_in_line(self) -> Iterator[KeyId]:
        """Give the keys held, in the order in which they are tried."""
        held, current = self._ring.held, self._ring.current
        if self._last_key in held:
            yield self._last_key
        newer = sorted(key_id for key_id in held if current is None or key_id >= current)
        older = sorted((key_id for key_id in held if key_id not in newer), reverse=True)
        yield from (key_id for key_id in (*newer, *older) if key_id != self._last_key)

    def _descramble(self, packet: bytes, header: rtp.RtpHeader | None, arrived_ns: int, now: int) -> bool:
        """Try the patterns in line on a scrambled packet; its sync bytes decide."""
        ssrc, seq, start = self._ssrc, None, 0
        if header is not None:
            ssrc, seq, start = header.ssrc, header.seq, header.length_bytes
        stream = None if ssrc is None else self._streams.get(ssrc)
        if len(packet) == start or (len(packet) - start) % TS_PACKET_BYTES:
            self._stats.refused += 1
            return True
        if self._finder is None or stream is None:
            return False
        found = self._finder.find(packet[start:], seq or 0, arrived_ns)
        if found is None:
            return False
        key_id, payload = found
        index = self._index(stream, seq)
        if index is None:
            return False
        self._note_fit(key_id)
        stream.note_unproven(index, 1)
        self._stats.opened += 1
        self._stats.opened_bytes += len(payload)
        self._note_unproven(stream, now)
        self._stats.late += not stream.reorder.push(index, payload, now)
        return True

    def _index(self, stream: Stream, seq: int | None) -> int | None:
        """Return the place of a scrambled packet; None if it is too far ahead to be believed.

        Without SEQ it comes behind the one before.
        """
        reference = self._references.get(stream.ssrc, 0)
        if seq is None:
            return stream.last_index + 1 if stream.opened else reference
        index = estimate_index(reference, seq)
        if index > reference + UNPROVEN_AHEAD:
            self._has_far = True
            return None
        self._references[stream.ssrc] = max(reference, index)
        return index

    def _note_fit(self, key_id: KeyId) -> None:
        self._last_key = key_id
        if self._ring.current is not None and key_id > self._ring.current:
            self._wish = self._wish or Wish.FITS_NEWER
