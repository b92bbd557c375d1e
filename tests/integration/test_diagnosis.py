"""`doctor` and `probe` on real networks: a routed broadcaster with pimd, and a switch made of a bridge."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from integration.broadcast import KEY_SERVER_PORT, UNUSED_PORT, Broadcast, Channel
from integration.machines import FACT_S, PROGRAM, Machine
from lab.hosts import Host, network, wait_until
from sealcast.device.vault import load_vault, save_vault
from sealcast.server.state import create_server_state
from sealcast.transport.system import SystemClock, SystemRandom

pytestmark = pytest.mark.network

GROUP = "232.78.0.1"
WAIT_S = "1"
PROBE_S = "2"
ROUTER_LOST_MAX = 60
"""pimd loses packets where a leg joins."""

TRIES = 4
LONG_S = "15"
"""Listening ends when enough was heard; a quiet machine takes a second or two."""
CLEAR_GROUP = "239.78.0.2"

CLEAR_SENDER = f"""
import socket, time
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    sock.sendto((b"\\x47\\x01\\x00\\x10" + bytes(184)) * 7, ("{CLEAR_GROUP}", 5004))
    time.sleep(0.01)
"""
"""Somebody's encoder that sends its transport stream as it is."""

FORGER = f"""
import socket, time
from probe.streams import CURRENT, seal_packet
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
for index in range(1_000):
    forged = seal_packet(index, key_servers=("https://evil.example",), next=None, window=None)
    sock.sendto(forged, ("{GROUP}", 5005))
    time.sleep(0.01)
"""
"""Somebody on the studio's machine who sends SEAL packets of an invented stream."""

Findings = dict[str, list[dict[str, str]]]
"""Findings by check."""


def examine(
    machine: Machine, *arguments: str, wait_s: str = WAIT_S
) -> tuple[int, dict[str, list[dict[str, str]]]]:
    """Run `doctor` and return its status and findings by check."""
    result = machine.run("doctor", *arguments, "--wait", wait_s, "--json")
    assert result.out, result.err
    findings: Findings = {}
    for finding in json.loads(result.out):
        findings.setdefault(finding["check"], []).append(finding)
    return result.status, findings


def examine_when_well(machine: Machine, *arguments: str) -> tuple[int, Findings]:
    """Run `doctor` where all is well; pimd at times answers a leave in the form of IGMPv2: then again."""
    for _ in range(TRIES):
        status, findings = examine(machine, *arguments, wait_s=LONG_S)
        if failed(findings) != {"IGMP querier"}:
            break
    return status, findings


def failed(findings: Findings) -> set[str]:
    """Return the checks that failed."""
    return {check for check, found in findings.items() if any(each["result"] == "fail" for each in found)}


Air = tuple[Broadcast, Channel]


@pytest.fixture(scope="module")
def air(ipv4: Broadcast, film: Path) -> Iterator[Air]:
    """Return a broadcaster behind pimd with a stream on the air, over and over."""
    channel = ipv4.add_channel("diagnosed", GROUP, "--lifetime", "4s", source=ipv4.lab.sender.ipv4)
    sender = ipv4.send(channel, film, "--loop")
    sender.wait_for("on air")
    yield ipv4, channel
    sender.end()


def options(broadcast: Broadcast) -> tuple[str, ...]:
    """Return the options that name the first viewer's vault."""
    viewer = broadcast.first
    return "--credential", str(viewer.machine.folder / f"{viewer.device}.vault")


def test_all_is_well(air: Air) -> None:
    """On a viewer's machine the querier is seen, the key server trusted, the channel heard: status 0."""
    made, channel = air
    status, findings = examine_when_well(made.first.machine, channel.name, *options(made))
    assert (status, failed(findings)) == (0, set()), findings
    assert findings["IGMP querier"][0]["detail"].startswith("IGMPv3 from 10.77.3.1 on eth0")
    assert findings["interface"][0]["detail"].startswith("eth0 (only multicast interface)")
    assert "encrypted" in findings["stream"][0]["detail"]
    assert "subscribed" in findings["channel"][0]["detail"]
    for check in ("key server", "certificate", "clock", "firewall", "group", "credential"):
        assert [each["result"] for each in findings[check]] == ["ok"], findings[check]
    rmem_max = int(Path("/proc/sys/net/core/rmem_max").read_text(encoding="ascii"))
    assert str(rmem_max) in findings["receive buffer"][0]["detail"]


