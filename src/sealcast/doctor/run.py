"""Owns the order of an examination: what is looked at, what each look is held against, in how much time."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sealcast.config.schema import Settings
from sealcast.core.errors import SealcastError, UsageError
from sealcast.core.ports import Clock, Random
from sealcast.device.holder import PinFor
from sealcast.device.vault import PassphraseFor
from sealcast.doctor import filters, group, host, listening, papers, servers, system, trust
from sealcast.doctor.finding import Finding, fail, ok, warn
from sealcast.messages.channels import channel_spec
from sealcast.probe.run import ProbeSettings, probe
from sealcast.transport.address import Endpoint, Scheme, is_source_specific, parse_group
from sealcast.transport.interfaces import Interface, choose_interface, list_interfaces

USUAL_PLACE = Endpoint("239.255.1.1", 5004)
"""Stands for a channel where none is named."""

JOIN_GROUPS = {"IPv4": "239.255.255.252", "IPv6": "ff15::fffc"}
"""Nobody's groups: joined and left at once."""

STREAM_S = 1.0
"""Listened to a stream once its first packet came: long enough for key IDs and SEAL packets."""

SERVERS_MAX = 4
"""Key servers looked at, at the same time."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What to examine: `target` is a channel's name or number, or the address of a stream."""

    settings: Settings
    config_path: Path
    config_error: UsageError | None
    environment: Mapping[str, str]
    target: str | None
    interface: str | None
    credential: str | None
    wait_s: float
    passphrase_for: PassphraseFor | None = None
    pin_for: PinFor | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """The stream that the examination is about; `channel` its number where the key server told it.

    `on_air` is False where the key server knows of no sender on the air.
    """

    endpoint: Endpoint
    channel: int | None = None
    on_air: bool = True

    @property
    def family(self) -> int:
        """Return 4 or 6."""
        return 6 if ":" in self.endpoint.host else 4

    @property
    def source_specific(self) -> bool:
        """Whether only one sender is joined."""
        return self.endpoint.source is not None or is_source_specific(self.endpoint.host)


async def examine(examination: Examination, *, clock: Clock, random: Random) -> list[Finding]:
    """Return all findings within `wait_s` and the time of a few questions; raises nothing of ours.

    With a channel's name the key server is asked for its keys, as `receive` does.
    """
    findings = [papers.check_configuration(examination.config_path, examination.config_error)]
    findings += papers.check_folders(examination.settings, examination.environment)
    vaults, held = papers.check_vaults(
        examination.settings,
        examination.credential,
        clock.wall_ns(),
        examination.passphrase_for,
        examination.pin_for,
    )
    findings += vaults
    asking = asyncio.ensure_future(_ask_servers(held, clock))
    about, place = await _find_place(examination, held, random)
    machine = _check_machine()
    network = await _check_network(examination, place, clock)
    return [*findings, *await asking, *about, *machine, *network]


def _check_machine() -> list[Finding]:
    """Judge what no interface changes."""
    segments, coalesces = system.probe_offload()
    return [
        host.check_interfaces(list_interfaces()),
        host.check_receive_buffer(system.read_setting("net.core.rmem_max")),
        host.check_send_buffer(system.read_setting("net.core.wmem_max")),
        host.check_offload(segments=segments, coalesces=coalesces),
    ]


async def _check_network(examination: Examination, place: Place | None, clock: Clock) -> list[Finding]:
    """Judge the interface that the stream would come in by, and listen there."""
    about = place or Place(USUAL_PLACE)
    wanted = examination.interface or examination.settings.receiver.interface
    try:
        choice = choose_interface(about.endpoint.host, wanted)
    except UsageError as error:
        return [fail("interface", str(error), "sealcast doctor --interface IF")]
    interface = choice.interface
    findings = [ok("interface", f"{choice} for {about.endpoint.host}")]
    findings += _check_joins(interface, about)
    findings.append(_check_reverse_path(interface))
    findings += _check_firewall(interface, about)
    listened, streamed = await asyncio.gather(
        _check_querier(interface, about, examination.wait_s), _check_stream(examination, place, clock)
    )
    return findings + listened + streamed


