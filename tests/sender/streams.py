"""Owns transport streams made by hand for tests, and an independent look at the ones made by programs."""

import io
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import av

from sealcast.sender.runs import Run

PACKET_BYTES = 188


def timestamp_field(prefix: int, value: int) -> bytes:
    """Return the five bytes of a PTS or DTS, written bit by bit after table 2-21."""
    bits = f"{prefix:04b}{value >> 30 & 7:03b}1{value >> 15 & 0x7FFF:015b}1{value & 0x7FFF:015b}1"
    return int(bits, 2).to_bytes(5, "big")


def pes_header(pts: int | None, dts: int | None = None, stream_id: int = 0xE0) -> bytes:
    """Return a PES header."""
    if pts is None:
        return b"\x00\x00\x01" + bytes([stream_id]) + b"\x00\x00\x80\x00\x00"
    if dts is None:
        return b"\x00\x00\x01" + bytes([stream_id]) + b"\x00\x00\x80\x80\x05" + timestamp_field(2, pts)
    fields = timestamp_field(3, pts) + timestamp_field(1, dts)
    return b"\x00\x00\x01" + bytes([stream_id]) + b"\x00\x00\x80\xc0\x0a" + fields


def packet(
    pid: int,
    counter: int = 0,
    *,
    pcr: int | None = None,
    jumps: bool = False,
    payload: bytes | None = b"",
    starts: bool = False,
    scrambled: bool = False,
) -> bytes:
    """Return one packet; `payload` None makes one without payload. What is short is filled up."""
    flags = (0x80 if jumps else 0) | (0x10 if pcr is not None else 0)
    field = bytes([flags])
    if pcr is not None:
        pcr %= 300 << 33
        field += int(f"{pcr // 300:033b}111111{pcr % 300:09b}", 2).to_bytes(6, "big")
    if payload is None:
        field += b"\xff" * (183 - len(field))
    has_field = payload is None or pcr is not None or jumps
    adaptation = bytes([len(field)]) + field if has_field else b""
    control = (0x80 if scrambled else 0) | (0x20 if has_field else 0) | (0x10 if payload is not None else 0)
    head = bytes([0x47, (0x40 if starts else 0) | pid >> 8, pid & 0xFF, control | counter % 16])
    body = head + adaptation + (payload or b"")
    return body.ljust(PACKET_BYTES, b"\xff")


def clocked_stream(pcrs: list[int], packets_between: int, pid: int = 0x100) -> bytes:
    """Return packets with a PCR each, and plain ones of the same PID between them."""
    packets: list[bytes] = []
    for pcr in pcrs:
        packets.append(packet(pid, len(packets), pcr=pcr))
        packets += [packet(pid, len(packets) + i) for i in range(packets_between)]
    return b"".join(packets)


def counter_errors(stream: bytes) -> list[int]:
    """Return the positions at which a PID's continuity counter does not go on (§2.4.3.3)."""
    last: dict[int, int] = {}
    errors: list[int] = []
    for at in range(0, len(stream), PACKET_BYTES):
        pid = int.from_bytes(stream[at + 1 : at + 3], "big") & 0x1FFF
        counter, has_payload = stream[at + 3] & 15, stream[at + 3] >> 4 & 1
        if pid != 0x1FFF and pid in last and counter != (last[pid] + has_payload) % 16:
            errors.append(at)
        last[pid] = counter
    return errors


@dataclass(frozen=True, slots=True)
class Decoded:
    """What FFmpeg makes of a stream."""

    pictures: int
    samples: int
    corrupt_packets: int
    falling_timestamps: int
    longest_pause_s: float


def decode(stream: bytes) -> Decoded:
    """Demultiplex and decode all of a stream with FFmpeg."""
    pictures, samples, corrupt = 0, 0, 0
    times: dict[int, list[float]] = {}
    with av.open(io.BytesIO(stream), format="mpegts") as container:
        for unit in container.demux():
            corrupt += unit.is_corrupt
            if unit.dts is not None and unit.time_base is not None:
                times.setdefault(unit.stream_index, []).append(float(unit.dts * unit.time_base))
            for frame in unit.decode():
                if isinstance(frame, av.VideoFrame):
                    pictures += 1
                    corrupt += frame.is_corrupt
                elif isinstance(frame, av.AudioFrame):
                    samples += frame.samples
    steps = [after - before for each in times.values() for before, after in pairwise(each)]
    return Decoded(pictures, samples, corrupt, sum(step <= 0 for step in steps), max(steps, default=0.0))


class Datagram(NamedTuple):
    """One payload of a run, with what the run says of it."""

    payload: bytes
    offset_ns: int | None = None
    timestamp: int | None = None
    marker: bool = False
    payload_type: int | None = None
    skipped: int = 0


def datagrams(run: Run | None) -> list[Datagram]:
    """Return a run's payloads one by one."""
    if run is None:
        return []
    return [
        Datagram(
            bytes(payload),
            None if run.offsets_ns is None else run.offsets_ns[i],
            None if run.timestamps is None else run.timestamps[i],
            run.marker,
            run.payload_type,
            0 if i else run.skipped,
        )
        for i, payload in enumerate(run.payloads)
    ]
