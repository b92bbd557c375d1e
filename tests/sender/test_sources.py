"""Shows that files, pipes and live inputs all come out as batches of datagrams, and fail in one line."""

import asyncio
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from sealcast.core.errors import FormatError, SealcastError, UsageError
from sealcast.sender.pacing import PcrPacer, RatePacer
from sealcast.sender.sources import (
    FileSource,
    Source,
    StdinSource,
    open_source,
    parse_rate_bits_per_s,
)
from sealcast.sender.udpsource import UdpSource
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_sender
from sender.streams import Datagram, counter_errors, datagrams, decode, packet

GROUP = "239.255.7.3"
WAIT_S = 10.0
CLOSED_FD = 1_000
"""Far above what the tests open."""


async def _drain(source: Source, enough: Callable[[list[Datagram]], bool] | None = None) -> list[Datagram]:
    made: list[Datagram] = []
    async with asyncio.timeout(WAIT_S):
        await source.start()
        try:
            async for run in source:
                assert len(run)
                made += datagrams(run)
                if enough is not None and enough(made):
                    break
        finally:
            source.close()
            source.close()
    return made


def _read(source: Source, enough: Callable[[list[Datagram]], bool] | None = None) -> list[Datagram]:
    return asyncio.run(_drain(source, enough))


def _joined(made: list[Datagram]) -> bytes:
    return b"".join(each.payload for each in made)


def test_a_file_comes_out_as_it_is(constant_clip: Path) -> None:
    """A transport stream by its clock, and the same file as raw data at a rate."""
    data = constant_clip.read_bytes()
    by_clock = open_source(str(constant_clip))
    assert _joined(_read(by_clock)) == data
    assert by_clock.payload_type == 33
    by_rate = open_source(str(constant_clip), rate=8_000_000)
    assert _joined(_read(by_rate)) == data
    assert by_rate.payload_type == 96


