"""Tests of doctor.filters and doctor.ruleset: what is told of rules is what the kernel does with packets."""

import contextlib
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.doctor import filters, system
from sealcast.doctor.filters import Fate
from sealcast.doctor.finding import Result
from sealcast.doctor.ruleset import read_ruleset
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver, open_sender
from transport.gathering import gather

GROUP, PORT = "239.255.0.7", 5004
DROPPED_S = 0.1
"""What passes the loopback does so within microseconds."""

INPUT = "chain c {{ type filter hook input priority 0; policy {policy}; {rules}; }}"


def table(rules: str = "", policy: str = "drop", family: str = "inet", more: str = "") -> str:
    """Return a table with one chain of rules for what comes in."""
    return f"table {family} t {{\n{more}\n{INPUT.format(policy=policy, rules=rules)}\n}}\n"


CASES = {
    "nothing": ("", Fate.PASSES),
    "open": (table(policy="accept"), Fate.PASSES),
    "closed": (table(), Fate.DROPPED),
    "groups let in": (table("ip daddr 224.0.0.0/4 accept"), Fate.PASSES),
    "ports let in": (table("udp dport { 5004, 5005 } accept"), Fate.PASSES),
    "another port let in": (table("udp dport 5006 accept"), Fate.DROPPED),
    "replies let in": (table("ct state established,related accept"), Fate.DROPPED),
    "new ones let in": (table("ct state new accept"), Fate.PASSES),
    "ssh let in": (table("tcp dport 22 accept"), Fate.DROPPED),
    "loopback let in": (table('iifname "lo" accept'), Fate.PASSES),
    "another interface let in": (table('iifname "eth*" accept'), Fate.DROPPED),
    "not from another interface": (table('iifname != "eth0" accept'), Fate.PASSES),
    "ports shut": (table("udp dport 5000-5010 drop", "accept"), Fate.DROPPED),
    "addresses shut": (table("ip daddr 239.255.0.0-239.255.0.9 reject", "accept"), Fate.DROPPED),
    "other ports shut": (table("udp dport != 5004 drop", "accept"), Fate.PASSES),
    "igmp let in": (table("ip protocol igmp accept"), Fate.DROPPED),
    "counted and logged": (table("counter accept"), Fate.PASSES),
    "IPv6 shut": (table(family="ip6"), Fate.PASSES),
    "a jump and back": (
        table("jump d; accept", more="chain d { ip daddr 10.0.0.1 drop; return; drop; }"),
        Fate.PASSES,
    ),
    "a jump that drops": (table("jump d; accept", more="chain d { udp dport 5004 drop; }"), Fate.DROPPED),
    "a goto": (table("goto d; accept", more="chain d { ip daddr 10.0.0.1 accept; }"), Fate.DROPPED),
    "dropped before": (
        "table ip t {\nchain c { type filter hook prerouting priority 0; ip daddr 239.0.0.0/8 drop; }\n}",
        Fate.DROPPED,
    ),
    "one table of two": (table(policy="accept") + table(family="ip"), Fate.DROPPED),
    "by chance": (table("numgen random mod 100 < 5 drop", "accept"), Fate.MAYBE),
    "by sender": (table("ip saddr 10.0.0.0/8 accept"), Fate.MAYBE),
    "by a named set": (
        table("udp dport @s accept", more="set s { type inet_service; elements = { 5004 } }"),
        Fate.MAYBE,
    ),
    "by a map": (table("meta l4proto vmap { udp : drop }", "accept"), Fate.MAYBE),
}


@pytest.mark.network
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("name", CASES)
def test_what_is_told_is_what_happens(name: str) -> None:
    """A rule set is read from nft and judged; then a packet is sent, and the kernel does the same."""
    rules, expected = CASES[name]
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=10)
    chains, reason = system.read_firewall()
    assert chains is not None, reason
    stream, *_ = filters.multicast_packets(4, "lo", GROUP, PORT)
    fate, chain = filters.fate_of(chains, stream)
    assert fate is expected
    assert (chain is None) == (fate is Fate.PASSES)
    if fate is Fate.MAYBE:
        return
    loopback = choose_interface(GROUP, "lo").interface
    with open_receiver(GROUP, PORT, loopback) as receiver, open_sender(GROUP, PORT, loopback) as sender:
        sender.send_batch([b"x"])
        if fate is Fate.PASSES:
            assert gather(receiver, 1) == [b"x"]
        else:
            time.sleep(DROPPED_S)
            assert receiver.receive_batch(1) == []


@pytest.mark.network
@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("family", [4, 6])
def test_the_advice_opens_the_way(family: int) -> None:
    """A closed firewall drops stream, queries and reports; the commands that are told let all three pass."""
    closed = "table inet t {\nchain i { type filter hook input priority 0; policy drop; }\n"
    closed += "chain o { type filter hook output priority 0; policy drop; }\n}"
    subprocess.run(["nft", "-f", "-"], input=closed, text=True, check=True, timeout=10)
    packets = filters.multicast_packets(family, "lo", GROUP if family == 4 else "ff15::7", PORT)
    chains, _ = system.read_firewall()
    findings = filters.check_firewall(chains or [], packets)
    assert [finding.result for finding in findings] == [Result.FAIL] * 3
    for finding in findings:
        subprocess.run(finding.advice.split(), check=True, timeout=10)
    chains, _ = system.read_firewall()
    assert [finding.result for finding in filters.check_firewall(chains or [], packets)] == [Result.OK]


def test_rules_that_ask_for_too_much_are_a_warning() -> None:
    """Where only a person can tell, the finding says so and names the command that shows the rules."""
    chains = read_ruleset(
        b'{"nftables": [{"metainfo": {}}, {"chain": {"family": "ip", "table": "filter", "name": "INPUT",'
        b' "hook": "input", "prio": 0, "policy": "drop"}}, {"rule": {"family": "ip", "table": "filter",'
        b' "chain": "INPUT", "expr": [{"xt": null}, {"accept": null}]}}]}'
    )
    findings = filters.check_firewall(chains, filters.multicast_packets(4, "eth0", GROUP, PORT))
    assert {finding.result for finding in findings} == {Result.WARN}
    assert findings[0].advice == "nft list ruleset"


@given(st.binary(max_size=80))
def test_what_is_not_nft_is_told(text: bytes) -> None:
    """Other bytes than nft's are a format error, or hold no rules."""
    with contextlib.suppress(FormatError):
        assert read_ruleset(text) == []


def test_a_circle_of_jumps_ends() -> None:
    """Chains that jump to each other, which the kernel would not take, do not trap us."""
    chain = '{{"chain": {{"family": "ip", "table": "t", "name": "{}"{}}}}}'
    jump = '"expr": [{{"jump": {{"target": "{}"}}}}]'
    rule = '{{"rule": {{"family": "ip", "table": "t", "chain": "{}", ' + jump + "}}}}"
    parts = [chain.format("a", ', "hook": "input"'), chain.format("b", ""), rule.format("a", "b")]
    parts.append(rule.format("b", "a"))
    chains = read_ruleset(f'{{"nftables": [{", ".join(parts)}]}}'.encode())
    stream, *_ = filters.multicast_packets(4, "lo", GROUP, PORT)
    assert filters.fate_of(chains, stream)[0] is Fate.MAYBE
