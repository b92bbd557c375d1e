"""Shows that outputs take what they are given, never wait for a reader, and fail in one line."""

import contextlib
import hashlib
import os
import socket
import threading
import time
from pathlib import Path

import pytest

from sealcast.core.errors import LocalError, SealcastError, UsageError
from sealcast.receiver.pipes import MAX_HELD_BYTES
from sealcast.receiver.sinks import (
    FileSink,
    NullSink,
    PipeSink,
    SinkClosed,
    StdoutSink,
    UdpSink,
    open_sink,
)
from sealcast.receiver.values import Slab
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_receiver

GROUP = "239.255.7.4"
PAYLOADS = [Slab(bytes([i]) * 1316, 1316) for i in range(50)]
WHOLE = b"".join(slab.data for slab in PAYLOADS)
WAIT_S = 10.0


def test_a_file_holds_what_was_written_at_once(tmp_path: Path) -> None:
    """Nothing waits in a buffer: each batch stands in the file, an older file is gone."""
    path = tmp_path / "out.ts"
    path.write_bytes(b"x" * 1_000_000)
    sink = open_sink(str(path), digest=True)
    assert isinstance(sink, FileSink)
    sink.write(PAYLOADS[:20])
    assert path.read_bytes() == WHOLE[: 20 * 1316]
    sink.write([])
    sink.write(PAYLOADS[20:])
    sink.close()
    sink.close()
    assert path.read_bytes() == WHOLE
    assert sink.written_bytes == len(WHOLE)
    assert sink.sha256() == hashlib.sha256(WHOLE).hexdigest()


def test_a_digest_is_made_only_if_asked_for(tmp_path: Path) -> None:
    """Without the wish there is none, as it costs more than the writing."""
    sink = open_sink(str(tmp_path / "out.ts"))
    sink.write(PAYLOADS)
    sink.close()
    assert sink.sha256() is None


def test_a_file_stays_until_the_first_byte(tmp_path: Path) -> None:
    """A receiver that ends before it opened anything leaves an older recording alone."""
    path = tmp_path / "out.ts"
    path.write_bytes(WHOLE)
    open_sink(str(path)).close()
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("name", "says"),
    [("missing/out.ts", "make it first"), ("", "is a directory"), ("file/out.ts", "directory")],
)
def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, name: str, says: str) -> None:
    """A missing directory, a directory, a file in the place of a directory: one line."""
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=says):
        open_sink(str(tmp_path / name))


def test_a_full_disk_is_said() -> None:
    """An output that takes nothing any more raises LocalError, which ends the receiver."""
    sink = open_sink("/dev/full")
    with pytest.raises(LocalError, match="no space left"):
        sink.write(PAYLOADS)
    sink.close()


def test_a_pipe_gives_all_to_its_reader() -> None:
    """What goes into standard output comes out of it, and it stays open for others."""
    reader, writer = os.pipe()
    sink = StdoutSink(writer, digest=True)
    got = bytearray()

    def read() -> None:
        while data := os.read(reader, 65536):
            got.extend(data)

    reading = threading.Thread(target=read)
    reading.start()
    for _ in range(40):
        sink.write(PAYLOADS)
    sink.close()
    os.close(writer)
    reading.join()
    assert bytes(got) == WHOLE * 40
    assert sink.sha256() == hashlib.sha256(WHOLE * 40).hexdigest()
    os.close(reader)


def test_a_reader_that_pauses_costs_no_time_and_a_bounded_memory() -> None:
    """A full pipe never makes `write` wait; past the limit whole payloads are dropped and counted."""
    reader, writer = os.pipe()
    sink = PipeSink(writer, "the pipe", owned=True)
    begin = time.monotonic()
    for _ in range(300):
        sink.write(PAYLOADS)
    assert time.monotonic() - begin < WAIT_S
    assert sink.written_bytes + sink.dropped_bytes == 300 * len(WHOLE)
    assert MAX_HELD_BYTES - 1316 <= sink.written_bytes <= MAX_HELD_BYTES + 2 * 1024 * 1024
    assert len(sink._held) <= MAX_HELD_BYTES
    os.close(reader)
    with pytest.raises(SinkClosed):
        sink.write(PAYLOADS)
    sink.close()


