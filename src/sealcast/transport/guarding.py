"""Owns what a process asks of the system to keep its memory to itself, and who is at a socket's other end.

Numbers: include/uapi/linux/prctl.h, include/uapi/asm-generic/mman.h and socket.h. Each call answers whether
it was done; on another system than Linux none is.
"""

import array
import ctypes
import os
import resource
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

PR_GET_DUMPABLE, PR_SET_DUMPABLE = 3, 4
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
SO_PEERGROUPS = 59
OPTION_BYTES_MAX = 1_024
"""What Python gives an option at most: 256 groups."""

CAP_IPC_LOCK = 14


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as it was then: `groups` are all of its groups."""

    pid: int
    uid: int
    groups: frozenset[int]


def forbid_dumps() -> bool:
    """Have no core written of this process, and nobody but root attach to it or read its memory (prctl(2)).

    A change of user takes the second part back: call it after that.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    return int(library.prctl(PR_GET_DUMPABLE, 0, 0, 0, 0)) == 0


def lift_lock_limit() -> bool:
    """Have no limit on locked memory, also once root's rights are given up; False where not allowed."""
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (ValueError, OSError):
        return False
    return True


def lock_memory() -> bool:
    """Keep all memory of this process, now and later, out of the swap (mlockall(2)); False where not allowed.

    Not asked for below a limit: later allocations would fail at some instant, and the process with them.
    """
    is_limited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY
    if sys.platform != "linux" or (is_limited and not _may_lock()):
        return False
    library = ctypes.CDLL(None, use_errno=True)
    return int(library.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)) == 0


def _may_lock() -> bool:
    """Whether this process has CAP_IPC_LOCK, under which no limit counts (capabilities(7))."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines()
    found = next((line for line in lines if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(found.split()[1], 16) >> CAP_IPC_LOCK & 1)


def peer_of(sock: socket.socket) -> Peer:
    """Return who connected a Unix socket (unix(7), SO_PEERCRED); raises OSError."""
    size = struct.calcsize("3i")
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    groups = array.array("I")
    try:
        groups.frombytes(sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, OPTION_BYTES_MAX))
    except OSError:  # an old kernel, or a member of more groups than that
        groups = array.array("I")
    return Peer(pid, uid, frozenset((gid, *groups)))


def become(user: str, uid: int, gid: int) -> None:
    """Be another user from now on, for good; raises OSError where that is not allowed."""
    os.initgroups(user, gid)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def own_user() -> int:
    """Return the number of the user that this process is."""
    return os.geteuid()
