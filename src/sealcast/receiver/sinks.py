"""Owns where a receiver's payloads go: a file, a pipe, UDP datagrams or nowhere; this is an edge.

A sink is written to by the loop that also receives, so it never waits for whoever reads: for a slow reader
of a pipe bytes are held back within a limit, then dropped and counted. Nothing else is buffered: a batch is
one system call, and what was written outlives the process.
"""

import contextlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sealcast.core.errors import LocalError, SealcastError, UsageError
from sealcast.receiver.pipes import PipeSink, SinkClosed, StdoutSink, open_special
from sealcast.receiver.tally import Tally, explain_write, join_slabs
from sealcast.receiver.values import Slab
from sealcast.transport.address import Endpoint, Scheme, is_group, parse_endpoint
from sealcast.transport.batches import DatagramSender
from sealcast.transport.interfaces import choose_interface
from sealcast.transport.multicast import open_sender
from sealcast.transport.unicast import open_unicast_sender
from sealcast.wire.sealing import train_limit

__all__ = ["FileSink", "NullSink", "PipeSink", "Sink", "SinkClosed", "StdoutSink", "UdpSink", "open_sink"]


class Sink(Protocol):
    """Takes what a receiver opened, in order."""

    @property
    def written_bytes(self) -> int:
        """Bytes accepted so far, those held back for a slow reader included."""
        ...

    @property
    def dropped_bytes(self) -> int:
        """Bytes lost because the reader was too slow, or the network refused them."""
        ...

    def write(self, slabs: Sequence[Slab]) -> None:
        """Take payloads, without waiting; raises SinkClosed when nobody reads any more."""
        ...

    def sha256(self) -> str | None:
        """Return the digest of the accepted bytes in hex, or None if it was not asked for."""
        ...

    def close(self) -> None:
        """Write what is held back, within a limit of time; may be called again."""
        ...


class FileSink(Tally):
    """Writes a regular file, a batch at a time; an existing one is overwritten with the first byte.

    Until then it stays as it is: a mistyped channel costs nobody a recording.
    """

    def __init__(self, path: Path | str, *, digest: bool = False) -> None:
        super().__init__(digest=digest)
        self._path = Path(path)
        self._is_ours = False
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        try:
            self._fd = os.open(self._path, flags, 0o666)
        except OSError as error:
            raise UsageError(f"cannot write {self._path}: {explain_write(error)}") from error

    def write(self, slabs: Sequence[Slab]) -> None:
        """Write all of them at once; raises LocalError when the disk is full or fails."""
        data = join_slabs(slabs)
        try:
            if not self._is_ours:
                os.ftruncate(self._fd, 0)
                self._is_ours = True
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError as error:
            raise LocalError(f"cannot write {self._path}: {explain_write(error)}") from error
        self.accept(data)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class UdpSink(Tally):
    """Sends each payload as one UDP datagram, to a host or a multicast group."""

    def __init__(self, host: str, port: int, *, interface: str | None = None, digest: bool = False) -> None:
        super().__init__(digest=digest)
        self._sender = _open_sender(host, port, interface)
        self._failures = 0

    @property
    def failures(self) -> int:
        """Datagrams that did not leave, or that nobody was there for."""
        return self._failures + self._sender.refused

    def write(self, slabs: Sequence[Slab]) -> None:
        """Send them in order. What a full socket or a broken network refuses is counted, not repeated."""
        for slab in slabs:
            payload_bytes = max(1, slab.payload_bytes)
            # No call to the system takes more than one train.
            step_bytes = payload_bytes * train_limit(payload_bytes)
            for at in range(0, max(1, len(slab.data)), step_bytes):
                self._send(memoryview(slab.data)[at : at + step_bytes], payload_bytes)

    def _send(self, train: memoryview, payload_bytes: int) -> None:
        try:
            sent = self._sender.send_train(train, payload_bytes)
        except SealcastError:
            sent = 0
        sent_bytes = min(sent * payload_bytes, len(train))
        self.accept(train[:sent_bytes])
        self._failures += -(-len(train) // payload_bytes) - sent
        self.dropped_bytes += len(train) - sent_bytes

    def close(self) -> None:
        """Close the socket."""
        self._sender.close()


class NullSink(Tally):
    """Takes everything and keeps nothing but the count."""

    def __init__(self, *, digest: bool = False) -> None:
        super().__init__(digest=digest)

    def write(self, slabs: Sequence[Slab]) -> None:
        """Count the payloads."""
        self.accept(join_slabs(slabs))

    def close(self) -> None:
        """Do nothing: there is nothing open."""


def open_sink(output_text: str | None, interface: str | None = None, *, digest: bool = False) -> Sink:
    """Open the sink for `FILE`, `-`, `udp://HOST:PORT` or None; `interface` is for a multicast output.

    Raises UsageError with one line, UnreachableError where no route leads to HOST.
    """
    if output_text is None:
        return NullSink(digest=digest)
    if output_text == "-":
        return StdoutSink(digest=digest)
    endpoint = check_output(output_text)
    if endpoint is not None:
        return UdpSink(endpoint.host, endpoint.port, interface=interface, digest=digest)
    return _open_path(Path(output_text), digest=digest)


def check_output(output_text: str) -> Endpoint | None:
    """Return where UDP datagrams go, None for other kinds of output; raises UsageError."""
    if "://" not in output_text:
        return None
    endpoint = parse_endpoint(output_text)
    if endpoint.scheme is not Scheme.UDP or endpoint.source is not None:
        raise UsageError(f"cannot send to {output_text!r}; write udp://HOST:PORT")
    return endpoint


def _open_path(path: Path, *, digest: bool) -> Sink:
    """Open a regular file as such; a FIFO or a device is written like a pipe."""
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return PipeSink(open_special(path), str(path), digest=digest)
    return FileSink(path, digest=digest)


def _open_sender(host: str, port: int, interface: str | None) -> DatagramSender:
    if is_group(host):
        return open_sender(host, port, choose_interface(host, interface).interface)
    return open_unicast_sender(host, port)