def test_a_reader_that_is_gone_ends_the_output() -> None:
    """`| head` closes the pipe: SinkClosed, exit status 0, and closing is quiet."""
    reader, writer = os.pipe()
    sink = StdoutSink(writer)
    sink.write(PAYLOADS[:1])
    os.close(reader)
    with pytest.raises(SinkClosed, match="standard output") as caught:
        sink.write(PAYLOADS[:1])
    assert caught.value.exit_status == 0
    sink.close()
    os.close(writer)


def test_a_closed_standard_output_is_refused() -> None:
    """`>&-` is said in one line."""
    with pytest.raises(UsageError, match="closed"):
        StdoutSink(1_000)


def test_a_fifo_wants_its_reader_first(tmp_path: Path) -> None:
    """Opening one never blocks; with a reader it is a pipe like any other."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(UsageError, match="start the reader first"):
        open_sink(str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = open_sink(str(path))
    sink.write(PAYLOADS[:3])
    sink.close()
    assert os.read(reader, 10_000) == WHOLE[: 3 * 1316]
    os.close(reader)


def test_udp_sends_each_payload_as_a_datagram() -> None:
    """A host gets the payloads one by one, and IPv6 hosts are named in brackets."""
    for family, host, text in (
        (socket.AF_INET, "127.0.0.1", "127.0.0.1"),
        (socket.AF_INET6, "::1", "[::1]"),
    ):
        with socket.socket(family, socket.SOCK_DGRAM) as receiver:
            receiver.bind((host, 0))
            receiver.settimeout(WAIT_S)
            sink = open_sink(f"udp://{text}:{receiver.getsockname()[1]}", digest=True)
            sink.write(PAYLOADS)
            assert b"".join(receiver.recv(2000) for _ in PAYLOADS) == WHOLE
            assert sink.sha256() == hashlib.sha256(WHOLE).hexdigest()
            sink.close()


def test_udp_sends_to_a_group() -> None:
    """A multicast output leaves by the interface asked for."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with open_receiver(GROUP, port, choose_interface(GROUP, "lo").interface) as receiver:
        sink = open_sink(f"udp://{GROUP}:{port}", "lo")
        sink.write(PAYLOADS[:4])
        sink.close()
        assert receiver.receive_batch(10) == [slab.data for slab in PAYLOADS[:4]]


def test_udp_counts_what_does_not_leave() -> None:
    """A host where nobody listens and a payload too long are counted; the receiver goes on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    sink = UdpSink("127.0.0.1", port)
    for _ in range(5):
        sink.write(PAYLOADS[:1])
    assert sink.failures > 0
    before = sink.failures
    sink.write([Slab(b"x" * 70_000, 70_000)])
    assert sink.failures > before
    assert sink.dropped_bytes == 70_000
    sink.close()


def test_no_output_only_counts() -> None:
    """Without an output, bytes are counted and digested."""
    sink = open_sink(None, digest=True)
    assert isinstance(sink, NullSink)
    sink.write(PAYLOADS)
    sink.close()
    assert (sink.written_bytes, sink.dropped_bytes) == (len(WHOLE), 0)
    assert sink.sha256() == hashlib.sha256(WHOLE).hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        "rtp://127.0.0.1:5004",
        "udp://127.0.0.1",
        "udp://10.0.0.1@232.1.1.1:5004",
        "http://127.0.0.1:80",
        "udp://:1",
    ],
)
def test_other_outputs_are_refused(text: str) -> None:
    """Only FILE, -, and udp://HOST:PORT are outputs."""
    with pytest.raises(SealcastError):
        open_sink(text)


def test_the_digest_is_that_of_all_bytes(tmp_path: Path) -> None:
    """A digest made beside the writing, is that of the file whenever it is asked for."""
    with contextlib.closing(FileSink(tmp_path / "out", digest=True)) as sink:
        for number in range(300):
            sink.write([Slab(bytes([number % 251]) * 13_160, 1_316)])
            if number in {0, 150, 299}:
                assert sink.sha256() == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert sink.sha256() == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()


def test_a_device_takes_all_at_once() -> None:
    """A FIFO or a device that we open ourselves never blocks, and takes more than 4 kB a call."""
    sink = open_sink("/dev/null", digest=True)
    payload = bytes(1_316)
    sink.write([Slab(payload * 48, 1_316)])
    assert (sink.written_bytes, sink.dropped_bytes) == (48 * 1_316, 0)
    sink.close()
    assert sink.dropped_bytes == 0
