"""Owns a capture of one leg: what its host tells the router of groups, and what it says to a server.

Run as `capture.py INTERFACE SERVER PORT`. Each line is one packet of the host: the milliseconds since 1970,
then `join GROUP` or `leave GROUP` for what an IGMPv3 report says of changes (RFC 3376 §4.2), or `asks` for
bytes of a request over TCP.
"""

import socket
import struct
import sys
import time
from collections.abc import Iterator

ETH_P_IP = 0x0800
REPORT = 0x22
TO_EXCLUDE, ALLOW, BLOCK, TO_INCLUDE = 4, 5, 6, 3
APPLICATION_DATA = 23
"""The kind of TLS record in which a request travels (RFC 8446 §5.1); handshakes are others."""


def changes(report: bytes) -> Iterator[str]:
    """Yield what an IGMPv3 report says that changed: one source is allowed or blocked, or any."""
    offset = 8
    for _ in range(struct.unpack_from("!H", report, 6)[0]):
        kind, words, count = struct.unpack_from("!BBH", report, offset)
        group = socket.inet_ntoa(report[offset + 4 : offset + 8])
        offset += 8 + 4 * (count + words)
        if kind in {ALLOW, TO_EXCLUDE}:
            yield f"join {group}"
        elif kind in {BLOCK, TO_INCLUDE}:
            yield f"leave {group}"


def sayings(packet: bytes, server: str, port: int) -> Iterator[str]:
    """Yield what an IPv4 packet says."""
    header = 4 * (packet[0] & 15)
    protocol, body = packet[9], packet[header : struct.unpack_from("!H", packet, 2)[0]]
    if protocol == socket.IPPROTO_IGMP and body[0] == REPORT:
        yield from changes(body)
    elif protocol == socket.IPPROTO_TCP and socket.inet_ntoa(packet[16:20]) == server:
        data = body[4 * (body[12] >> 4) :]
        if struct.unpack_from("!H", body, 2)[0] == port and data[:1] == bytes([APPLICATION_DATA]):
            yield "asks"


def main(interface: str, server: str, port: int) -> None:
    """Print until killed."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    sock.bind((interface, ETH_P_IP))
    print("ready", flush=True)
    while True:
        packet, (_, _, kind, _, _) = sock.recvfrom(65_535)
        if kind != socket.PACKET_OUTGOING:
            for saying in sayings(packet, server, port):
                print(time.time_ns() // 1_000_000, saying, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