def test_a_firewall_is_found(air: Air) -> None:
    """A firewall that lets nothing new in is named as the reason that the stream is not heard."""
    made, channel = air
    host = made.first.machine.host
    rules = "table inet wall {\nchain in { type filter hook input priority 0; policy drop;"
    rules += " ct state established,related accept; ip protocol icmp accept; }\n}"
    host.run("nft", rules)
    try:
        status, findings = examine(made.first.machine, channel.name, *options(made))
        assert status == 1
        assert failed(findings) == {"firewall", "stream"}
        for finding in findings["firewall"]:
            host.run("sh", "-c", finding["advice"].replace("{", "'{'").replace("}", "'}'"))
        status, findings = examine_when_well(made.first.machine, channel.url, *options(made))
        assert (status, findings["stream"][0]["result"]) == (0, "ok")
    finally:
        host.run("nft", "delete table inet wall")


def test_a_probe_sees_that_it_is_encrypted(air: Air) -> None:
    """Without a key a stranger's machine tells suite, key IDs, loss and the next change of a real stream."""
    made, channel = air
    report = probe(made.second.machine, channel.url)
    assert (report["protection"], report["suite"]) == ("encrypted", "AES-GCM, 128 or 256 bits")
    assert len({key["channel"] for key in report["key_ids"]}) == 1
    [stream] = report["streams"]
    assert (stream["payload_types"], stream["restarts"]) == ([33], 0)
    assert stream["lost"] <= ROUTER_LOST_MAX
    assert report["packets_per_s"] > 500
    assert report["seal"]["packets"] == report["seal"]["sensible"] > 3
    assert report["seal"]["lifetime_ms"] == 4_000
    assert report["seal"]["key_servers"] == [f"https://{made.lab.keys.ipv4}:{KEY_SERVER_PORT}"]
    assert report["verified"] is False


def test_a_forged_seal_does_not_stand_to_reason(air: Air) -> None:
    """SEAL packets of an invented stream on the real control port are counted as odd, and not repeated."""
    made, channel = air
    forger = made.lab.sender.start(
        sys.executable, "-c", FORGER, PYTHONPATH=str(Path(__file__).resolve().parents[1])
    )
    try:
        seal = probe(made.second.machine, channel.url)["seal"]
    finally:
        forger.stop()
    assert seal["sensible"] > 3
    assert seal["packets"] > seal["sensible"] + 50, forger.stderr()
    assert {"is of an SSRC that sends no data", "names another key than the data packets"} <= set(
        seal["oddities"]
    )
    assert "https://evil.example" not in seal["key_servers"]


def test_what_is_wrong_is_named(air: Air) -> None:
    """An unknown channel and another operator's key server: one failure each, with its remedy."""
    made, _ = air
    _, findings = examine(made.first.machine, "nosuch", *options(made))
    assert failed(findings) == {"channel"}
    assert "sealcast channel list" in findings["channel"][0]["advice"]

    other = Machine(made.lab.leg_b, made.second.machine.folder.parent / "other")
    url, random = f"https://{made.lab.keys.ipv4}:{KEY_SERVER_PORT}", SystemRandom()
    credential = create_server_state(
        other.folder / "state",
        operator_name="Other TV",
        hosts=(),
        urls=(url,),
        random=random,
        wall_ns=SystemClock().wall_ns(),
    )
    save_vault(other.folder / "operator.vault", credential, random)
    (other.folder / "sealcast.toml").write_text('[admin]\ncredential = "operator.vault"\n')
    status, findings = examine(other)
    assert (status, failed(findings)) == (1, {"key server"})
    assert "not by this operator's CA" in findings["key server"][0]["detail"]


def test_a_key_server_that_is_down(air: Air) -> None:
    """Nobody answers: the key server and the channel fail, and the lines tell what to start."""
    made, channel = air
    machine, url = made.first.machine, f"https://{made.lab.keys.ipv4}:{UNUSED_PORT}"
    moved = replace(load_vault(Path(options(made)[1])), servers=[url])
    save_vault(machine.folder / "moved.vault", moved, SystemRandom())
    status, findings = examine(machine, channel.name, "--credential", "moved.vault")
    assert (status, failed(findings)) == (1, {"key server", "channel"})
    assert f"cannot connect to {url}: Connection refused" in findings["key server"][0]["detail"]
    assert "sealcast serve keyserver" in findings["key server"][0]["advice"]


