"""Owns whose program is at the other end of a TCP connection on this machine (proc(5), /proc/net/tcp)."""

import os
import socket
import struct
import sys
from pathlib import Path

ROOT = 0
TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7


def is_ours(sock: socket.socket) -> bool:
    """Whether an IPv4 connection over loopback is by a program of our user, or of root.

    True also where the system has no such table: nothing can be said there.
    """
    if sys.platform != "linux":
        return True
    user = owner_of(sock)
    return user is not None and user in {ROOT, os.geteuid()}


def owner_of(sock: socket.socket) -> int | None:
    """Return the user whose socket is connected to `sock`; None if it is not on this machine any more."""
    theirs, ours = _packed(sock.getpeername()), _packed(sock.getsockname())
    for line in TABLE.read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if (fields[_LOCAL], fields[_REMOTE]) == (theirs, ours):
            return int(fields[_USER])
    return None


def _packed(address: tuple[str, int]) -> str:
    """Return an address as the table has it: the four bytes as a number of this machine, the port."""
    (number,) = struct.unpack("=I", socket.inet_aton(address[0]))
    return f"{number:08X}:{address[1]:04X}"
