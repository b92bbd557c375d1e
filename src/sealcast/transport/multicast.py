"""Owns opening sockets for multicast groups, IPv4 and IPv6, any-source and source-specific.

Everything goes by interface index. A receiver is bound to the group itself, so that other groups on the
same port stay out, and shares the port with others on this host.
"""

import contextlib
import errno
import socket

from sealcast.core.errors import UsageError
from sealcast.transport import linux, membership
from sealcast.transport.address import format_place, is_group, is_source_specific
from sealcast.transport.batches import RECEIVE_BUFFER_BYTES, DatagramReceiver, DatagramSender
from sealcast.transport.interfaces import Interface
from sealcast.transport.membership import Membership
from sealcast.transport.opening import family_of, opening

TTL_MAX = 255
IPV6_LOOPBACK_ROUTE = "ip -6 route add local ff00::/8 dev lo table local"
"""Linux gives the loopback interface no IPv6 multicast route; this one makes it carry groups."""


class MulticastReceiver(DatagramReceiver):
    """Receives one port of one group."""

    def __init__(self, sock: socket.socket, name: str, asked_bytes: int, joined: Membership) -> None:
        super().__init__(sock, name, asked_bytes)
        self._joined: Membership | None = joined

    def leave(self) -> None:
        """Leave the group at the router; what already waits can still be received. May be called again.

        Where IP_MULTICAST_ALL is not there, datagrams go on to come while another program on this host
        stays in the group.
        """
        joined, self._joined = self._joined, None
        if joined is not None and self.fileno() >= 0:
            with contextlib.suppress(OSError):  # the interface is gone, and the membership with it
                membership.leave(self._socket, joined)


class MulticastSender(DatagramSender):
    """Sends to one port of one group; `send_batch` is all it does."""


def open_receiver(
    group: str,
    port: int,
    interface: Interface,
    source: str | None = None,
    receive_buffer_bytes: int = RECEIVE_BUFFER_BYTES,
) -> MulticastReceiver:
    """Join `group` on `interface`, from `source` alone if given, and return the receiver of `port`.

    Raises UsageError (not a group, source missing or of the other family, port in use, not permitted) and
    UnreachableError (interface down or gone).
    """
    _check_group(group, source)
    if source is None and is_source_specific(group):
        raise UsageError(f"{group} is source-specific: say who sends, as SOURCE@{format_place(group, port)}")
    joined = Membership(group, source, interface)
    name = f"{format_place(group, port)} on {interface}"
    with opening(family_of(group), f"cannot join {name}") as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        linux.refuse_foreign_groups(sock)
        sock.bind(_socket_address(group, port, interface))
        receiver = MulticastReceiver(sock, name, receive_buffer_bytes, joined)
        membership.join(sock, joined)
        return receiver


def open_sender(
    group: str, port: int, interface: Interface, ttl: int = 1, *, loop: bool = True, source: str | None = None
) -> MulticastSender:
    """Return a sender to `group` out of `interface`.

    `ttl` is the number of routers plus one (0 stays on this host); `loop` lets receivers on this host hear
    it; `source` picks one of the interface's addresses, else the kernel's first. Raises UsageError and
    UnreachableError.
    """
    _check_group(group, source)
    if not 0 <= ttl <= TTL_MAX:
        raise UsageError(f"a TTL lies between 0 and {TTL_MAX}, not {ttl}")
    if source is not None and source not in interface.addresses(group):
        raise UsageError(
            f"interface {interface} has no address {source}; it has"
            f" {', '.join(interface.addresses(group)) or 'none of that version of IP'}"
        )
    name = f"{format_place(group, port)} on {interface}"
    with opening(family_of(group), f"cannot send to {name}") as sock:
        if sock.family == socket.AF_INET:
            _aim_ipv4(sock, group, interface, source, ttl, loop=loop)
        else:
            _aim_ipv6(sock, interface, source, ttl, loop=loop)
        _connect(sock, group, port, interface)
        return MulticastSender(sock, name)


def _aim_ipv4(
    sock: socket.socket, group: str, interface: Interface, source: str | None, ttl: int, *, loop: bool
) -> None:
    # Without an address the kernel prefers one of global scope, even that of another interface.
    address = source or (interface.ipv4[0] if interface.ipv4 else "0.0.0.0")  # noqa: S104 — let the kernel choose
    request = linux.pack_mreqn(group, address, interface.index)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, request)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loop))


def _aim_ipv6(sock: socket.socket, interface: Interface, source: str | None, ttl: int, *, loop: bool) -> None:
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, ttl)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, int(loop))
    if source is not None:
        sock.bind(_socket_address(source, 0, interface))


def _connect(sock: socket.socket, group: str, port: int, interface: Interface) -> None:
    try:
        sock.connect(_socket_address(group, port, interface))
    except OSError as error:
        if interface.loopback and error.errno == errno.ENETUNREACH:
            raise UsageError(
                f"loopback carries no IPv6 groups here; as root, run `{IPV6_LOOPBACK_ROUTE}`, or take an"
                " IPv4 group"
            ) from error
        raise


def _check_group(group: str, source: str | None) -> None:
    if not is_group(group):
        raise UsageError(f"{group} is not a multicast group; take for instance 239.1.2.3 or ff15::1")
    if source is not None and (":" in source) != (":" in group):
        raise UsageError(f"group {group} and source {source} are not of the same version of IP")


def _socket_address(
    host: str, port: int, interface: Interface
) -> tuple[str, int] | tuple[str, int, int, int]:
    """Return the address for bind and connect; the scope tells link-local ones apart."""
    return (host, port, 0, interface.index) if ":" in host else (host, port)
