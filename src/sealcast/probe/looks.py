"""Owns what one datagram looks like from outside: RTP or not, MPEG-TS in the clear or something opaque.

```
RTP header ‖ 47 … 188 bytes … 47 …          MPEG-TS, in the clear (RFC 2250)
             47 … 188 bytes … 47 …          the same without RTP
RTP header ‖ opaque ‖ tag 4, 10, 16 ‖ MKI    SRTP (RFC 3711 §3.1, RFC 7714)
```
"""

from dataclasses import dataclass

from sealcast.core.errors import FormatError
from sealcast.wire.rtp import PAYLOAD_TYPE_MP2T, RtpHeader, parse_header

TS_PACKET_BYTES = 188
TS_SYNC = 0x47
TS_SURE_PACKETS = 2
"""One byte 47 is chance in 256 packets; behind a header that says MPEG-TS it is none."""

SCRAMBLING_BITS = 0xC0
"""transport_scrambling_control in the fourth byte of a TS packet (ISO/IEC 13818-1 §2.4.3.3)."""


@dataclass(frozen=True, slots=True)
class Look:
    """One datagram: its RTP header if it has one, what follows, and how many TS packets stand there openly.

    `ts_scrambled` of the `ts_packets` say themselves that their content is scrambled.
    """

    header: RtpHeader | None
    payload: bytes
    ts_packets: int = 0
    ts_scrambled: int = 0


def look_at(datagram: bytes) -> Look:
    """Return what a datagram looks like; any bytes are answered, none raise."""
    header = _header(datagram)
    payload = datagram[header.length_bytes :] if header else datagram
    firsts = payload[::TS_PACKET_BYTES]
    is_ts = bool(payload) and len(payload) % TS_PACKET_BYTES == 0 and set(firsts) == {TS_SYNC}
    says_ts = header is not None and header.payload_type == PAYLOAD_TYPE_MP2T
    if not is_ts or (len(firsts) < TS_SURE_PACKETS and not says_ts):
        return Look(header, payload)
    scrambled = sum(1 for flags in payload[3::TS_PACKET_BYTES] if flags & SCRAMBLING_BITS)
    return Look(header, payload, len(firsts), scrambled)


def _header(datagram: bytes) -> RtpHeader | None:
    try:
        return parse_header(datagram)
    except FormatError:
        return None
