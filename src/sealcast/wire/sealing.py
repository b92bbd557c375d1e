"""Owns sealing many SRTP packets at a call, into one buffer that leaves with one system call.

```
slot 0                          slot 1                     …  at most 64 slots, 65,507 bytes
RTP header ‖ ciphertext ‖ tag ‖ MKI │ RTP header ‖ …
```
All slots of a batch are equal in length, only the last may be shorter: so the kernel cuts them apart
(UDP_SEGMENT). What does not change from packet to packet stands in the slots beforehand: version, type, SSRC
and MKI. The loop writes SEQ and timestamp and has the cipher write into the slot; nothing is copied.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from sealcast.core.errors import LocalError
from sealcast.wire import rtp
from sealcast.wire.ivs import make_ivs
from sealcast.wire.srtp import PACKET_OVERHEAD_BYTES, TAG_BYTES, StreamKey

BATCH_BYTES_MAX = 65_507
"""The longest UDP payload over IPv4; one system call takes no more."""

BATCH_PACKETS_MAX = 64
"""UDP_MAX_SEGMENTS of Linux before 6.9."""

LAYOUTS_MAX = 8
"""Packet lengths whose slots are remembered: 1316, the rest of a file, and what an encoder varies."""

INDEX_LIMIT = 1 << 48
"""An SRTP index never wraps under one SSRC (RFC 3711 §9.2); at 10 Gbit/s this lasts 9 years."""

Payload = bytes | bytearray | memoryview

_VARYING = struct.Struct(">HI")
_VARYING_OFFSET = 2


class SealedBatch:
    """Packets that stand one behind the other in `data`, each `segment_bytes` long, the last maybe shorter.

    `data` is the sealer's own buffer: it is good until the next call. An ordinary class, because a frozen
    dataclass takes longer to make than a packet to seal.
    """

    __slots__ = ("count", "data", "segment_bytes")

    def __init__(self, data: memoryview, segment_bytes: int, count: int) -> None:
        self.data = data
        self.segment_bytes = segment_bytes
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[memoryview]:
        """Give the packets one by one, for sockets that take no batch."""
        size = self.segment_bytes
        return (self.data[at : at + size] for at in range(0, len(self.data), size))

    def after(self, packets: int) -> "SealedBatch":
        """Return what is left behind the first `packets`."""
        rest = self.data[packets * self.segment_bytes :]
        return SealedBatch(rest, self.segment_bytes, self.count - packets)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The slots for packets of one length, as many as were needed so far, `limit` at most.

    `offsets` are where SEQ and timestamp stand, `headers` and `sealed` what the cipher reads and writes.
    """

    packet_bytes: int
    limit: int
    offsets: list[int]
    headers: list[memoryview]
    sealed: list[memoryview]


_Standing = tuple[int, int, bytes, _Layout, int]
"""What slots are prepared for: payload length, second header byte, MKI; and how many, from the first."""


