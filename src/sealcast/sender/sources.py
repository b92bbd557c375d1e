"""Owns where a sender's bytes come from: a file, standard input or a live input, all with one face.

This is an edge: it reads files and pipes. What leaves when is the pacer's, what a live input's datagrams mean
is `liveinput`'s, sockets are `udpsource`'s.
"""

import asyncio
import errno
import os
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from sealcast.core.errors import UsageError
from sealcast.sender.looping import LoopRestamper
from sealcast.sender.mpegts import PACKET_BYTES, PROBE_PACKETS, looks_like_transport_stream
from sealcast.sender.pacing import DATAGRAM_BYTES, Pacer, PcrPacer, RatePacer
from sealcast.sender.runs import Run
from sealcast.sender.seeking import position_by_clock, position_by_rate
from sealcast.sender.udpsource import UdpSource
from sealcast.transport.address import parse_endpoint
from sealcast.wire.rtp import PAYLOAD_TYPE_DATA, PAYLOAD_TYPE_MP2T

CHUNK_BYTES = 100 * DATAGRAM_BYTES
"""Read at once: 130 ms of a stream of 8 Mbit/s, and all that a source holds beside the pacer's look-ahead."""

CHUNK_BYTES_MAX = 400 * DATAGRAM_BYTES
CHUNKS_PER_S = 100
"""Faster than 100 Mbit/s a file is read in longer pieces, but none longer than half a core's cache: what was
read is still there when it is sealed."""

LIVE_SCHEMES = ("udp://", "rtp://")

RATE_UNITS = {"k": 1_000, "m": 1_000_000, "g": 1_000_000_000}

RATE_DIGITS_MAX = 15
"""Enough for any rate, and still an exact number."""

PROBE_BYTES = PROBE_PACKETS * PACKET_BYTES


class Source(Protocol):
    """What the sender sends: `await start()`, then `async for run in source`, then `close()`.

    The iteration ends with the input, and never for a looped or a live one; it raises UsageError or
    FormatError where the input turns out not to be what it was taken for.
    """

    async def start(self) -> None:
        """Open the input; raises UsageError with one line that says what does not fit."""
        ...

    def __aiter__(self) -> AsyncIterator[Run]:
        """Give runs of payloads, none empty, in the order they are to be sent."""
        ...

    def close(self) -> None:
        """Let go of the input; may be called again."""
        ...

    @property
    def payload_type(self) -> int:
        """RTP payload type of the datagrams that name none."""
        ...


class FileSource:
    """Reads a file, once or (`loop`) over and over; memory does not grow with the file."""

    def __init__(self, path: Path | str, pacer: Pacer, *, loop: bool = False) -> None:
        self._path = Path(path)
        self._pacer = pacer
        self._loop = loop
        self._chunk_bytes = _chunk_bytes(pacer)
        self._restamper = LoopRestamper() if loop and isinstance(pacer, PcrPacer) else None
        self._fd = -1
        self._begin_bytes = 0

    @property
    def payload_type(self) -> int:
        """33 for a transport stream, 96 for raw data."""
        return _payload_type(self._pacer)

    async def start(self) -> None:
        """Open the file and look at its beginning; raises UsageError."""
        try:
            mode = self._path.stat().st_mode
            if stat.S_ISDIR(mode):
                raise UsageError(f"{self._path} is a directory; give a file")
            if not stat.S_ISREG(mode):
                raise UsageError(f"{self._path} is not a regular file; read it with --input - < {self._path}")
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            head = os.pread(self._fd, PROBE_BYTES, 0)
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror}") from error
        if not head:
            raise UsageError(f"{self._path} is empty")
        if isinstance(self._pacer, PcrPacer) and not looks_like_transport_stream(head):
            raise UsageError(
                f"{self._path} is not an MPEG transport stream; "
                "to send it as raw data give a rate, for instance --rate 8M",
            )

    async def join_after(self, elapsed_ns: int) -> bool:
        """Begin where the file is after so long, not at its head; False if it is over by then.

        Call it after `start`. A looped file has no middle: it begins at its head.
        """
        if self._loop:
            return True
        size_bytes = os.fstat(self._fd).st_size
        if isinstance(self._pacer, RatePacer):
            self._begin_bytes = position_by_rate(elapsed_ns, self._pacer.rate_bits_per_s, DATAGRAM_BYTES)
        else:
            fd = self._fd

            def read(position: int, count: int) -> bytes:
                return os.pread(fd, count, position)

            self._begin_bytes = await asyncio.to_thread(position_by_clock, read, size_bytes, elapsed_ns)
        return self._begin_bytes < size_bytes

    def __aiter__(self) -> AsyncIterator[Run]:
        return self._batches()

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    async def _batches(self) -> AsyncIterator[Run]:
        position = self._begin_bytes
        while True:
            data = await self._read(position)
            position += len(data)
            if data:
                batch = self._pacer.feed(self._restamper.feed(bytes(data)) if self._restamper else data)
            elif self._loop and position:
                position = self._rewind()
                continue
            else:
                batch = self._pacer.finish()
            if batch:
                yield batch
            if not data:
                return

    async def _read(self, position: int) -> bytes | bytearray:
        """Read what is in memory; else in a thread: a disk or a network file system takes its time."""
        try:
            data: bytes | bytearray | None = _read_cached(self._fd, self._chunk_bytes, position)
            if data is None:
                data = await asyncio.to_thread(os.pread, self._fd, self._chunk_bytes, position)
            return data  # noqa: TRY300 - both ways of reading raise the same
        except OSError as error:
            raise UsageError(f"cannot read on in {self._path}: {error.strerror}") from error

    def _rewind(self) -> int:
        if self._restamper:
            self._restamper.end_pass()
        return 0


