"""Owns listening for membership queries on an interface, which takes root, and provoking one.

A querier asks by itself each 125 s only. But it must ask at once when somebody leaves a group, so we join a
scratch group, leave it, and listen (RFC 3376 §6.4.2, RFC 2710 §5).
"""

import asyncio
import contextlib
import socket

from sealcast.core.errors import SealcastError, UsageError
from sealcast.doctor.queries import Query, read_query
from sealcast.transport import linux
from sealcast.transport.interfaces import Interface
from sealcast.transport.multicast import open_receiver

SCRATCH_GROUPS = ("239.255.255.253", "ff15::fffd")
"""Nobody's: joined for half a second and left."""

SCRATCH_SHARE = 0.2
SCRATCH_S_MAX = 0.5
"""Switch and router take in the report of the join meanwhile."""

PACKET_BYTES = 2_048
PACKETS_MAX = 64
"""Taken at one go, so that a flood does not keep us from ending."""

QUERIES_MAX = 256

_ACCEPT, _DROP = (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0)
_LOAD_BYTE, _AND, _EQUAL = 0x30, 0x54, 0x15
MEMBERSHIP_FILTER = (
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, 0xF0),
    (_EQUAL, 0, 2, 0x40),
    (_LOAD_BYTE, 0, 0, 9),
    (_EQUAL, 4, 3, socket.IPPROTO_IGMP),
    (_EQUAL, 0, 2, 0x60),
    (_LOAD_BYTE, 0, 0, 6),
    (_EQUAL, 1, 0, socket.IPPROTO_HOPOPTS),
    _DROP,
    _ACCEPT,
)
"""Classic BPF: IPv4 with IGMP, or IPv6 with hop-by-hop options, as MLD has; a stream's packets stay out."""


async def hear_queries(interface: Interface, wait_s: float, family: int) -> list[Query]:
    """Return the queries heard until one of `family` (4 or 6) was, within `wait_s` at the most.

    Raises UsageError where the system does not let us listen.
    """
    ears = _Ears(family)
    with _open(interface) as sock:
        loop = asyncio.get_running_loop()
        loop.add_reader(sock.fileno(), ears.take, sock)
        try:
            with contextlib.ExitStack() as joined:
                for group in SCRATCH_GROUPS:
                    with contextlib.suppress(SealcastError):
                        joined.enter_context(open_receiver(group, 0, interface))
                scratch_s = min(SCRATCH_S_MAX, wait_s * SCRATCH_SHARE)
                await asyncio.sleep(scratch_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s - scratch_s):
                    await ears.heard.wait()
        finally:
            loop.remove_reader(sock.fileno())
    return ears.queries


def _open(interface: Interface) -> socket.socket:
    """Return a packet socket that sees the IP packets of `interface` that may be queries."""
    if linux.is_portable():
        raise UsageError("this system has no packet sockets")
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    except PermissionError as error:
        raise UsageError("only root may") from error
    except OSError as error:
        raise UsageError(error.strerror or str(error)) from error
    try:
        sock.setblocking(False)
        linux.attach_filter(sock, MEMBERSHIP_FILTER)
        linux.hear_all_groups(sock, interface.index)
        sock.bind((interface.name, linux.ETH_P_ALL))
    except OSError as error:
        sock.close()
        raise UsageError(error.strerror or str(error)) from error
    return sock


class _Ears:
    """What was heard so far."""

    def __init__(self, family: int) -> None:
        self.queries: list[Query] = []
        self.heard = asyncio.Event()
        self._family = family

    def take(self, sock: socket.socket) -> None:
        """Read what waits in the socket."""
        with contextlib.suppress(OSError):
            for _ in range(PACKETS_MAX):
                query = read_query(sock.recv(PACKET_BYTES))
                if query is not None and len(self.queries) < QUERIES_MAX:
                    self.queries.append(query)
                    if query.family == self._family:
                        self.heard.set()
