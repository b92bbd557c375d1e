"""Owns reading membership queries out of captured packets: IGMP (RFC 3376 §4.1) and MLD (RFC 3810 §5.1).

```
IPv4 header ‖ 0x11 ‖ max response 8 ‖ checksum 16 ‖ group 32 [‖ IGMPv3 …]
IPv6 header ‖ hop-by-hop ‖ 130 ‖ 0 ‖ checksum 16 ‖ max response 16 ‖ 0 16 ‖ group 128 [‖ MLDv2 …]
```
"""

import ipaddress
from dataclasses import dataclass

IGMP, HOP_BY_HOP, ICMPV6 = 2, 0, 58
IGMP_QUERY, MLD_QUERY = 0x11, 130
IGMP_BYTES, MLD_BYTES = 8, 24
"""Lengths of the older versions' queries; the newer ones are longer."""

IPV4_HEADER_MIN, IPV6_HEADER = 20, 40


@dataclass(frozen=True, slots=True)
class Query:
    """Somebody asks who is in a group, or in which (`group` None); `family` is 4 or 6."""

    family: int
    version: int
    source: str
    group: str | None


def read_query(packet: bytes) -> Query | None:
    """Return the query in an IP packet; None for anything else, whatever bytes they are."""
    version = packet[0] >> 4 if packet else 0
    if version == 4:
        return _read_igmp(packet)
    return _read_mld(packet) if version == 6 else None


def _read_igmp(packet: bytes) -> Query | None:
    start = 4 * (packet[0] & 0x0F)
    message = packet[start : int.from_bytes(packet[2:4], "big")]
    if start < IPV4_HEADER_MIN or len(packet) < start or packet[9] != IGMP:
        return None
    if len(message) < IGMP_BYTES or message[0] != IGMP_QUERY:
        return None
    version = 3 if len(message) > IGMP_BYTES else 2 if message[1] else 1
    group = ipaddress.IPv4Address(message[4:8])
    source = ipaddress.IPv4Address(packet[12:16])
    return Query(4, version, str(source), None if group.is_unspecified else str(group))


def _read_mld(packet: bytes) -> Query | None:
    if len(packet) < IPV6_HEADER + 8 or packet[6] != HOP_BY_HOP or packet[IPV6_HEADER] != ICMPV6:
        return None
    start = IPV6_HEADER + 8 * (1 + packet[IPV6_HEADER + 1])
    message = packet[start : IPV6_HEADER + int.from_bytes(packet[4:6], "big")]
    if len(message) < MLD_BYTES or message[0] != MLD_QUERY:
        return None
    group = ipaddress.IPv6Address(message[8:24])
    source = ipaddress.IPv6Address(packet[8:24])
    version = 2 if len(message) > MLD_BYTES else 1
    return Query(6, version, str(source), None if group.is_unspecified else str(group))
