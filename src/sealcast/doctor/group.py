"""Owns the checks of a group on its network: the address, a querier, snooping bridges, the stream itself."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sealcast.doctor.finding import Finding, fail, ok, warn
from sealcast.doctor.queries import Query
from sealcast.probe.evidence import Protection
from sealcast.probe.report import ProbeReport
from sealcast.transport.address import Endpoint, format_place, is_source_specific

MEMBERSHIP_S = 260
"""How long a switch keeps a port in a group without hearing of it (RFC 3376 §8.4)."""

QUERY_INTERVAL_S = 125
"""How often a querier asks unless told otherwise (RFC 3376 §8.2)."""

WITHOUT_QUERIER = f"without a querier a snooping switch stops the stream after about {MEMBERSHIP_S} s"

LOCAL_NETWORK = ipaddress.IPv4Network("224.0.0.0/24")
"""Local network control block: never routed, flooded by switches (RFC 5771 §4)."""

PRIVATE = ipaddress.IPv4Network("239.0.0.0/8")
"""Administratively scoped (RFC 2365)."""

SOURCE_SPECIFIC_VERSION = {4: 3, 6: 2}
"""The IGMP and the MLD version that can name a source."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """A bridge of this machine; it forgets groups as a switch does if it snoops."""

    name: str
    snoops: bool
    queries: bool


def check_address(place: Endpoint) -> Finding:
    """Judge a channel's group and port."""
    check, text = "group", format_place(place.host, place.port)
    address = ipaddress.ip_address(place.host)
    if place.port % 2:
        return fail(check, f"{text}: the data port is odd", f"take {place.port - 1}; control is next to it")
    if is_source_specific(place.host) and place.source is None:
        return fail(check, f"{text} is source-specific and no source is named", f"SOURCE@{text}")
    if isinstance(address, ipaddress.IPv6Address):
        return _check_ipv6(text, address)
    return _check_ipv4(text, address, place.host)


def _check_ipv4(text: str, address: ipaddress.IPv4Address, host: str) -> Finding:
    check = "group"
    if address in LOCAL_NETWORK:
        detail = f"{text} is of the local control block: routers never forward it"
        return fail(check, detail, "take one of 239.0.0.0/8")
    if int(address) & 0x7FFFFF < 256:
        return warn(
            check,
            f"{text} shares its MAC address with the local control block: switches flood it everywhere",
            "take a group whose second and third number are not 0 or 128 and 0",
        )
    if address not in PRIVATE and not is_source_specific(host):
        return warn(check, f"{text} is an address of the whole Internet's", "take one of 239.0.0.0/8")
    return ok(check, f"{text} suits")


def _check_ipv6(text: str, address: ipaddress.IPv6Address) -> Finding:
    scope = address.packed[1] & 0x0F
    if scope <= 1:
        return fail("group", f"{text} never leaves the machine", "take one of ff15::/16")
    if scope == 2:
        return warn("group", f"{text} is of link scope: routers never forward it", "take one of ff15::/16")
    return ok("group", f"{text} suits")


def check_querier(
    family: int, queries: Sequence[Query], *, interface: str, waited_s: float, source_specific: bool
) -> Finding:
    """Say whether somebody asks for memberships on the network of `interface`; `family` is 4 or 6."""
    check = f"{'IGMP' if family == 4 else 'MLD'} querier"
    heard = [query for query in queries if query.family == family]
    if not heard:
        return warn(
            check,
            f"none heard on {interface} in {waited_s:g} s; {WITHOUT_QUERIER}",
            f"look longer with: sealcast doctor --wait {QUERY_INTERVAL_S + 5}; then switch on the querier of"
            " your switch or router",
        )
    version, wanted = min(query.version for query in heard), SOURCE_SPECIFIC_VERSION[family]
    sources = ", ".join(dict.fromkeys(query.source for query in heard))
    name = f"{check.split(maxsplit=1)[0]}v{version} from {sources}"
    if version < wanted and source_specific:
        return fail(
            check,
            f"{name} on {interface}: it cannot carry a source-specific group",
            f"set the querier of your switch or router to {check.split(maxsplit=1)[0]}v{wanted}",
        )
    return ok(check, f"{name} on {interface}")


def no_look_at_querier(reason: str) -> Finding:
    """Return the finding where listening for queries was not possible."""
    return warn("IGMP querier", f"could not listen for queries: {reason}", "sudo sealcast doctor")


def check_old_querier(interface: str, version: int | None, *, source_specific: bool) -> Finding | None:
    """Judge the kernel's memory of older queriers (/proc/net/igmp); None where it has nothing to say."""
    if version is None or version >= SOURCE_SPECIFIC_VERSION[4]:
        return None
    detail = f"the kernel heard an IGMPv{version} querier on {interface} and speaks that version now"
    advice = "set the querier of your switch or router to IGMPv3"
    make = fail if source_specific else warn
    return make("IGMP version", detail + ": source-specific groups do not work", advice)


def check_bridges(bridges: Sequence[Bridge], *, has_querier: bool) -> list[Finding]:
    """Judge bridges that snoop: one without any querier loses its members."""
    return [_check_bridge(bridge, has_querier=has_querier) for bridge in bridges if bridge.snoops]


def _check_bridge(bridge: Bridge, *, has_querier: bool) -> Finding:
    if bridge.queries or has_querier:
        return ok("bridge", f"{bridge.name} snoops, and a querier is there")
    return warn(
        "bridge",
        f"{bridge.name} snoops and has no querier; {WITHOUT_QUERIER}",
        f"ip link set dev {bridge.name} type bridge mcast_querier 1",
    )


def check_stream(report: ProbeReport, channel: int | None, *, on_air: bool = True) -> Finding:
    """Judge what was heard of a channel; `channel` is its number where it is known.

    `on_air` is False where the key server knows of no sender on the air.
    """
    check = "stream"
    if not report.heard and not on_air:
        detail = f"nothing of {report.target} came, and the key server knows of no sender on the air"
        return warn(check, detail, "start it: sealcast send CHANNEL --input FILE")
    if not report.heard:
        return fail(
            check,
            f"nothing of {report.target} came in {report.listened_s:.1f} s on {report.interface}",
            "is it on the air? see: sealcast channel show CHANNEL; then look at the other lines here",
        )
    if report.protection in {Protection.CLEAR, Protection.MIXED}:
        return fail(
            check, f"{report.target}: {report.why}", "find the program that sends there: it is not ours"
        )
    foreign = {key.channel for key in report.key_ids} - {channel}
    if channel is not None and foreign:
        names = ", ".join(map(str, sorted(foreign)))
        detail = f"{report.target} carries packets of channel {names}, not {channel}"
        return fail(check, detail, f"sealcast probe {report.target}")
    lost = sum(stream.lost for stream in report.streams)
    text = f"{report.packets} packets of {report.target} in {report.listened_s:.1f} s, {report.protection}"
    if lost:
        return warn(check, f"{text}, {lost} lost", f"sealcast probe {report.target} --for 30")
    return ok(check, text)