def train_limit(datagram_bytes: int) -> int:
    """Return how many datagrams of that length leave with one system call, at least 1."""
    return max(1, min(BATCH_PACKETS_MAX, BATCH_BYTES_MAX // datagram_bytes))


def _first_alike(payloads: Sequence[Payload]) -> tuple[int, int]:
    """Return the first payload's length and how many, from the first, are as long: 64 at most."""
    lengths = list(map(len, payloads[:BATCH_PACKETS_MAX]))
    size_bytes = lengths[0]
    if lengths.count(size_bytes) == len(lengths):
        return size_bytes, len(lengths)
    return size_bytes, next(place for place, length in enumerate(lengths) if length != size_bytes)


def batch_limit(payload_bytes: int) -> int:
    """Return how many packets with payloads of that length fit one batch, at least 1."""
    return train_limit(payload_bytes + PACKET_OVERHEAD_BYTES)


class Sealer:
    """Seals the packets of one SSRC in batches; holds a buffer of 64 kB.

    About 0.25 µs a packet beside the cipher, in batches of 45.
    """

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._buffer = bytearray(BATCH_BYTES_MAX)
        self._view = memoryview(self._buffer)
        self._layouts: dict[int, _Layout] = {}
        self._standing: _Standing | None = None

    def seal(
        self,
        key: StreamKey,
        mki: bytes,
        index: int,
        payloads: Sequence[Payload],
        timestamps: Sequence[int],
        *,
        second: int,
    ) -> SealedBatch:
        """Seal the first payloads, as many as one batch holds, the first under `index`, each next one higher.

        A batch ends before a payload of another length; a shorter one may be its last. `second` is the second
        byte of every header: marker and payload type. Never seal twice with the same key and index: GCM would
        break. Raises LocalError at the end of the index.
        """
        size_bytes, count = _first_alike(payloads)
        standing = self._standing
        if (
            standing is None
            or standing[0] != size_bytes
            or standing[1] != second
            or standing[2] != mki
            or standing[4] < count
        ):
            standing = self._prepare(size_bytes, second, mki, count)
        layout = standing[3]
        count = min(count, layout.limit)
        self._seal_alike(layout, key, index, payloads, timestamps[:count])
        end, index = count * layout.packet_bytes, index + count
        has_last = count < min(len(payloads), layout.limit) and len(payloads[count]) < size_bytes
        if index + has_last > INDEX_LIMIT:
            raise LocalError("the packet index is used up; start the sender again")
        if has_last:
            end = self._seal_last(standing, key, index, (payloads[count], timestamps[count]), end)
            count += 1
        return SealedBatch(self._view[:end], layout.packet_bytes, count)

    def _seal_alike(
        self,
        layout: _Layout,
        key: StreamKey,
        index: int,
        payloads: Sequence[Payload],
        timestamps: Sequence[int],
    ) -> None:
        """Seal the first payloads, as many as there are timestamps, all as long as the layout's."""
        count = len(timestamps)
        offsets, headers, sealed = layout.offsets, layout.headers, layout.sealed
        if len(offsets) != count:
            offsets, headers, sealed = offsets[:count], headers[:count], sealed[:count]
        seqs: Sequence[int] = range(index & 0xFFFF, (index & 0xFFFF) + count)
        if seqs[-1] > 0xFFFF:
            seqs = [seq & 0xFFFF for seq in seqs]
        # The loops over the packets are these maps: a loop in Python takes 0.3 µs a packet more.
        write: Callable[[bytearray, int, int, int], None] = _VARYING.pack_into
        deque(map(write, repeat(self._buffer), offsets, seqs, timestamps), maxlen=0)
        ivs = make_ivs(key.base, index, count)
        deque(map(key.aead.encrypt_into, ivs, payloads, headers, sealed), maxlen=0)

    def _seal_last(
        self, standing: _Standing, key: StreamKey, index: int, last: tuple[Payload, int], start: int
    ) -> int:
        """Seal a shorter packet, payload and timestamp, at the end of a batch; return where it ends."""
        (payload, timestamp), mki, header_end = last, standing[2], start + rtp.HEADER_BYTES
        self._write_last(standing, start, index, timestamp, len(payload))
        sealed_end = header_end + len(payload) + TAG_BYTES
        (iv,) = make_ivs(key.base, index, 1)
        key.aead.encrypt_into(iv, payload, self._view[start:header_end], self._view[header_end:sealed_end])
        return sealed_end + len(mki)

    def _write_last(
        self, standing: "_Standing", start: int, index: int, timestamp: int, size_bytes: int
    ) -> None:
        """Write what stands around a shorter last packet; the slot is no longer as it was."""
        _, second, mki, _, _ = standing
        self._write_fixed(start, second)
        _VARYING.pack_into(self._buffer, start + _VARYING_OFFSET, index & 0xFFFF, timestamp)
        mki_start = start + rtp.HEADER_BYTES + size_bytes + TAG_BYTES
        self._buffer[mki_start : mki_start + len(mki)] = mki
        self._standing = None

    def _prepare(self, payload_bytes: int, second: int, mki: bytes, count: int) -> "_Standing":
        """Return `count` slots for a length, or what a batch holds, with all in them that does not change.

        No more: where every packet has another length, this is most of the work.
        """
        layout = self._layouts.get(payload_bytes) or self._new_layout(payload_bytes)
        count, done = min(count, layout.limit), 0
        standing = self._standing
        if standing is not None and standing[:3] == (payload_bytes, second, mki):
            done = standing[4]
        for number in range(done, count):
            start = number * layout.packet_bytes
            self._write_fixed(start, second)
            self._buffer[start + layout.packet_bytes - len(mki) : start + layout.packet_bytes] = mki
        for number in range(len(layout.headers), count):
            start = number * layout.packet_bytes
            header_end = start + rtp.HEADER_BYTES
            layout.offsets.append(start + _VARYING_OFFSET)
            layout.headers.append(self._view[start:header_end])
            layout.sealed.append(self._view[header_end : header_end + payload_bytes + TAG_BYTES])
        self._standing = standing = (payload_bytes, second, mki, layout, max(done, count))
        return standing

    def _new_layout(self, payload_bytes: int) -> _Layout:
        packet_bytes = payload_bytes + PACKET_OVERHEAD_BYTES
        if packet_bytes > BATCH_BYTES_MAX:
            raise LocalError(f"a payload of {payload_bytes} bytes does not fit a datagram")
        if len(self._layouts) >= LAYOUTS_MAX:
            self._layouts.pop(next(iter(self._layouts)))
        layout = self._layouts[payload_bytes] = _Layout(packet_bytes, batch_limit(payload_bytes), [], [], [])
        return layout

    def _write_fixed(self, start: int, second: int) -> None:
        """Write what a header has in common with those of its run."""
        self._buffer[start] = rtp.PLAIN_HEADER
        self._buffer[start + 1] = second
        self._buffer[start + 8 : start + rtp.HEADER_BYTES] = self._ssrc.to_bytes(4, "big")
