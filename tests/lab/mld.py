"""Owns an MLDv2 querier for smcroute: it asks each leg, and a leg that reports a group gets its route.

smcroute forwards by fixed routes and listens to nobody. Run as `mld.py SOCKET UPSTREAM LEG...`, this
program sends general queries, reads the reports (RFC 3810 §5.2) and adds or removes the leg with smcroutectl.
There is one host on each leg, so whoever leaves was the last, and nobody needs to be asked.

    report = type 143 ‖ 0 ‖ checksum 2 ‖ 0 0 ‖ records 2 ‖ record ...
    record = type 1 ‖ auxiliary words 1 ‖ sources 2 ‖ group 16 ‖ source 16 ...
"""

import itertools
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

QUERY_S = 2.0
REPORT = 143
GENERAL_QUERY = struct.pack("!BBHHH16sBBH", 130, 0, 0, 1000, 0, bytes(16), 2, int(QUERY_S), 0)
"""Asks for every group, to be answered within 1000 ms (RFC 3810 §5.1); the kernel fills in the checksum."""

ROUTER_ALERT = bytes([0, 0, 5, 2, 0, 0, 1, 0])
"""A hop-by-hop header with the option that MLD messages carry (RFC 2711)."""

ALL_NODES, ALL_MLDV2_ROUTERS = "ff02::1", "ff02::16"
INCLUDE, EXCLUDE, TO_INCLUDE, TO_EXCLUDE, ALLOW, BLOCK = range(1, 7)
ANY = "::"
LINK_LOCAL = "ff02:"


def changes(report: bytes) -> Iterator[tuple[bool, str, str]]:
    """Yield (joined, source or ANY, group) for what a report says; a leave of ANY ends every source too."""
    offset = 8
    for _ in range(struct.unpack_from("!H", report, 6)[0]):
        kind, words, count = struct.unpack_from("!BBH", report, offset)
        group = socket.inet_ntop(socket.AF_INET6, report[offset + 4 : offset + 20])
        places = range(offset + 20, offset + 20 + 16 * count, 16)
        sources = [socket.inet_ntop(socket.AF_INET6, report[place : place + 16]) for place in places]
        offset += 20 + 16 * count + 4 * words
        if group.startswith(LINK_LOCAL):
            continue
        if kind == TO_INCLUDE:
            yield False, ANY, group
        if kind in {EXCLUDE, TO_EXCLUDE}:
            yield True, ANY, group
        elif kind in {INCLUDE, TO_INCLUDE, ALLOW, BLOCK}:
            yield from ((kind != BLOCK, source, group) for source in sources)


class Routes:
    """What each leg has joined, mirrored in smcroute."""

    def __init__(self, control: str, upstream: str) -> None:
        self._control = ["smcroutectl", "-u", control]
        self._upstream = upstream
        self._joined: set[tuple[str, str, str]] = set()

    def apply(self, leg: str, *, joined: bool, source: str, group: str) -> None:
        """Take over one change of one leg."""
        if joined:
            self._set("add", leg, source, group)
            return
        for known in sorted(self._joined):
            if known == (leg, source, group) or (source == ANY and known[::2] == (leg, group)):
                self._set("remove", *known)

    def _set(self, verb: str, leg: str, source: str, group: str) -> None:
        route = (leg, source, group)
        if (route in self._joined) == (verb == "add"):
            return
        route_words = [self._upstream, *([] if source == ANY else [source]), group, leg]
        subprocess.run([*self._control, verb, *route_words], check=True, timeout=5)
        self._joined ^= {route}
        print(verb, *route, flush=True)


def listen(leg: str) -> socket.socket:
    """Return a socket that hears the reports on one leg and sends queries there."""
    sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    index = socket.if_nametoindex(leg)
    membership = socket.inet_pton(socket.AF_INET6, ALL_MLDV2_ROUTERS) + struct.pack("@I", index)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, leg.encode())
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_HOPOPTS, ROUTER_ALERT)
    return sock


def main(control: str, upstream: str, legs: list[str]) -> None:
    """Query and listen until killed."""
    routes = Routes(control, upstream)
    sockets = {listen(leg): leg for leg in legs}
    print("ready", flush=True)
    for beat in itertools.count():
        for sock in sockets:
            sock.sendto(GENERAL_QUERY, (ALL_NODES, 0))
        next_query = time.monotonic() + (QUERY_S if beat else QUERY_S / 4)
        while (left := next_query - time.monotonic()) > 0:
            for sock in select.select(list(sockets), [], [], left)[0]:
                message = sock.recv(65_535)
                if message[0] == REPORT:
                    for joined, source, group in changes(message):
                        routes.apply(sockets[sock], joined=joined, source=source, group=group)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
