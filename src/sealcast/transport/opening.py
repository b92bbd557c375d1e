"""Owns opening UDP sockets: non-blocking, never leaked on failure, failures in our words."""

import contextlib
import socket
from collections.abc import Iterator

from sealcast.transport.failures import explain


@contextlib.contextmanager
def opening(family: socket.AddressFamily, doing: str) -> Iterator[socket.socket]:
    """Yield a new non-blocking socket of one version of IP; it stays open if the block ends well.

    An OSError in the block becomes UsageError or UnreachableError, its text beginning with `doing`.
    """
    with contextlib.ExitStack() as stack:
        try:
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            yield sock
        except OSError as error:
            raise explain(error, doing) from error
        stack.pop_all()


def family_of(address: str) -> socket.AddressFamily:
    """Return the address family of a numeric address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET
