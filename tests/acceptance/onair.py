"""Owns what was on the air, read by tshark from the interface: which packets, under which epoch, how large.

A packet of an AES-GCM channel is `RTP header 12 ‖ ciphertext ‖ tag 16 ‖ MKI 8` (docs/spec/wire.md): its
payload is what is left, its epoch the last four bytes. Nothing of Sealcast is asked.
"""

import contextlib
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HEADER_BYTES, TAG_BYTES, MKI_BYTES = 12, 16, 8
TS_PAYLOAD_BYTES = 7 * 188
PACKET_BYTES = HEADER_BYTES + TS_PAYLOAD_BYTES + TAG_BYTES + MKI_BYTES
"""Of a full one: a datagram that is longer is a train of them, as the loopback interface carries it."""

WAIT_S = 20


@dataclass(frozen=True, slots=True)
class Packet:
    """One data packet: when it passed, whose it is, its number, epoch and the bytes of its payload."""

    at_s: float
    ssrc: int
    seq: int
    epoch: int
    payload_bytes: int


@dataclass(slots=True)
class OnAir:
    """The packets of a channel; complete once its capture has ended."""

    packets: list[Packet] = field(default_factory=list)

    @property
    def epochs(self) -> list[int]:
        """The epochs that had packets, in order."""
        return sorted({packet.epoch for packet in self.packets})

    @property
    def duration_s(self) -> float:
        """How long there were packets: from the first to the last."""
        times = [packet.at_s for packet in self.packets]
        return max(times) - min(times)

    def begins_s(self, epoch: int) -> float:
        """Return when the first packet of an epoch passed, in seconds since 1970."""
        return min(packet.at_s for packet in self.packets if packet.epoch == epoch)


@contextlib.contextmanager
def capture(folder: Path, endpoint: str) -> Iterator[OnAir]:
    """Record what is sent to a group and port on loopback for as long as the block; read it afterwards."""
    group, _, port = endpoint.rpartition(":")
    file, log = folder / "air.pcapng", folder / "tshark.log"
    command = ["tshark", "-i", "lo", "-n", "-B", "64", "-f", f"udp and dst host {group} and dst port {port}"]
    found = OnAir()
    with log.open("wb") as errors:
        process = subprocess.Popen([*command, "-w", str(file)], stdout=subprocess.DEVNULL, stderr=errors)
    try:
        _wait_until_it_captures(process, log)
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(WAIT_S)
    assert "dropped" not in log.read_text(), log.read_text()
    found.packets += _read(file)


def _wait_until_it_captures(process: "subprocess.Popen[bytes]", log: Path) -> None:
    ends = time.monotonic() + WAIT_S
    while "Capturing on" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.05)


def _read(file: Path) -> Iterator[Packet]:
    fields = ("-T", "fields", "-e", "frame.time_epoch", "-e", "udp.payload")
    told = subprocess.run(
        ["tshark", "-n", "-r", str(file), *fields],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=True,
    )
    for line in told.stdout.splitlines():
        at, _, payload = line.partition("\t")
        data = bytes.fromhex(payload.replace(":", ""))
        for start in range(0, len(data), PACKET_BYTES):
            yield _packet(float(at), data[start : start + PACKET_BYTES])


def _packet(at_s: float, data: bytes) -> Packet:
    first, _, seq, _, ssrc = struct.unpack_from("!BBHII", data)
    assert first == 0x80, "an RTP header without extension"
    epoch = struct.unpack_from("!I", data, len(data) - 4)[0]
    return Packet(at_s, ssrc, seq, epoch, len(data) - HEADER_BYTES - TAG_BYTES - MKI_BYTES)
