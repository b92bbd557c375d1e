"""Owns the RTP header (RFC 3550 §5.1) and how MPEG-TS travels in it (RFC 2250).

```
 0               1               2               3
|V=2|P|X|  CC   |M|     PT      |             SEQ               |
|                           timestamp                           |
|                             SSRC                              |
|                    CSRC, 4 bytes · CC …                       |
|   if X: profile 2 ‖ length 2 (in words) ‖ extension …         |
```

What we send has P = X = CC = 0, so its header is 12 bytes.
"""

import struct
from dataclasses import dataclass

from sealcast.core.errors import FormatError

HEADER_BYTES = 12
VERSION = 2
PLAIN_HEADER = VERSION << 6
"""The first byte of a header of 12 bytes: no CSRC, extension or padding. What we send has it."""

PAYLOAD_TYPE_MP2T = 33
"""MPEG-TS (RFC 3551 §6)."""

PAYLOAD_TYPE_DATA = 96
"""First dynamic type: anything that is not a transport stream."""

SEQ_MODULUS = 1 << 16
TIMESTAMP_MASK = 0xFFFFFFFF

_FIXED = struct.Struct(">BBHII")


@dataclass(frozen=True, slots=True)
class RtpHeader:
    """The fields of a received header; `length_bytes` counts CSRCs and extension in."""

    payload_type: int
    marker: bool
    seq: int
    timestamp: int
    ssrc: int
    length_bytes: int
    padded: bool


def pack_header(payload_type: int, seq: int, timestamp: int, ssrc: int, *, marker: bool = False) -> bytes:
    """Return the 12 bytes of a header without CSRCs, extension or padding."""
    return _FIXED.pack(PLAIN_HEADER, marker << 7 | payload_type, seq, timestamp & TIMESTAMP_MASK, ssrc)


def parse_header(packet: bytes) -> RtpHeader:
    """Read a header; raises FormatError if the packet is not RTP version 2 or is cut short."""
    if len(packet) < HEADER_BYTES:
        raise FormatError("shorter than an RTP header")
    first, second, seq, timestamp, ssrc = _FIXED.unpack_from(packet)
    if first >> 6 != VERSION:
        raise FormatError("not RTP version 2")
    length = HEADER_BYTES + 4 * (first & 0x0F)
    if first & 0x10:
        length = _after_extension(packet, length)
    if length > len(packet):
        raise FormatError("an RTP header that is longer than its packet")
    return RtpHeader(
        payload_type=second & 0x7F,
        marker=bool(second & 0x80),
        seq=seq,
        timestamp=timestamp,
        ssrc=ssrc,
        length_bytes=length,
        padded=bool(first & 0x20),
    )


def _after_extension(packet: bytes, offset: int) -> int:
    """Return where a header extension ends (RFC 3550 §5.3.1)."""
    if offset + 4 > len(packet):
        raise FormatError("an RTP header extension that is cut short")
    return offset + 4 + 4 * int.from_bytes(packet[offset + 2 : offset + 4], "big")
