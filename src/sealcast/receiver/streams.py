"""Owns what a receiver knows of one SSRC: its counters, replay windows, order, and how to open a packet."""

from collections.abc import Collection

from sealcast.core.errors import AuthenticationError, ReplayError
from sealcast.core.ids import KeyId, PacketIndex
from sealcast.receiver.keyring import HeldKey
from sealcast.receiver.reorder import ReorderBuffer
from sealcast.wire import rtp, srtp
from sealcast.wire.counters import RolloverCounter
from sealcast.wire.replay import ReplayWindow

STREAMS_MAX = 16
"""Senders' runs remembered on a channel; the one that was vouched for longest ago goes."""

UNPROVEN_AHEAD = 1_024
"""So far ahead of a SEAL packet may the packets behind it be taken: 100 ms at 100 Mbit/s."""


class Stream:
    """One sender's run, as received."""

    __slots__ = (
        "_keys",
        "_windows",
        "control_index",
        "counter",
        "first_index",
        "last_index",
        "opened",
        "reorder",
        "ssrc",
        "told",
    )

    def __init__(self, ssrc: int, reorder_ms: int) -> None:
        self.ssrc = ssrc
        self.counter = RolloverCounter()
        self.reorder = ReorderBuffer(reorder_ms)
        self.control_index = -1
        self.first_index = -1
        self.last_index = -1
        self.opened = 0
        self.told: KeyId | None = None
        """The key on air, as its sender last said."""

        self._windows: dict[KeyId, ReplayWindow] = {}
        self._keys: dict[KeyId, srtp.StreamKey] = {}

    @property
    def heard_ns(self) -> int:
        """When a packet of it last verified, -1 before the first."""
        return self.counter.heard_ns

    @property
    def lost(self) -> int:
        """Packets between the first and the last opened that were not opened; no less if some came twice."""
        return max(0, self.last_index - self.first_index + 1 - self.opened) if self.opened else 0

    def open(self, held: HeldKey, packet: bytes, now: int, *, is_announced: bool = True) -> tuple[int, bytes]:
        """Return (index, payload) of a packet and remember it.

        Raises FormatError, AuthenticationError or ReplayError, and then nothing has changed. Costs one
        decryption when the ROC is committed, up to three for each candidate otherwise. While the sender's
        control packets are heard, only packets under the key that they announced move the counters.
        """
        header_bytes, padded = rtp.HEADER_BYTES, False
        if packet[0] != rtp.PLAIN_HEADER:
            header = rtp.parse_header(packet)
            header_bytes, padded = header.length_bytes, header.padded
        seq = packet[2] << 8 | packet[3]
        window = self._windows.get(held.key_id) or ReplayWindow()
        key = self.key(held)
        replayed = False
        for index in self.counter.guesses(seq, now):
            if not window.is_new(index):
                replayed = True
                continue
            try:
                payload = srtp.open_packet(key, packet, header_bytes, index)
            except AuthenticationError:
                continue
            self._windows[held.key_id] = window
            window.mark(index)
            self._count(index)
            if is_announced or not self.counter.is_vouched(now):
                self.counter.commit(index, now)
            else:
                self.counter.keep(now)
            return index, payload[: -payload[-1]] if padded and payload else payload
        if replayed:
            raise ReplayError("a packet that was opened before, or is too old to tell")
        raise AuthenticationError("a packet whose tag does not verify")

    def verifies(self, held: HeldKey, packet: bytes, now: int) -> bool:
        """Whether a packet with a plain header has an index at which it verifies; changes nothing."""
        key, seq = self.key(held), packet[2] << 8 | packet[3]
        for index in self.counter.guesses(seq, now):
            try:
                srtp.open_packet(key, packet, rtp.HEADER_BYTES, index)
            except AuthenticationError:
                continue
            return True
        return False

    def index_of_run(self, key_id: KeyId, seq: int, count: int, now: int) -> int | None:
        """Return the index of the first of `count` packets in a row that are new beyond doubt, or None."""
        if not self.counter.is_committed(now):
            return None
        guesses, ends = self.counter.guesses(seq, now), self.counter.guesses(seq + count - 1 & 0xFFFF, now)
        if not guesses or not ends or ends[0] - guesses[0] != count - 1:
            return None
        window = self._windows.get(key_id)
        return guesses[0] if window is not None and window.is_ahead(guesses[0]) else None

    def note_run(self, key_id: KeyId, index: int, count: int, now: int, *, is_announced: bool = True) -> None:
        """Remember packets that verified, the first at `index`, which `index_of_run` gave."""
        self._windows[key_id].mark_run(index, count)
        self.first_index = min(self.first_index, index)
        self.last_index = max(self.last_index, index + count - 1)
        self.opened += count
        if is_announced or not self.counter.is_vouched(now):
            self.counter.commit(index + count - 1, now)
        else:
            self.counter.keep(now)

    def note_unproven(self, index: int, count: int) -> None:
        """Count packets in a row that nothing proves, which move no counter."""
        self.first_index = min(self.first_index, index) if self.opened else index
        self.last_index = max(self.last_index, index + count - 1)
        self.opened += count

    def lead_back(self, index: int) -> None:
        """Take a sender's signed word for its last packet: none has come from far beyond it."""
        self.reorder.lead_back(index, UNPROVEN_AHEAD)
        if self.last_index > index + UNPROVEN_AHEAD:
            self.last_index = index

    def key(self, held: HeldKey) -> srtp.StreamKey:
        """Return a held key as this SSRC uses it."""
        key = self._keys.get(held.key_id)
        if key is None:
            key = self._keys[held.key_id] = held.rtp.stream(self.ssrc)
        return key

    def keep_only(self, held: Collection[KeyId]) -> None:
        """Drop what belongs to keys that are no longer held."""
        for key_id in [key_id for key_id in self._windows if key_id not in held]:
            del self._windows[key_id]
            self._keys.pop(key_id, None)

    def _count(self, index: int) -> None:
        if self.opened == 0 or index < self.first_index:
            self.first_index = index
        self.last_index = max(self.last_index, index)
        self.opened += 1


class Streams(dict[int, Stream]):
    """The streams by their SSRC, the one that was vouched for last at the end."""

    def __init__(self, reorder_ms: int) -> None:
        super().__init__()
        self.reorder_ms = reorder_ms

    def vouch(self, ssrc: int) -> Stream:
        """Return the stream of an SSRC that a grant or a verified SEAL packet has just vouched for."""
        stream = self.pop(ssrc, None)
        if stream is None:
            if len(self) >= STREAMS_MAX:
                del self[next(iter(self))]
            stream = Stream(ssrc, self.reorder_ms)
        self[ssrc] = stream
        return stream

    @property
    def last_index(self) -> PacketIndex | None:
        """The highest index opened, of the last of them that anything was opened of."""
        opened = [stream.last_index for stream in self.values() if stream.opened]
        return PacketIndex(opened[-1]) if opened else None
