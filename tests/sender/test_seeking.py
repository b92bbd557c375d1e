"""Shows where a file is after some time, for a programme that is joined in the middle."""

import asyncio
from pathlib import Path

from sealcast.core.ports import NS_PER_S
from sealcast.sender.seeking import position_by_clock, position_by_rate
from sealcast.sender.sources import FileSource, open_source
from sender.streams import clocked_stream

SECONDS = 8


def stream() -> bytes:
    """Return a transport stream of 8 s with a PCR each 40 ms."""
    step = 27_000_000 // 25
    return clocked_stream([at * step for at in range(SECONDS * 25 + 1)], 39)


def position(data: bytes, seconds: float) -> int:
    """Return where it is after so long."""
    return position_by_clock(lambda at, count: data[at : at + count], len(data), int(seconds * NS_PER_S))


def test_a_transport_stream_is_found_by_its_clock() -> None:
    """Half the time is half the bytes of an even stream, at a packet; the beginning is the beginning."""
    data = stream()
    for seconds in (1, 2.5, 4, 7):
        found = position(data, seconds)
        assert found % 188 == 0
        assert abs(found / len(data) - seconds / SECONDS) < 0.01
    assert position(data, 0) == 0


def test_a_stream_that_is_over_by_then_is_over() -> None:
    """Its whole length is behind; just before its end there is something left."""
    data = stream()
    assert position(data, SECONDS + 2) == len(data)
    assert position(data, SECONDS - 0.5) < len(data)


def test_without_a_clock_it_begins_at_its_head() -> None:
    """Bytes without any PCR tell nothing."""
    assert position(bytes([0x47, 0x1F, 0xFF, 0x10]) * 47 * 100, 3) == 0


def test_raw_data_is_found_by_its_rate() -> None:
    """At whole datagrams, so that the packets are those of a run from the head."""
    assert position_by_rate(2 * NS_PER_S, 800_000, 1_316) == 200_000 // 1_316 * 1_316


def test_a_file_is_joined_in_its_middle(tmp_path: Path) -> None:
    """What is sent is the rest of the file; of one that is over nothing is."""
    path = tmp_path / "film.bin"
    path.write_bytes(bytes(range(256)) * 1_000)

    async def joined(elapsed_s: float) -> tuple[bool, bytes]:
        source = open_source(str(path), rate=800_000)
        assert isinstance(source, FileSource)
        await source.start()
        try:
            there = await source.join_after(int(elapsed_s * NS_PER_S))
            sent = [bytes(part) async for run in source for part in run.payloads] if there else []
            return there, b"".join(sent)
        finally:
            source.close()

    assert asyncio.run(joined(1)) == (True, path.read_bytes()[100_000 // 1_316 * 1_316 :])
    assert asyncio.run(joined(3)) == (False, b"")