def probe(machine: Machine, target: str) -> dict[str, Any]:
    """Run `probe` and return its report."""
    return dict(json.loads(machine.good("probe", target, "--for", PROBE_S, "--json")))


@pytest.fixture
def switched(tmp_path: Path) -> Iterator[tuple[Host, Machine]]:
    """Return a switch, which is a bridge that snoops and asks nothing, and a machine on one of its ports."""
    with network() as net:
        switch, host = net.add("switch"), net.add("host")
        net.connect(host, switch, "port", 1)
        switch.ip(
            "link add br0 type bridge mcast_snooping 1 mcast_querier 0",
            "link set br0 type bridge mcast_igmp_version 3 mcast_mld_version 2",
            "link set port master br0",
            "address flush dev port",
            "address add 10.77.1.1/24 dev br0",
            "link set br0 up",
            "route add 239.0.0.0/8 dev br0",
        )
        wait_until(lambda: "state UP" in host.run("ip", "link", "show", "eth0"), "the machine's cable")
        wait_until(lambda: "state UP" in switch.run("ip", "link", "show", "br0"), "the switch")
        machine = Machine(host, tmp_path / "machine")
        (machine.folder / "sealcast.toml").touch(mode=0o600)
        yield switch, machine


def test_a_switch_without_a_querier(switched: tuple[Host, Machine]) -> None:
    """A snooping switch that asks nothing is told, from outside and on itself; so is one that asks."""
    switch, machine = switched
    _, findings = examine(machine)
    [finding] = findings["IGMP querier"]
    assert finding["result"] == "warn"
    assert "a snooping switch stops the stream after about 260 s" in finding["detail"]
    assert "credential" in findings

    on_itself = Machine(switch, machine.folder.parent / "switch")
    (on_itself.folder / "sealcast.toml").touch(mode=0o600)
    _, findings = examine(on_itself, "--interface", "br0")
    [finding] = findings["bridge"]
    assert finding["result"] == "warn"
    switch.run(*finding["advice"].split())
    _, findings = examine(machine, wait_s=LONG_S)
    assert findings["IGMP querier"][0]["detail"].startswith("IGMPv3 from ")
    _, findings = examine(machine, "[ff15::78]:5004", wait_s="3")
    assert findings["MLD querier"][0]["detail"].startswith("MLDv2 from fe80:")


def test_an_old_querier(switched: tuple[Host, Machine]) -> None:
    """An IGMPv2 querier is a failure for a source-specific group."""
    switch, machine = switched
    switch.ip("link set dev br0 type bridge mcast_igmp_version 2 mcast_querier 1")
    _, findings = examine(machine, "10.77.1.1@232.78.0.3:5004")
    assert failed(findings) >= {"IGMP querier", "stream"}
    assert "IGMPv2" in findings["IGMP querier"][0]["detail"]


def test_a_stream_in_the_clear(switched: tuple[Host, Machine]) -> None:
    """A transport stream that somebody sends as it is: probe and doctor both say that it is in the clear."""
    switch, machine = switched
    encoder = switch.start(sys.executable, "-c", CLEAR_SENDER)
    wait_until(encoder.running, "the encoder", FACT_S)
    report = probe(machine, f"{CLEAR_GROUP}:5004")
    assert (report["protection"], report["not_rtp"]) == ("clear", report["packets"])
    status, findings = examine(machine, f"{CLEAR_GROUP}:5004")
    assert status == 1
    assert "MPEG-TS" in findings["stream"][0]["detail"]


def test_without_rights_it_is_told_what_was_not_looked_at(switched: tuple[Host, Machine]) -> None:
    """Who may not listen or read the firewall gets warnings with the command for root, and no failure."""
    _, machine = switched
    without = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")
    done = subprocess.run(
        machine.host.command(*without, *PROGRAM, "doctor", "--wait", "0.5"),
        env={**os.environ, "SEALCAST_CONFIG": str(machine.folder / "sealcast.toml")},
        capture_output=True,
        text=True,
        timeout=FACT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "warn IGMP querier: could not listen for queries: only root may; do: sudo" in done.stdout
    assert "warn firewall: not looked at: " in done.stdout
