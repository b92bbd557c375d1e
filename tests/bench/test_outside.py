"""The bench from outside: what tshark counts on the wire, beside the sending process's processor time."""

import json
import sys
from pathlib import Path

import pytest

from lab.hosts import Host, network, wait_until
from sealcast.bench.stage import BATCH

pytestmark = [pytest.mark.network, pytest.mark.players]

OUTSIDE = Path(__file__).with_name("outside.py")
HEADERS_BYTES = 12 + 16 + 8
BATCHES = 60
SNAP_BYTES = 96
CAPTURE_S = 40
PORTS = ("5104", "5106")
APART = 0.15
"""How far the processor time for what is counted outside may be from what the bench says."""


def measure(host: Host, *arguments: str) -> dict[str, float]:
    """Run a program of ours in the namespace and return the one JSON object that it prints."""
    return dict(json.loads(host.run(sys.executable, *arguments, timeout_s=60)))


@pytest.mark.parametrize(
    ("rounds", "apart"), [(10, None), pytest.param(60, APART, marks=pytest.mark.soak)], ids=["short", "long"]
)
def test_as_many_packets_as_the_bench_says(rounds: int, apart: float | None) -> None:
    """Every packet is counted by tshark; the process's time for them is that of the bench's measurement.

    Both in one process, in turn, over the same interface: so a machine that changes its speed changes both.
    On a busy one single rounds differ by more than is asked; then the long form's medians are what counts.
    """
    with network() as net:
        studio, wire = net.add("studio"), net.add("wire")
        net.connect(studio, wire, "leg0", 1)
        fields = ("-T", "fields", "-e", "udp.dstport", "-e", "udp.length")
        capture = ("-i", "leg0", "-s", str(SNAP_BYTES), "-a", f"duration:{CAPTURE_S}", "-B", "64")
        filters = ("-f", "udp port " + " or udp port ".join(PORTS))
        tshark = wire.start("tshark", "-l", "-n", *capture, *filters, *fields)
        wait_until(lambda: "Capturing on" in tshark.stderr(), "tshark captures", 20)
        wait_until(
            lambda: " UP " in studio.run("ip", "-br", "link", "show", "eth0"), "the interface is up", 20
        )
        sent = measure(studio, str(OUTSIDE), "eth0", str(rounds), str(BATCHES))
        packet_bytes = int(sent["payload_bytes"]) + HEADERS_BYTES

        def counted() -> list[int]:
            """Return the packets in all trains by port: a pair of interfaces carries a train whole."""
            lines = [line.split() for line in tshark.stdout().splitlines()]
            lengths = [(line[0], int(line[1])) for line in lines if len(line) == 2 and line[1].isdigit()]
            return [sum((size - 8) // packet_bytes for to, size in lengths if to == port) for port in PORTS]

        wait_until(lambda: min(counted()) >= sent["packets"], "tshark counts all", 20)
        assert counted() == [sent["packets"]] * 2 == [rounds * BATCHES * BATCH] * 2
    print(f"process: {sent['us']:.2f} us a packet, bench: {sent['bench_us']:.2f} us")
    assert apart is None or abs(sent["us"] / sent["bench_us"] - 1) < apart
