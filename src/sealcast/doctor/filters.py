"""Owns what a packet filter does with a packet, as far as its rules can be told without running them.

A rule that asks for something we do not know may match or not; then the fate is "maybe", and a person has to
look. Chains of one hook all have to let a packet through; `accept` ends only its own (nft(8)).
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sealcast.doctor.finding import Finding, fail, ok, warn
from sealcast.doctor.ruleset import Chain, Match, Rule, Verdict

DEPTH_MAX = 16
"""Jumps within jumps; the kernel allows as many."""

FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}
HOOKS_IN = ("prerouting", "input")
HOOKS_OUT = ("output", "postrouting")
SEE_RULES = "nft list ruleset"


class Fate(StrEnum):
    """What becomes of a packet."""

    PASSES = "passes"
    MAYBE = "maybe"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet of our own interest: `facts` are the values that each key of a rule may have for it.

    `allow` is the end of a rule that lets it in, as nft takes it.
    """

    name: str
    family: int
    facts: Mapping[str, frozenset[str]]
    outgoing: bool = False
    allow: str = ""


def multicast_packets(family: int, interface: str, group: str, port: int) -> tuple[Packet, ...]:
    """Return the packets that a receiver lives on: the stream's, the querier's, and its own reports."""
    control = "igmp" if family == 4 else "ipv6-icmp"
    numbers = {"igmp": "2", "udp": "17", "ipv6-icmp": "58"}
    wide = "ip" if family == 4 else "ip6"
    query_to = "224.0.0.1" if family == 4 else "ff02::1"
    report_to = "224.0.0.22" if family == 4 else "ff02::16"
    mld = family == 6

    def packet(
        name: str, protocol: str, to: str, *, outgoing: bool = False, icmp: str = "", allow: str
    ) -> Packet:
        names = frozenset({protocol, numbers[protocol], *(["icmpv6"] if protocol == "ipv6-icmp" else [])})
        facts = {
            "meta nfproto": frozenset({"ipv4", "2"} if family == 4 else {"ipv6", "10"}),
            "meta protocol": frozenset({wide, "0x0800" if family == 4 else "0x86dd"}),
            "meta l4proto": names,
            f"{wide} {'protocol' if family == 4 else 'nexthdr'}": names,
            f"{wide} daddr": frozenset({to}),
            "meta pkttype": frozenset({"multicast"}),
            "ct state": frozenset({"new"}),
            "meta oifname" if outgoing else "meta iifname": frozenset({interface}),
        }
        if protocol == "udp":
            facts |= {"udp dport": frozenset({str(port)}), "th dport": frozenset({str(port)})}
        if icmp:
            facts["icmpv6 type"] = frozenset({icmp})
        return Packet(name, family, facts, outgoing, allow)

    return (
        packet(
            "the stream",
            "udp",
            group,
            allow=f"{wide} daddr {group} udp dport {{ {port}, {port + 1} }} accept",
        ),
        packet(
            "queries",
            control,
            query_to,
            icmp="mld-listener-query" if mld else "",
            allow="icmpv6 type mld-listener-query accept" if mld else "ip protocol igmp accept",
        ),
        packet(
            "membership reports",
            control,
            report_to,
            outgoing=True,
            icmp="mld2-listener-report" if mld else "",
            allow="icmpv6 type mld2-listener-report accept" if mld else "ip protocol igmp accept",
        ),
    )


def check_firewall(chains: Sequence[Chain], packets: Sequence[Packet]) -> list[Finding]:
    """Judge an nftables rule set by what it does with each packet; one finding if all pass."""
    findings: list[Finding] = []
    for packet in packets:
        fate, chain = fate_of(chains, packet)
        if chain is None:
            continue
        text = f"the firewall's chain {chain}"
        if fate is Fate.DROPPED:
            advice = f"nft insert rule {chain} {packet.allow}"
            findings.append(fail("firewall", f"{text} drops {packet.name}", advice))
        elif fate is Fate.MAYBE:
            findings.append(
                warn(
                    "firewall",
                    f"{text} may drop {packet.name}: its rules ask for too much to tell",
                    SEE_RULES,
                )
            )
    return findings or [ok("firewall", "no nftables rule drops the stream, queries or reports")]


