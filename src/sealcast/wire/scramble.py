"""Owns packets of the scramble suite, S1's XOR with key bit patterns: neither confidential nor authentic.

```
RTP header 12.. ‖ payload XOR cycle ‖ pattern number 4 ‖ MKI 8
```
The cycle is that of the pattern number under the MKI's key (`cycles`). Opt-in by name: AES-GCM protects, and
takes less time. Whoever can send to the group can send such packets; so they change no state.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from sealcast.core.errors import FormatError, LocalError
from sealcast.core.ids import KEY_ID_BYTES, KeyId
from sealcast.wire import rtp
from sealcast.wire.cycles import Cycle
from sealcast.wire.sealing import BATCH_BYTES_MAX, Payload, SealedBatch, train_limit

PATTERN_NUMBER_BYTES = 4
TRAILER_BYTES = PATTERN_NUMBER_BYTES + KEY_ID_BYTES
"""What scrambling adds behind the RTP packet."""

PACKET_OVERHEAD_BYTES = rtp.HEADER_BYTES + TRAILER_BYTES
"""What a packet with a plain header has beside its payload: no packet of ours is shorter."""

_HEADER = struct.Struct(">BBHII")
_TRAILER = struct.Struct(f">I{KEY_ID_BYTES}s")


@dataclass(frozen=True, slots=True)
class ScrambledPacket:
    """What a received packet says of itself, none of it proven; the payload is still scrambled."""

    header: rtp.RtpHeader
    number: int
    key_id: KeyId
    payload: Payload


def parse_packet(packet: bytes) -> ScrambledPacket:
    """Read one packet, with CSRCs and extension too; raises FormatError.

    One with RTP padding is refused: where its payload ends would be the word of whoever sent it.
    """
    header = rtp.parse_header(packet)
    end = len(packet) - TRAILER_BYTES
    if end < header.length_bytes or len(packet) > BATCH_BYTES_MAX:
        raise FormatError("too short or too long for a scrambled packet")
    if header.padded:
        raise FormatError("a scrambled packet with padding")
    number, mki = _TRAILER.unpack_from(packet, end)
    return ScrambledPacket(header, number, KeyId.unpack(mki), packet[header.length_bytes : end])


def pack_trailer(number: int, mki: bytes) -> bytes:
    """Return what stands behind each payload under a pattern."""
    return _TRAILER.pack(number, mki)


def scramble_payload(cycle: Cycle, payload: Payload, seq: int = 0) -> bytes:
    """Return the payload XOR its cycle; scrambling again descrambles. SEQ counts where the rule has a step.

    4.1 µs for 1316 bytes, three times AES-GCM: Python makes numbers of bytes, and bytes of them, one by one.
    """
    size = len(payload)
    return (int.from_bytes(payload) ^ cycle.mask(size, seq)).to_bytes(size)


def descramble_packet(cycle: Cycle, packet: ScrambledPacket) -> bytes:
    """Return a packet's payload in the clear, if the cycle is right: nothing tells whether it is."""
    return scramble_payload(cycle, packet.payload, packet.header.seq)


class Scrambler:
    """Makes the packets of one SSRC in batches, as `sealing.Sealer` does.

    4.6 µs for a packet of 1316 bytes in batches of 48, where sealing takes 1.8; 5.7 with a step.
    """

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc

    def scramble(
        self,
        cycle: Cycle,
        trailer: bytes,
        index: int,
        payloads: Sequence[Payload],
        timestamps: Sequence[int],
        *,
        second: int,
    ) -> SealedBatch:
        """Scramble the first payloads, as many as one batch holds, under the trailer of one pattern.

        The first goes under `index`, each next one higher; 16 bits of it are sent. A batch ends before a
        payload of another length; a shorter one may be its last. `second` is the second byte of every header:
        marker and payload type. `PatternSchedule.plan` says how many go under a pattern. Where the stream
        carries no key ID, the trailer is empty. Raises LocalError if a payload does not fit a datagram.
        """
        packet_bytes = len(payloads[0]) + rtp.HEADER_BYTES + len(trailer)
        pieces: list[bytes] = []
        for place in range(_batch_length(payloads, packet_bytes)):
            seq = index + place & 0xFFFF
            pieces += (
                _HEADER.pack(rtp.PLAIN_HEADER, second, seq, timestamps[place], self._ssrc),
                scramble_payload(cycle, payloads[place], seq),
                trailer,
            )
        return SealedBatch(memoryview(b"".join(pieces)), packet_bytes, len(pieces) // 3)


def read_trailer(packet: Payload) -> tuple[int, bytes]:
    """Return the pattern number and the MKI behind a packet of `PACKET_OVERHEAD_BYTES` at least."""
    number, mki = _TRAILER.unpack_from(packet, len(packet) - TRAILER_BYTES)
    return number, mki


def run_length(received: memoryview, packet_bytes: int) -> int:
    """Return how many of the packets, all that long, go together from the first on.

    They have plain headers, one SSRC, SEQs in a row, the first one's number and MKI. 0 where the first has
    another header or the length is too short: such a packet is for `parse_packet`.
    """
    middle, whole = packet_bytes - PACKET_OVERHEAD_BYTES, len(received) // packet_bytes
    if middle < 0 or not whole or received[0] != rtp.PLAIN_HEADER:
        return 0
    fields = struct.Struct(f">BxH4x4s{middle}x{TRAILER_BYTES}s")
    rows = fields.iter_unpack(received[: whole * packet_bytes])
    _, first, ssrc, trailer = next(rows)
    for count, (header, seq, other_ssrc, other_trailer) in enumerate(rows, 1):
        if (
            other_trailer != trailer
            or seq != first + count & 0xFFFF
            or header != rtp.PLAIN_HEADER
            or other_ssrc != ssrc
        ):
            return count
    return whole


def descramble_run(cycle: Cycle, received: memoryview, packet_bytes: int, count: int) -> list[bytes]:
    """Return the payloads of the first `count` packets, as `run_length` counted them.

    4.5 µs for a packet of 1316 bytes.
    """
    size = packet_bytes - PACKET_OVERHEAD_BYTES
    starts = range(rtp.HEADER_BYTES, count * packet_bytes, packet_bytes)
    if not cycle.step_bits:
        mask = cycle.mask(size)
        return [(int.from_bytes(received[at : at + size]) ^ mask).to_bytes(size) for at in starts]
    first = int.from_bytes(received[2:4])
    return [
        scramble_payload(cycle, received[at : at + size], first + place & 0xFFFF)
        for place, at in enumerate(starts)
    ]


def _batch_length(payloads: Sequence[Payload], packet_bytes: int) -> int:
    """Return how many payloads one batch takes: equal in length, the last maybe shorter.

    `packet_bytes` is the length of the first one's packet. Raises LocalError if that does not fit a datagram.
    """
    size = len(payloads[0])
    if packet_bytes > BATCH_BYTES_MAX:
        raise LocalError(f"a payload of {size} bytes does not fit a datagram")
    limit = train_limit(packet_bytes)
    for place, payload in enumerate(payloads[:limit]):
        if len(payload) != size:
            return place + (len(payload) < size)
    return min(len(payloads), limit)
