"""Owns a plain UDP sender and receiver, so that the laboratory is tested without anything of ours.

Run as `udp.py send GROUP [PORT]` or `udp.py receive GROUP [SOURCE]`. SIGTERM ends either; the receiver then
leaves the group and prints how many packets it got.
"""

import contextlib
import signal
import socket
import struct
import sys
import time
from types import FrameType

PORT = 5004
INTERVAL_S = 0.01
MCAST_JOIN_GROUP, MCAST_JOIN_SOURCE_GROUP = 42, 46
"""The calls that work in both families (RFC 3678 §5.1); Python has no names for them."""


def family_of(group: str) -> tuple[socket.AddressFamily, int]:
    """Return address family and option level of a group."""
    if ":" in group:
        return socket.AF_INET6, socket.IPPROTO_IPV6
    return socket.AF_INET, socket.IPPROTO_IP


def storage(address: str) -> bytes:
    """Return an address as a sockaddr_storage."""
    family, _ = family_of(address)
    packed = socket.inet_pton(family, address)
    layout = "=HHI16sI" if family == socket.AF_INET6 else "=HH4s8x"
    fields = (family, 0, 0, packed, 0) if family == socket.AF_INET6 else (family, 0, packed)
    return struct.pack(layout, *fields).ljust(128, b"\0")


def send(group: str, port: int = PORT) -> None:
    """Send a packet every INTERVAL_S."""
    family, level = family_of(group)
    hops = socket.IPV6_MULTICAST_HOPS if family == socket.AF_INET6 else socket.IP_MULTICAST_TTL
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(level, hops, 4)
        while True:
            sock.sendto(bytes(500), (group, port))
            time.sleep(INTERVAL_S)


def receive(group: str, source: str | None) -> None:
    """Join, say so, count, and print the count at the end."""
    family, level = family_of(group)
    packets = 0
    request = struct.pack("@I4x", socket.if_nametoindex("eth0")) + storage(group)
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((group, PORT))
        if source is None:
            sock.setsockopt(level, MCAST_JOIN_GROUP, request)
        else:
            sock.setsockopt(level, MCAST_JOIN_SOURCE_GROUP, request + storage(source))
        print("joined", flush=True)
        with contextlib.suppress(SystemExit):
            while True:
                sock.recv(2048)
                packets += 1
    print(packets, flush=True)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    if sys.argv[1] == "send":
        send(sys.argv[2], *map(int, sys.argv[3:]))
    else:
        receive(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