def fate_of(chains: Sequence[Chain], packet: Packet) -> tuple[Fate, Chain | None]:
    """Return what becomes of a packet, and the base chain to blame unless it passes."""
    worst: tuple[Fate, Chain | None] = Fate.PASSES, None
    hooks = HOOKS_OUT if packet.outgoing else HOOKS_IN
    tables = {(chain.family, chain.table, chain.name): chain for chain in chains}
    for chain in chains:
        if chain.hook not in hooks or chain.family not in FAMILIES[packet.family]:
            continue
        fate = _Walk(tables, packet).through(chain)
        if fate is Fate.DROPPED:
            return fate, chain
        if fate is Fate.MAYBE:
            worst = fate, chain
    return worst


class _Walk:
    """One packet's way through one base chain."""

    def __init__(self, tables: Mapping[tuple[str, str, str], Chain], packet: Packet) -> None:
        self._tables = tables
        self._packet = packet
        self._may_pass = False
        self._may_drop = False

    def through(self, chain: Chain) -> Fate:
        """Return the packet's fate."""
        verdict = self._walk(chain, 0)
        if verdict is Verdict.GO_ON:
            verdict = Verdict.DROP if chain.drops_by_default else Verdict.ACCEPT
        if verdict is Verdict.DROP:
            return Fate.MAYBE if self._may_pass else Fate.DROPPED
        return Fate.MAYBE if self._may_drop else Fate.PASSES

    def _walk(self, chain: Chain, depth: int) -> Verdict:
        """Return ACCEPT, DROP, or GO_ON at the end of a chain that has not decided."""
        for rule in chain.rules:
            matches = _all_match(rule, self._packet.facts)
            if matches is False or rule.verdict is Verdict.GO_ON:
                continue
            verdict = self._decide(chain, rule, depth)
            if verdict is Verdict.UNKNOWN or matches is None:
                self._may_pass |= verdict in {Verdict.ACCEPT, Verdict.UNKNOWN}
                self._may_drop |= verdict in {Verdict.DROP, Verdict.UNKNOWN}
            elif verdict is Verdict.RETURN:
                return Verdict.GO_ON
            elif verdict is not Verdict.GO_ON:
                return verdict
            elif rule.verdict is Verdict.GOTO:
                return Verdict.GO_ON
        return Verdict.GO_ON

    def _decide(self, chain: Chain, rule: Rule, depth: int) -> Verdict:
        if rule.verdict not in {Verdict.JUMP, Verdict.GOTO}:
            return rule.verdict
        target = self._tables.get((chain.family, chain.table, rule.target))
        return Verdict.UNKNOWN if target is None or depth >= DEPTH_MAX else self._walk(target, depth + 1)


def _all_match(rule: Rule, facts: Mapping[str, frozenset[str]]) -> bool | None:
    """Return whether every condition holds; None if that hangs on one that we cannot tell."""
    answers = [_matches(match, facts) for match in rule.matches]
    if False in answers:
        return False
    return None if None in answers else True


def _matches(match: Match, facts: Mapping[str, frozenset[str]]) -> bool | None:
    if match.key is None:
        return None
    known = facts.get(match.key)
    if known is None:
        protocol = match.key.split()[0]
        ours = any(key.startswith(f"{protocol} ") for key in facts)
        return False if (protocol in _ELSEWHERE and not ours) or match.key in _NOT_THERE else None
    if match.values is None:
        return None
    found = any(_covers(value, fact) for value in match.values for fact in known)
    return found != match.negated


_ELSEWHERE = frozenset(
    {"ip", "ip6", "tcp", "udp", "udplite", "sctp", "dccp", "icmp", "icmpv6", "arp", "vlan"}
)
"""Protocols whose fields only a packet of theirs has, so that a condition on them rules ours out ..."""

_NOT_THERE = frozenset({"meta iifname", "meta oifname"})
"""... as does the interface of the other direction."""


def _covers(value: str, fact: str) -> bool:
    """Whether a rule's value (text, prefix, range, name with `*`) stands for a packet's."""
    if value == fact:
        return True
    if value.endswith("*"):
        return fact.startswith(value[:-1])
    try:
        if "/" in value:
            return ipaddress.ip_address(fact) in ipaddress.ip_network(value, strict=False)
        low, dash, high = value.partition("-")
        if dash and fact.isdecimal():
            return int(low) <= int(fact) <= int(high)
        return bool(dash) and _between(low, fact, high)
    except ValueError:
        return False


def _between(low: str, fact: str, high: str) -> bool:
    numbers = [int(ipaddress.ip_address(text)) for text in (low, fact, high)]
    return numbers[0] <= numbers[1] <= numbers[2]