def _check_joins(interface: Interface, place: Place) -> list[Finding]:
    findings = []
    for family, scratch in JOIN_GROUPS.items():
        needed = family == f"IPv{place.family}"
        if family == "IPv6" and system.read_interface_setting("ipv6", interface.name, "disable_ipv6") == 1:
            finding = host.check_ipv6_disabled(interface.name)
            findings.append(finding if needed else ok(finding.check, f"{finding.detail}; not needed here"))
            continue
        findings.append(host.check_join(family, system.try_join(scratch, interface), needed=needed))
    return findings


def _check_reverse_path(interface: Interface) -> Finding:
    others = [each for each in list_interfaces() if each.up and each.ipv4 and not each.loopback]
    return host.check_reverse_path(
        interface.name,
        system.read_interface_setting("ipv4", "all", "rp_filter"),
        system.read_interface_setting("ipv4", interface.name, "rp_filter"),
        several=len(others) > 1,
    )


def _check_firewall(interface: Interface, place: Place) -> list[Finding]:
    legacy = []
    if system.has_legacy_tables():
        detail = "rules of the old iptables are loaded, which are not looked at here"
        legacy.append(warn("firewall", detail, "iptables-legacy -S; ip6tables-legacy -S"))
    chains, reason = system.read_firewall()
    if chains is None:
        return [warn("firewall", f"not looked at: {reason}", "sudo nft list ruleset"), *legacy]
    endpoint = place.endpoint
    packets = filters.multicast_packets(place.family, interface.name, endpoint.host, endpoint.port)
    return filters.check_firewall(chains, packets) + legacy


async def _check_querier(interface: Interface, place: Place, wait_s: float) -> list[Finding]:
    """Listen for queries and judge them, the kernel's memory of older ones, and the bridges."""
    if interface.loopback:
        return [ok("IGMP querier", f"{interface} needs none")]
    specific = place.source_specific
    findings: list[Finding] = []
    heard = False
    try:
        queries = await listening.hear_queries(interface, wait_s, place.family)
        heard = bool(queries)
        findings.append(
            group.check_querier(
                place.family, queries, interface=interface.name, waited_s=wait_s, source_specific=specific
            )
        )
    except UsageError as error:
        findings.append(group.no_look_at_querier(str(error)))
    version = system.read_igmp_version(interface.name) if place.family == 4 else None
    old = group.check_old_querier(interface.name, version, source_specific=specific)
    findings += [old] if old is not None else []
    return findings + group.check_bridges(system.list_bridges(), has_querier=heard)


async def _check_stream(examination: Examination, place: Place | None, clock: Clock) -> list[Finding]:
    """Judge a named channel's address, and listen for its stream."""
    if place is None:
        return []
    address = group.check_address(place.endpoint)
    wanted = examination.interface or examination.settings.receiver.interface
    settings = ProbeSettings(place.endpoint, examination.wait_s, wanted, STREAM_S)
    try:
        report = await probe(settings, clock=clock, stop=asyncio.Event())
    except SealcastError as error:
        return [address, fail("stream", str(error), "do as it says")]
    return [address, group.check_stream(report, place.channel, on_air=place.on_air)]


async def _ask_servers(held: papers.Papers, clock: Clock) -> list[Finding]:
    credential = held.any
    if credential is None:
        return []
    urls = credential.servers[:SERVERS_MAX]
    looks = await asyncio.gather(*(servers.look_at_server(url, credential, clock) for url in urls))
    return [finding for look in looks for finding in trust.check_server(look, clock.wall_ns())]


async def _find_place(
    examination: Examination, held: papers.Papers, random: Random
) -> tuple[list[Finding], Place | None]:
    """Return where the named channel is, asking the key server for it, and what was found by that."""
    target = examination.target
    if target is None:
        return [], None
    if ":" in target:
        return [], Place(parse_group(target))
    if held.device is None:
        detail = f"{target}: only a device may ask where it is, and no device's vault is named"
        advice = f"sealcast doctor {target} --credential FILE.vault, or give its address GROUP:PORT"
        return [warn("channel", detail, advice)], None
    grant, error = await servers.ask_for_keys(held.device, target, random)
    finding = trust.check_admission(target, error, len(grant.keys) if grant is not None else 0)
    if grant is None:
        return [finding], None
    spec = channel_spec(grant.channel)
    endpoint = Endpoint(spec.group, spec.port, spec.source, Scheme.RTP)
    return [finding], Place(endpoint, spec.number, on_air=bool(grant.streams))
