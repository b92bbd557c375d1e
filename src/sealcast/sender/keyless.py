"""Owns what packets without key ID leave out (S1-15).

```
aes-gcm, framing rtp     RTP header 12 ‖ ciphertext ‖ tag 16          the MKI behind it goes
scramble, framing rtp    RTP header 12 ‖ payload XOR cycle            the trailer is not written
scramble, framing udp    payload XOR cycle                            the RTP header goes too
```
The tag of AES-GCM does not cover the MKI (RFC 3711 §3.1), so the rest is the standard packet without one.
"""

from dataclasses import dataclass

from sealcast.core.channel import ChannelSpec, Framing, Suite
from sealcast.core.errors import UsageError
from sealcast.core.ids import KEY_ID_BYTES
from sealcast.wire import rtp
from sealcast.wire.sealing import SealedBatch


@dataclass(frozen=True, slots=True)
class Cut:
    """How many bytes each packet loses at its head and at its tail."""

    head_bytes: int
    tail_bytes: int

    def trim(self, batch: SealedBatch) -> SealedBatch:
        """Return the packets without them, in memory of their own. About 1 µs a packet."""
        head, tail = self.head_bytes, self.tail_bytes
        data = b"".join([packet[head : len(packet) - tail] for packet in batch])
        return SealedBatch(memoryview(data), batch.segment_bytes - head - tail, batch.count)


def cut_of(spec: ChannelSpec) -> Cut | None:
    """Return what a channel's packets lose once they are made; None where they are whole."""
    if spec.framing is Framing.KEYED:
        return None
    if spec.suite is not Suite.SCRAMBLE:
        return Cut(0, KEY_ID_BYTES)
    return Cut(rtp.HEADER_BYTES, 0) if spec.framing is Framing.UDP else None


def check_source(spec: ChannelSpec, payload_type: int) -> None:
    """Raise UsageError if receivers could not tell which pattern scrambled the input: no transport stream."""
    if spec.suite is not Suite.SCRAMBLE or spec.framing is Framing.KEYED:
        return
    if payload_type != rtp.PAYLOAD_TYPE_MP2T:
        raise UsageError(
            "without key ID, patterns are told by the sync bytes of MPEG-TS: send a transport stream,"
            " or take --framing keyed"
        )