def test_a_looped_file_goes_on(constant_clip: Path) -> None:
    """Three passes of a looped file are one stream, and the iteration would go on."""
    size = constant_clip.stat().st_size
    made = _read(open_source(str(constant_clip), loop=True), lambda sent: len(_joined(sent)) >= 3 * size)
    looped = _joined(made)[: 3 * size // 188 * 188]
    assert counter_errors(looped) == []
    assert decode(looped).falling_timestamps == 0
    offsets = [each.offset_ns or 0 for each in made]
    assert offsets == sorted(offsets)


def test_looped_raw_data_repeats(tmp_path: Path) -> None:
    """Raw data begins again at its first byte, without anything between."""
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    made = _read(FileSource(path, RatePacer(1_000_000), loop=True), lambda sent: len(sent) >= 2)
    assert _joined(made)[:30] == b"0123456789" * 3


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """300 MB pass through in less than 40 MB more than before."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(300_000_000)

    async def run() -> int:
        source, total_bytes = FileSource(path, RatePacer(8_000_000)), 0
        await source.start()
        async for run in source:
            total_bytes += sum(map(len, run.payloads))
        source.close()
        return total_bytes

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert asyncio.run(run()) == 300_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def _make_bad_inputs(folder: Path) -> None:
    (folder / "text.ts").write_text("this is no transport stream\n" * 50)
    (folder / "empty.ts").touch()
    (folder / "folder.ts").mkdir()
    os.mkfifo(folder / "fifo.ts")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.ts", "No such file"),
        ("text.ts", "not an MPEG transport stream.*--rate"),
        ("empty.ts", "is empty"),
        ("folder.ts", "is a directory"),
        ("fifo.ts", "--input -"),
        ("text.ts/below", "Not a directory"),
    ],
)
def test_what_cannot_be_sent_is_said_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    """Starting raises UsageError with the name of the input and what to do."""
    _make_bad_inputs(tmp_path)
    with pytest.raises(UsageError, match=says) as caught:
        _read(open_source(str(tmp_path / name)))
    assert "\n" not in str(caught.value)


def test_what_does_not_go_together_is_refused() -> None:
    """A rate or a loop for a live input, a loop of standard input, an unknown scheme."""
    for text, rate, loop in (
        ("udp://239.1.2.3:5004", 1, False),
        ("rtp://239.1.2.3:5004", None, True),
        ("-", None, True),
        ("http://somewhere/file.ts", None, False),
        ("udp://239.1.2.3", None, False),
    ):
        with pytest.raises(UsageError):
            open_source(text, rate=rate, loop=loop)


def test_damage_in_a_file_is_named(constant_clip: Path, tmp_path: Path) -> None:
    """A file that turns to something else on the way ends with the place of the damage."""
    path = tmp_path / "damaged.ts"
    path.write_bytes(constant_clip.read_bytes()[: 188 * 1000] + b"x" * 188)
    with pytest.raises(FormatError, match=f"byte {188 * 1000}"):
        _read(FileSource(path, PcrPacer()))


def _feed_slowly(fd: int, data: bytes) -> None:
    for at in range(0, len(data), 30_001):
        os.write(fd, data[at : at + 30_001])
    os.close(fd)


def test_a_pipe_comes_out_as_it_is(constant_clip: Path) -> None:
    """What is written into a pipe in odd pieces comes out whole, and the loop never blocks on it."""
    data = constant_clip.read_bytes()
    reader, writer = os.pipe()
    feeding = threading.Thread(target=_feed_slowly, args=(writer, data))
    feeding.start()
    made = _read(StdinSource(PcrPacer(), reader))
    feeding.join()
    assert _joined(made) == data
    assert os.get_blocking(reader)
    os.close(reader)


def test_waiting_for_a_pipe_leaves_the_loop_free() -> None:
    """While nothing comes through the pipe, other tasks run, and cancelling ends the wait."""

    async def run(reader: int) -> int:
        source, ticks = StdinSource(RatePacer(1000), reader), 0
        waiting = asyncio.create_task(_drain(source))
        for _ in range(20):
            await asyncio.sleep(0.001)
            ticks += 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return ticks

    reader, writer = os.pipe()
    assert asyncio.run(run(reader)) == 20
    os.close(reader)
    os.close(writer)


def test_standard_input_from_a_file(constant_clip: Path) -> None:
    """`sealcast send … < file` reads a file that cannot be waited for."""
    with constant_clip.open("rb") as file:
        made = _read(StdinSource(PcrPacer(), file.fileno()))
    assert _joined(made) == constant_clip.read_bytes()


def test_standard_input_that_gives_nothing() -> None:
    """An empty one, a closed one and a terminal are refused in one line."""
    with Path(os.devnull).open("rb") as nothing, pytest.raises(UsageError, match="first byte"):
        _read(StdinSource(PcrPacer(), nothing.fileno()))
    with pytest.raises(UsageError, match="closed"):
        _read(StdinSource(PcrPacer(), CLOSED_FD))
    master, slave = os.openpty()
    with pytest.raises(UsageError, match="terminal"):
        _read(StdinSource(PcrPacer(), slave))
    os.close(master)
    os.close(slave)


def _rtp(seq: int, payload: bytes) -> bytes:
    return struct.pack(">BBHII", 0x80, 33, seq, seq * 90, 77) + payload


async def _receive(source: UdpSource, send: Callable[[int], None], count: int) -> list[Datagram]:
    """Start `source`, send once it listens, and return `count` datagrams."""
    made: list[Datagram] = []
    async with asyncio.timeout(WAIT_S):
        await source.start()
        send(source.local_port)
        async for run in source:
            made += datagrams(run)
            if len(made) >= count:
                break
        source.close()
    return made


def test_an_rtp_input_from_a_group() -> None:
    """RTP arrives by multicast, is taken off, and its gap and its repetition are seen."""

    def send(port: int) -> None:
        interface = choose_interface(GROUP, "lo").interface
        with open_sender(GROUP, port, interface, ttl=0) as sender:
            sender.send_batch([_rtp(seq, packet(0x100, seq)) for seq in (1, 2, 2, 6)])

    source = open_source(f"rtp://{GROUP}:{_free_port()}", interface="lo")
    assert isinstance(source, UdpSource)
    made = asyncio.run(_receive(source, send, 3))
    assert [(each.offset_ns, each.timestamp, each.skipped) for each in made] == [
        (None, 90, 0),
        (None, 180, 0),
        (None, 540, 3),
    ]
    assert (source.counters.duplicates, source.counters.missing) == (1, 3)
    assert "lo" in source.place
    assert not source.drops()


def test_a_bare_transport_stream_from_a_host() -> None:
    """A unicast input of bare packets passes as it arrives."""
    payloads = [packet(0x100, i) * 7 for i in range(5)]

    def send(port: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for payload in payloads:
                sock.sendto(payload, ("127.0.0.1", port))

    source = open_source(f"udp://127.0.0.1:{_free_port()}")
    assert isinstance(source, UdpSource)
    made = asyncio.run(_receive(source, send, 5))
    assert made == [Datagram(payload, payload_type=33) for payload in payloads]


def test_closing_ends_a_live_input() -> None:
    """A source that waits for its encoder ends its iteration when it is closed."""

    async def run() -> list[Datagram]:
        source = open_source(f"udp://127.0.0.1:{_free_port()}")
        asyncio.get_running_loop().call_later(0.02, source.close)
        return await _drain(source)

    assert asyncio.run(run()) == []


def test_a_live_input_that_cannot_be_received() -> None:
    """A port in use and an unknown interface are said at the start."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SealcastError, match="in use"):
            _read(open_source(f"udp://127.0.0.1:{taken.getsockname()[1]}"))
    with pytest.raises(UsageError, match="nosuch0"):
        _read(open_source(f"udp://{GROUP}:5004", interface="nosuch0"))


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("text", "rate"), [("8M", 8_000_000), ("500k", 500_000), ("1.5G", 1_500_000_000), ("2000000", 2_000_000)]
)
def test_rates_are_read(text: str, rate: int) -> None:
    """Bits per second, with k, M or G."""
    assert parse_rate_bits_per_s(text) == rate


@pytest.mark.parametrize("text", ["", "M", "0", "-5M", "8 M", "8Mb", "1.2.3M", "٣M", "nan", "9" * 400])
def test_other_rates_are_refused(text: str) -> None:
    """Anything else is said to be no rate."""
    with pytest.raises(UsageError, match="rate"):
        parse_rate_bits_per_s(text)
