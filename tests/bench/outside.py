"""A program for a namespace of its own: sends a number of sealed packets, and tells its processor time."""

import json
import sys
import time

from sealcast.bench.stage import BATCH, GROUP, PAYLOAD_BYTES, Stage
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_sender
from sealcast.transport.system import SystemClock, SystemRandom

PORT = 5104
BATCHES_A_REST = 16
REST_S = 0.002
"""Whoever counts outside must keep up."""


def main(interface: str, batches: int) -> None:
    """Seal and send so many batches; print packets, and processor time a packet of this whole process."""
    stage = Stage(SystemRandom(), SystemClock().monotonic_ns())
    with open_sender(GROUP, PORT, choose_interface(GROUP, interface).interface, ttl=1) as sender:
        started_ns = time.process_time_ns()
        for number in range(batches):
            batch = stage.seal(BATCH)
            sender.send_train(batch.data, batch.segment_bytes)
            if number % BATCHES_A_REST == 0:
                time.sleep(REST_S)
        spent_ns = time.process_time_ns() - started_ns
    packets = batches * BATCH
    print(json.dumps({"packets": packets, "us": spent_ns / packets / 1e3, "payload_bytes": PAYLOAD_BYTES}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
