"""Owns the end of a connection that a library holds: it is found among our descriptors and shut down."""

import ipaddress
import os
import socket
import stat
from pathlib import Path

DESCRIPTORS = "/dev/fd"
"""The open descriptors of this process, on Linux and macOS."""


def hang_up(peer: tuple[str, int], port: int) -> bool:
    """Shut down the TCP connection from `peer` to our `port`; False if there is none.

    What it carries (TLS, HTTP) ends without a word: the peer sees the end of the stream, nothing else. Costs
    some microseconds for each descriptor of this process.
    """
    for entry in Path(DESCRIPTORS).iterdir():
        connection = _connection(int(entry.name))
        if connection is None:
            continue
        with connection:
            if _is_between(connection, peer, port):
                connection.shutdown(socket.SHUT_RDWR)
                return True
    return False


def _connection(descriptor: int) -> socket.socket | None:
    """Return a descriptor's connection, under a descriptor of ours: the owner may close its own meanwhile."""
    try:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        return socket.socket(fileno=os.dup(descriptor))
    except OSError:
        return None


def _is_between(connection: socket.socket, peer: tuple[str, int], port: int) -> bool:
    if connection.family not in {socket.AF_INET, socket.AF_INET6} or connection.type != socket.SOCK_STREAM:
        return False
    try:
        ours, theirs = connection.getsockname(), connection.getpeername()
    except OSError:
        return False
    return ours[1] == port and theirs[1] == peer[1] and _same_address(theirs[0], peer[0])


def _same_address(one: str, other: str) -> bool:
    return ipaddress.ip_address(one.partition("%")[0]) == ipaddress.ip_address(other.partition("%")[0])
