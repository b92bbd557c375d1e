"""A program for a namespace of its own: seals and sends, counted by others, and tells its processor time."""

import json
import statistics
import sys
import time

from sealcast.bench.dataplane import seal_and_send_ns
from sealcast.bench.stage import BATCH, GROUP, PAYLOAD_BYTES, Stage
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import MulticastSender, open_sender
from sealcast.transport.system import SystemClock, SystemRandom

PORT = 5104
BENCH_PORT = 5106
REST_S = 0.02
"""Whoever counts outside must keep up."""


def main(interface: str, rounds: int, batches: int) -> None:
    """Send in turn, two ways to take the time; print packets, and the medians of processor time a packet.

    `us` is of the whole process, over all that the counted packets took; `bench_us` what the bench's own
    measurement says of the same work.
    """
    stage = Stage(SystemRandom(), SystemClock().monotonic_ns())
    chosen = choose_interface(GROUP, interface).interface
    with (
        open_sender(GROUP, PORT, chosen, ttl=1) as counted,
        open_sender(GROUP, BENCH_PORT, chosen, ttl=1) as other,
    ):
        pairs = [
            (_outside(stage, counted, batches), seal_and_send_ns(stage, other, batches))
            for _ in range(rounds)
        ]
    outside, bench = (statistics.median(column) / 1e3 for column in zip(*pairs, strict=True))
    packets = rounds * batches * BATCH
    print(json.dumps({"packets": packets, "us": outside, "bench_us": bench, "payload_bytes": PAYLOAD_BYTES}))


def _outside(stage: Stage, sender: MulticastSender, batches: int) -> float:
    """Send so many batches; return the nanoseconds a packet that the system says this process took."""
    started_ns = time.process_time_ns()
    for _ in range(batches):
        batch = stage.seal(BATCH)
        sender.send_train(batch.data, batch.segment_bytes)
    spent_ns = time.process_time_ns() - started_ns
    time.sleep(REST_S)
    return spent_ns / (batches * BATCH)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
