"""Owns the checks of the machine itself: interfaces, buffers, offloads, reverse-path filter, IPv6."""

from collections.abc import Sequence

from sealcast.doctor.finding import Finding, fail, ok, warn
from sealcast.transport.batches import ADVISED_BUFFER_BYTES
from sealcast.transport.interfaces import Interface

SEND_BUFFER_BYTES = 212_992
"""Linux's own default: room for three of the largest batches that one call hands over."""

RP_STRICT = 1
RP_NAMES = {0: "off", RP_STRICT: "strict", 2: "loose"}


def check_interfaces(interfaces: Sequence[Interface]) -> Finding:
    """Say which interfaces could carry multicast."""
    able = [each for each in interfaces if each.up and each.multicast and not each.loopback]
    if able:
        return ok("interfaces", ", ".join(f"{each.name} ({_addresses(each)})" for each in able))
    if any(each.loopback and each.up for each in interfaces):
        return warn(
            "interfaces",
            "only loopback is up: streams on this machine alone",
            "ip link set DEVICE up multicast on",
        )
    return fail("interfaces", "no interface is up", "ip link set lo up")


def check_receive_buffer(rmem_max: int | None) -> Finding:
    """Hold the kernel's limit against what a receiver asks for."""
    if rmem_max is None:
        return _unknown("receive buffer", "net.core.rmem_max")
    asked = ADVISED_BUFFER_BYTES
    if rmem_max >= asked:
        return ok("receive buffer", f"net.core.rmem_max is {rmem_max}; a receiver asks for {asked}")
    return warn(
        "receive buffer",
        f"net.core.rmem_max is {rmem_max}; a receiver that is not root asks for {asked} and gets no more",
        f"sysctl -w net.core.rmem_max={asked}",
    )


def check_send_buffer(wmem_max: int | None) -> Finding:
    """Hold the kernel's limit against what a sender needs."""
    if wmem_max is None:
        return _unknown("send buffer", "net.core.wmem_max")
    if wmem_max >= SEND_BUFFER_BYTES:
        return ok("send buffer", f"net.core.wmem_max is {wmem_max}; a sender needs {SEND_BUFFER_BYTES}")
    return warn(
        "send buffer",
        f"net.core.wmem_max is {wmem_max}; bursts of a sender find no room",
        f"sysctl -w net.core.wmem_max={SEND_BUFFER_BYTES}",
    )


def check_offload(*, segments: bool, coalesces: bool) -> Finding:
    """Say whether the kernel takes and gives many datagrams in one call."""
    missing = [name for name, there in (("GSO", segments), ("GRO", coalesces)) if not there]
    if not missing:
        return ok("UDP offload", "the kernel has UDP GSO and GRO")
    return warn(
        "UDP offload",
        f"no UDP {' and '.join(missing)}: each packet costs a system call",
        "use Linux 5.0 or later for rates above some hundred Mbit/s; uname -r tells yours",
    )


def check_reverse_path(interface: str, everywhere: int, here: int, *, several: bool) -> Finding:
    """Judge rp_filter: strict drops a stream whose sender is not routed back over the same interface.

    Linux takes the greater of the values of `all` and of the interface (ip-sysctl.rst).
    """
    effective = max(everywhere, here)
    text = f"rp_filter on {interface} is {effective} ({RP_NAMES.get(effective, 'unknown')})"
    if effective != RP_STRICT:
        return ok("reverse path", text)
    if not several:
        return ok("reverse path", f"{text}; there is one way out, so every sender is routed over it")
    return warn(
        "reverse path",
        f"{text}: packets of a sender that is routed over another interface are dropped without a word",
        f"sysctl -w net.ipv4.conf.{interface}.rp_filter=2",
    )


def check_join(family: str, error: str | None, *, needed: bool) -> Finding:
    """Say whether a group of `family` could be joined; `needed` if the channel is of that family."""
    check = f"{family} multicast"
    if error is None:
        return ok(check, "a group was joined and left")
    if not needed:
        return ok(check, f"not here ({error}); channels of the other version of IP do not need it")
    return fail(check, error, "ip address; ip route")


def check_ipv6_disabled(interface: str) -> Finding:
    """Return the finding of an IPv6 channel on an interface whose IPv6 is switched off."""
    return fail(
        "IPv6 multicast",
        f"IPv6 is switched off on {interface}",
        f"sysctl -w net.ipv6.conf.{interface}.disable_ipv6=0",
    )


def _addresses(interface: Interface) -> str:
    return ", ".join([*interface.ipv4, *interface.ipv6]) or "no address"


def _unknown(check: str, name: str) -> Finding:
    return warn(check, f"{name} cannot be read here", f"sysctl {name}")
