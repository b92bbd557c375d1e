"""Tests of doctor.queries: membership queries by version, and everything else told from them."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.doctor.queries import Query, read_query


def igmp(message: bytes, *, options: bytes = b"\x94\x04\x00\x00", protocol: int = 2) -> bytes:
    """Return an IPv4 packet from 10.0.0.1, with the router alert that IGMP carries."""
    length = 20 + len(options) + len(message)
    first = 0x40 | (20 + len(options)) // 4
    head = struct.pack(">BBHHHBBH", first, 0, length, 0, 0, 1, protocol, 0)
    return head + bytes([10, 0, 0, 1]) + bytes([224, 0, 0, 1]) + options + message


def mld(message: bytes, *, next_header: int = 0) -> bytes:
    """Return an IPv6 packet from fe80::1 with a hop-by-hop header, as MLD has it."""
    source, target = ipaddress.IPv6Address("fe80::1").packed, ipaddress.IPv6Address("ff02::1").packed
    payload = bytes([58, 0, 5, 2, 0, 0, 1, 0]) + message
    return struct.pack(">IHBB", 6 << 28, len(payload), next_header, 1) + source + target + payload


GROUP = bytes([239, 1, 2, 3])
GROUP6 = ipaddress.IPv6Address("ff15::1").packed


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (igmp(b"\x11\x00\x00\x00" + bytes(4)), Query(4, 1, "10.0.0.1", None)),
        (igmp(b"\x11\x64\x00\x00" + GROUP), Query(4, 2, "10.0.0.1", "239.1.2.3")),
        (igmp(b"\x11\x64\x00\x00" + bytes(4) + b"\x02\x7d\x00\x00"), Query(4, 3, "10.0.0.1", None)),
        (igmp(b"\x11\x64\x00\x00" + GROUP, options=b""), Query(4, 2, "10.0.0.1", "239.1.2.3")),
        (mld(b"\x82" + bytes(23)), Query(6, 1, "fe80::1", None)),
        (mld(b"\x82" + bytes(7) + GROUP6 + b"\x02\x7d\x00\x00"), Query(6, 2, "fe80::1", "ff15::1")),
    ],
)
def test_queries_are_read(packet: bytes, expected: Query) -> None:
    """Each version's query is told, with or without IP options; bytes behind the packet are not its own."""
    assert read_query(packet) == expected
    assert read_query(packet + bytes(26)) == expected


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        igmp(b"\x16\x00\x00\x00" + GROUP),
        igmp(b"\x11\x64\x00"),
        igmp(b"\x11\x64\x00\x00" + GROUP, protocol=17),
        mld(b"\x8f" + bytes(23)),
        mld(b"\x82" + bytes(10)),
        mld(b"\x82" + bytes(23), next_header=58),
    ],
)
def test_others_are_not(packet: bytes) -> None:
    """Reports, other protocols and packets cut short are no queries."""
    assert read_query(packet) is None


@given(st.binary(max_size=120), st.sampled_from((igmp(b"\x11" + bytes(11)), mld(b"\x82" + bytes(27)))))
def test_any_bytes_are_read(noise: bytes, packet: bytes) -> None:
    """Noise, alone and within a true packet, never raises."""
    for at in range(0, len(packet), 7):
        read_query(packet[:at] + noise + packet[at:])
        read_query(packet[:at])
    read_query(noise)
