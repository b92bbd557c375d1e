"""Owns the demo's input: the test card, or the given file as a transport stream that lasts."""

from pathlib import Path

from sealcast.demo.testcard import make_testcard, remux_to_ts
from sealcast.sender.looping import LoopRestamper
from sealcast.sender.mpegts import PACKET_BYTES, PCR_HZ, PROBE_PACKETS, looks_like_transport_stream

CHUNK_BYTES = 1 << 20
BYTES_PER_S_MAX = 12_500_000
"""Of a file at most 100 Mbit/s for the time on the air are copied: more than any clip that a laptop plays."""

PASSES_MAX = 10_000


def prepare_clip(source: Path | None, seconds: float, target: Path) -> None:
    """Write at least `seconds` of a transport stream to `target`: of the test card if there is no `source`.

    Raises UsageError where the source cannot be read as a clip. The test card takes an eighth of `seconds`.
    """
    if source is None:
        make_testcard(target, seconds)
        return
    if _is_transport_stream(source):
        _repeat(source, seconds, target)
        return
    remuxed = target.with_suffix(".once.ts")
    remux_to_ts(source, remuxed)
    _repeat(remuxed, seconds, target)
    remuxed.unlink()


def _is_transport_stream(source: Path) -> bool:
    with source.open("rb") as file:
        return looks_like_transport_stream(file.read(PROBE_PACKETS * PACKET_BYTES))


def _repeat(source: Path, seconds: float, target: Path) -> None:
    """Copy the stream, pass after pass with its clocks going on, until it lasts `seconds`."""
    restamper = LoopRestamper()
    limit_bytes = int(BYTES_PER_S_MAX * seconds)
    with target.open("wb") as out:
        for done in range(1, PASSES_MAX + 1):
            with source.open("rb") as file:
                while (chunk := file.read(CHUNK_BYTES)) and out.tell() < limit_bytes:
                    out.write(restamper.feed(chunk))
            if out.tell() >= limit_bytes:
                return
            restamper.end_pass()
            if done * restamper.duration_ticks >= seconds * PCR_HZ:
                return
