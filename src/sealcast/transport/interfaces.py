"""Owns the network interfaces of this host and the choice of one for a group.

The user's word decides; without one, the only multicast-capable interface, else that of the route to the
group. Each choice comes with its reason, so that a program can say what it took.
"""

import contextlib
import ipaddress
import socket
from dataclasses import dataclass

import psutil

from sealcast.core.errors import UsageError
from sealcast.transport.opening import family_of

ROUTE_PORT = 9
"""Any port does: connecting a UDP socket looks up the route and sends nothing (9 is "discard")."""


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface; addresses without prefix length or zone, in the kernel's order."""

    name: str
    index: int
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    up: bool = True
    multicast: bool = False
    loopback: bool = False

    def addresses(self, group: str) -> tuple[str, ...]:
        """Return the addresses of the family of `group`."""
        return self.ipv6 if ":" in group else self.ipv4

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class InterfaceChoice:
    """The interface taken, and the reason in words that fit behind its name."""

    interface: Interface
    reason: str

    def __str__(self) -> str:
        return f"{self.interface.name} ({self.reason})"


def list_interfaces() -> tuple[Interface, ...]:
    """Return all interfaces of this host, in the order of their index."""
    addresses = psutil.net_if_addrs()
    found = []
    for name, stats in psutil.net_if_stats().items():
        with contextlib.suppress(OSError):  # it may vanish between the two questions
            flags = stats.flags.split(",")
            entries = addresses.get(name, [])
            interface = Interface(
                name=name,
                index=socket.if_nametoindex(name),
                ipv4=tuple(entry.address for entry in entries if entry.family == socket.AF_INET),
                ipv6=tuple(
                    entry.address.partition("%")[0] for entry in entries if entry.family == socket.AF_INET6
                ),
                up="up" in flags and "running" in flags,
                multicast="multicast" in flags,
                loopback="loopback" in flags,
            )
            found.append(interface)
    return tuple(sorted(found, key=lambda interface: interface.index))


def choose_interface(group: str, wanted: str | None = None) -> InterfaceChoice:
    """Return the interface for `group`, by the user's `wanted` (name or address) if there is one.

    Loopback and interfaces that do not announce multicast are taken only when asked for. Raises UsageError
    that names the candidates.
    """
    interfaces = list_interfaces()
    if wanted is not None:
        return _take_wanted(wanted, interfaces)
    candidates = [each for each in interfaces if _is_candidate(each, group)]
    if len(candidates) == 1:
        return InterfaceChoice(candidates[0], "only multicast interface")
    routed = _take_routed(group, candidates)
    if routed is not None:
        return InterfaceChoice(routed, f"route to {group}")
    if not candidates:
        raise UsageError(
            f"no interface is up for multicast to {group}; name one with --interface ({_names(interfaces)})"
        )
    raise UsageError(
        f"several interfaces could reach {group} and no route says which;"
        f" name one with --interface ({_names(candidates)})"
    )


def _take_wanted(wanted: str, interfaces: tuple[Interface, ...]) -> InterfaceChoice:
    """Find `wanted` by name, then by address."""
    by_name = [each for each in interfaces if each.name == wanted]
    try:
        address = str(ipaddress.ip_address(wanted))
    except ValueError:
        address = ""
    by_address = [each for each in interfaces if address in each.ipv4 + each.ipv6]
    found = by_name or by_address
    if not found:
        raise UsageError(f"there is no interface {wanted!r}; --interface takes one of {_names(interfaces)}")
    if len(found) > 1:
        raise UsageError(f"{wanted} is an address of {_names(found)}; give --interface the name of one")
    if not found[0].up:
        raise UsageError(f"interface {found[0].name} is down; bring it up or name another with --interface")
    return InterfaceChoice(found[0], "asked for" if by_name else f"has address {wanted}")


def _is_candidate(interface: Interface, group: str) -> bool:
    usable = interface.up and interface.multicast and not interface.loopback
    return usable and bool(interface.addresses(group))


def _take_routed(group: str, candidates: list[Interface]) -> Interface | None:
    """Return the candidate whose address the kernel would put on a packet to `group`."""
    try:
        with socket.socket(family_of(group), socket.SOCK_DGRAM) as sock:
            sock.connect((group, ROUTE_PORT))
            local = sock.getsockname()
    except OSError:
        return None
    # A link-local address may stand on several interfaces; the scope (the last field) then decides.
    scope = local[3] if len(local) > 3 else 0
    matching = [each for each in candidates if local[0].partition("%")[0] in each.addresses(group)]
    exact = [each for each in matching if each.index == scope] or matching
    return exact[0] if len(exact) == 1 else None


def _names(interfaces: tuple[Interface, ...] | list[Interface]) -> str:
    return ", ".join(each.name for each in interfaces if each.up) or "none is up"
