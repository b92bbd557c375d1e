"""Owns joining and leaving groups: by the protocol-independent API of RFC 3678 §5, else by the older ones.

| group | protocol-independent | fallback |
|---|---|---|
| IPv4, any source | MCAST_JOIN_GROUP | IP_ADD_MEMBERSHIP, by interface index |
| IPv4, one source | MCAST_JOIN_SOURCE_GROUP | IP_ADD_SOURCE_MEMBERSHIP, by the interface's address |
| IPv6, any source | MCAST_JOIN_GROUP | IPV6_JOIN_GROUP |
| IPv6, one source | MCAST_JOIN_SOURCE_GROUP | none |
"""

import socket
from dataclasses import dataclass

from sealcast.core.errors import UsageError
from sealcast.transport import linux
from sealcast.transport.interfaces import Interface


@dataclass(frozen=True, slots=True)
class Membership:
    """A group joined on an interface, from any source or from one."""

    group: str
    source: str | None
    interface: Interface

    def __str__(self) -> str:
        source = f"{self.source}@" if self.source else ""
        return f"{source}{self.group} on {self.interface}"


def join(sock: socket.socket, membership: Membership) -> None:
    """Report the membership to the routers (IGMP, MLD); raises OSError, or UsageError where impossible."""
    option, request = _request(sock, membership, joining=True)
    sock.setsockopt(linux.level_of(sock), option, request)


def leave(sock: socket.socket, membership: Membership) -> None:
    """Take the membership back; raises OSError if there is none."""
    option, request = _request(sock, membership, joining=False)
    sock.setsockopt(linux.level_of(sock), option, request)


def _request(sock: socket.socket, membership: Membership, *, joining: bool) -> tuple[int, bytes]:
    """Return the socket option and its value."""
    if linux.has_group_requests(sock):
        return _independent(membership, joining=joining)
    if sock.family == socket.AF_INET:
        return _ipv4(membership, joining=joining)
    return _ipv6(membership, joining=joining)


def _independent(membership: Membership, *, joining: bool) -> tuple[int, bytes]:
    group, index = membership.group, membership.interface.index
    if membership.source is None:
        option = linux.MCAST_JOIN_GROUP if joining else linux.MCAST_LEAVE_GROUP
        return option, linux.pack_group_request(index, group)
    option = linux.MCAST_JOIN_SOURCE_GROUP if joining else linux.MCAST_LEAVE_SOURCE_GROUP
    return option, linux.pack_group_source_request(index, group, membership.source)


def _ipv4(membership: Membership, *, joining: bool) -> tuple[int, bytes]:
    group, interface = membership.group, membership.interface
    if membership.source is None:
        option = socket.IP_ADD_MEMBERSHIP if joining else socket.IP_DROP_MEMBERSHIP
        return option, linux.pack_mreqn(group, "0.0.0.0", interface.index)  # noqa: S104 — the index decides
    if not interface.ipv4:
        raise UsageError(
            f"interface {interface} has no IPv4 address, which this system needs to join {membership};"
            " name another with --interface"
        )
    option = linux.IP_ADD_SOURCE_MEMBERSHIP if joining else linux.IP_DROP_SOURCE_MEMBERSHIP
    return option, linux.pack_mreq_source(group, interface.ipv4[0], membership.source)


def _ipv6(membership: Membership, *, joining: bool) -> tuple[int, bytes]:
    if membership.source is not None:
        raise UsageError(
            f"this system cannot join {membership}: it lacks the source-specific API for IPv6"
            " (RFC 3678 §5); take a group that any source may use, such as ff15::1"
        )
    option = socket.IPV6_JOIN_GROUP if joining else socket.IPV6_LEAVE_GROUP
    return option, linux.pack_ipv6_mreq(membership.group, membership.interface.index)
