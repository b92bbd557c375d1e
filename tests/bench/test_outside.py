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
BATCHES = 600
SNAP_BYTES = 96
CAPTURE_S = 40


def measure(host: Host, *arguments: str) -> dict[str, float]:
    """Run a program of ours in the namespace and return the one JSON object that it prints."""
    return dict(json.loads(host.run(sys.executable, *arguments, timeout_s=60)))


def test_as_many_packets_as_the_bench_says() -> None:
    """Every packet of every batch is seen by tshark; processor time is printed beside the bench's."""
    with network() as net:
        studio, wire = net.add("studio"), net.add("wire")
        net.connect(studio, wire, "leg0", 1)
        fields = ("-T", "fields", "-e", "udp.length")
        capture = ("-i", "leg0", "-s", str(SNAP_BYTES), "-a", f"duration:{CAPTURE_S}", "-B", "64")
        tshark = wire.start("tshark", "-l", "-n", *capture, "-f", "udp port 5104", *fields)
        wait_until(lambda: "Capturing on" in tshark.stderr(), "tshark captures", 20)
        sent = measure(studio, str(OUTSIDE), "eth0", str(BATCHES))
        packet_bytes = int(sent["payload_bytes"]) + HEADERS_BYTES

        def counted() -> int:
            """Return the packets in all trains: a pair of interfaces carries a train whole."""
            lengths = [int(line) for line in tshark.stdout().splitlines() if line.isdigit()]
            return sum((length - 8) // packet_bytes for length in lengths)

        wait_until(lambda: counted() >= sent["packets"], "tshark counts all", 20)
        assert counted() == sent["packets"] == BATCHES * BATCH
        bench = measure(
            studio,
            *("-m", "sealcast.cli", "bench", "dataplane", "--no-peers", "--seconds", "0.5", "--json"),
        )
    print(f"process: {sent['us']:.2f} us a packet, bench: {bench['seal_send_us']:.2f} us")
    assert sent["us"] > 0
