"""Owns the RTCP packets we use (RFC 3550 §6): SR, SDES with CNAME, BYE and APP, in one compound.

```
V=2 P=0 count 5 ‖ PT 8 ‖ length 16 (words - 1) ‖ SSRC 32 ‖ …
SR   200  NTP 64 (0: no wall clock, §6.4.1) ‖ RTP timestamp ‖ packets ‖ octets
SDES 202  SSRC ‖ CNAME(1) ‖ length 8 ‖ text ‖ 0 … to a word
BYE  203  SSRC
APP  204  SSRC ‖ name 4 ‖ data
```
"""

import struct
from dataclasses import dataclass

from sealcast.core.errors import FormatError

PT_SR, PT_SDES, PT_BYE, PT_APP = 200, 202, 203, 204
CNAME_BYTES_MAX = 255
PACKETS_MAX = 8
"""Packets in a compound that we read; ours has four."""

_HEADER = struct.Struct(">BBHI")
_SENDER_INFO = struct.Struct(">QIII")
_U32_MASK = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class RtcpPacket:
    """One packet of a compound: `offset` is where its body, behind the SSRC, stands in the compound."""

    packet_type: int
    ssrc: int
    offset: int
    body: bytes


def sender_report(ssrc: int, timestamp: int, packets: int, octets: int) -> bytes:
    """Return an SR without reception blocks (§6.4.1)."""
    info = _SENDER_INFO.pack(0, timestamp & _U32_MASK, packets & _U32_MASK, octets & _U32_MASK)
    return _packet(PT_SR, 0, ssrc, info)


def source_description(ssrc: int, cname: str) -> bytes:
    """Return an SDES with one CNAME (§6.5.1)."""
    text = cname.encode()[:CNAME_BYTES_MAX]
    item = bytes((1, len(text))) + text
    return _packet(PT_SDES, 1, ssrc, item + bytes(4 - len(item) % 4))


def goodbye(ssrc: int) -> bytes:
    """Return a BYE (§6.6)."""
    return _packet(PT_BYE, 1, ssrc, b"")


def application(ssrc: int, name: bytes, data: bytes) -> bytes:
    """Return an APP (§6.7); `name` has 4 bytes, `data` whole words."""
    return _packet(PT_APP, 0, ssrc, name + data)


def split_compound(compound: bytes) -> list[RtcpPacket]:
    """Take a compound apart; raises FormatError unless whole packets fill it."""
    packets: list[RtcpPacket] = []
    offset = 0
    while offset < len(compound):
        if offset + _HEADER.size > len(compound) or len(packets) == PACKETS_MAX:
            raise FormatError("not a compound of RTCP packets")
        first, packet_type, words, ssrc = _HEADER.unpack_from(compound, offset)
        end = offset + 4 * (words + 1)
        if first >> 6 != 2 or first & 0x20 or words < 1 or end > len(compound):
            raise FormatError("an RTCP packet that does not fit its compound")
        body = compound[offset + _HEADER.size : end]
        packets.append(RtcpPacket(packet_type, ssrc, offset + _HEADER.size, body))
        offset = end
    return packets


def _packet(packet_type: int, count: int, ssrc: int, body: bytes) -> bytes:
    return _HEADER.pack(2 << 6 | count, packet_type, (len(body) + 4) // 4, ssrc) + body
