"""Owns the recorder: a program that writes down every packet of some groups, as an eavesdropper sees them.

Arguments: the file, then `GROUP:PORT` of each channel. It ends with SIGTERM, and prints what was dropped.
"""

import hashlib
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from chaos.records import CONTROL, DATA, Heard
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver
from sealcast.wire import srtcp

KEY_ID_BYTES = 8
DIGEST_BYTES = 8
LOOK_S = 0.1


def heard(kind: int, packet: bytes, at_ns: int) -> Heard:
    """Return what is written down of a packet."""
    channel, epoch = (int.from_bytes(packet[-at:][:4], "big") for at in (8, 4))
    digest = hashlib.blake2b(packet, digest_size=DIGEST_BYTES).digest()
    if kind == DATA:
        ssrc, index = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
    else:
        split = srtcp.split_control(packet)
        ssrc, index = split.ssrc, split.index
    return Heard(at_ns, kind, channel, epoch, ssrc, index, digest)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


def main() -> None:
    """Record until told to end."""
    signal.signal(signal.SIGTERM, _end)
    file, places = Path(sys.argv[1]), [place.rsplit(":", 1) for place in sys.argv[2:]]
    interface = choose_interface("239.0.0.1", "eth0").interface
    sockets = [
        (open_receiver(group, int(port) + kind, interface), kind)
        for group, port in places
        for kind in (DATA, CONTROL)
    ]
    print("recording", flush=True)
    with file.open("wb") as out:
        try:
            while True:
                select.select([receiver for receiver, _ in sockets], [], [], LOOK_S)
                for receiver, kind in sockets:
                    while packets := receiver.receive_batch(64):
                        now = time.monotonic_ns()
                        out.writelines(heard(kind, packet, now).pack() for packet in packets)
                out.flush()
                # Packets gather meanwhile: one wake-up for many.
                time.sleep(LOOK_S)
        finally:
            print(sum(receiver.drops() or 0 for receiver, _ in sockets), flush=True)


if __name__ == "__main__":
    main()