class StdinSource:
    """Reads a pipe, or whatever standard input is, as its bytes arrive."""

    def __init__(self, pacer: Pacer, fd: int | None = None) -> None:
        self._pacer = pacer
        self._fd = fd

    @property
    def payload_type(self) -> int:
        """33 for a transport stream, 96 for raw data."""
        return _payload_type(self._pacer)

    async def start(self) -> None:
        """Check that there is something to read from; raises UsageError."""
        try:
            if self._fd is None:
                self._fd = sys.stdin.fileno()
            os.fstat(self._fd)
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError("standard input is closed; pipe a stream into it") from error
        if os.isatty(self._fd):
            raise UsageError("standard input is a terminal; pipe a stream into it, or give --input FILE")

    def __aiter__(self) -> AsyncIterator[Run]:
        return self._batches()

    def close(self) -> None:
        """Leave standard input as it is: it is not ours to close."""

    async def _batches(self) -> AsyncIterator[Run]:
        total_bytes = 0
        while data := await self._read():
            total_bytes += len(data)
            if batch := self._pacer.feed(data):
                yield batch
        if not total_bytes:
            raise UsageError("standard input ended before its first byte")
        if batch := self._pacer.finish():
            yield batch

    async def _read(self) -> bytes:
        """Read what there is, at least a byte; b"" at the end.

        Waits for readiness rather than setting the pipe non-blocking, which would change it for everybody
        who holds it. Files cannot be waited for: they are read in a thread.
        """
        fd = self._fd if self._fd is not None else 0
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        try:
            loop.add_reader(fd, _resolve, ready)
        except OSError:
            return await asyncio.to_thread(_read_some, fd)
        try:
            await ready
        finally:
            loop.remove_reader(fd)
        return _read_some(fd)


def _read_cached(fd: int, limit_bytes: int, position: int) -> bytearray | None:
    """Return what can be read without waiting, nothing at the end; None where that cannot be said.

    A thread for each read would cost hundreds of channels more than sealing them.
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    buffer = bytearray(limit_bytes)
    try:
        count = os.preadv(fd, [buffer], position, os.RWF_NOWAIT)
    except BlockingIOError:
        return None
    except OSError as error:
        if error.errno in {errno.EOPNOTSUPP, errno.EINVAL}:  # a file system that cannot tell
            return None
        raise
    del buffer[count:]
    return buffer


def _read_some(fd: int) -> bytes:
    try:
        return os.read(fd, CHUNK_BYTES)
    except OSError as error:
        raise UsageError(f"cannot read on in standard input: {error.strerror}") from error


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _chunk_bytes(pacer: Pacer) -> int:
    """Return how much to read at once: whole datagrams, more of them where they leave fast."""
    if not isinstance(pacer, RatePacer):
        return CHUNK_BYTES
    datagrams = pacer.rate_bits_per_s // (8 * DATAGRAM_BYTES * CHUNKS_PER_S)
    return min(CHUNK_BYTES_MAX, max(CHUNK_BYTES, datagrams * DATAGRAM_BYTES))


def _payload_type(pacer: Pacer) -> int:
    return PAYLOAD_TYPE_MP2T if isinstance(pacer, PcrPacer) else PAYLOAD_TYPE_DATA


def open_source(
    input_text: str, *, rate: int | None = None, loop: bool = False, interface: str | None = None
) -> Source:
    """Return the source for `FILE`, `-`, `udp://[SOURCE@]HOST:PORT` or `rtp://…`; opens nothing yet.

    `rate` in bits per second makes raw data of a file or of standard input; `interface` is where a
    multicast input is joined. Raises UsageError for what does not go together.
    """
    pacer = PcrPacer() if rate is None else RatePacer(rate)
    if input_text.lower().startswith(LIVE_SCHEMES):
        if rate is not None or loop:
            raise UsageError("a live input comes at its own pace, once; leave out --rate and --loop")
        return UdpSource(parse_endpoint(input_text), interface=interface)
    if "://" in input_text and not Path(input_text).exists():
        raise UsageError(f"unknown kind of input {input_text!r}; give FILE, -, udp:// or rtp://")
    if input_text == "-":
        if loop:
            raise UsageError("standard input cannot be looped; give a file")
        return StdinSource(pacer)
    return FileSource(input_text, pacer, loop=loop)


def parse_rate_bits_per_s(text: str) -> int:
    """Read a rate such as `8M`, `500k`, `1.5G` or `2000000` in bits per second; raises UsageError."""
    factor = RATE_UNITS.get(text[-1:].lower(), 1)
    number = text[:-1] if factor > 1 else text
    digits = number.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= RATE_DIGITS_MAX):
        raise UsageError(f"not a rate: {text!r}; write for instance 8M for 8 Mbit/s")
    rate = round(float(number) * factor)
    if rate <= 0:
        raise UsageError("the rate must be above 0; write for instance 8M for 8 Mbit/s")
    return rate
