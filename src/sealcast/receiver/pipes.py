"""Owns output to pipes, standard output among them: never waits for the reader, drops and counts at a limit.

It must not wait, since the loop that writes also receives and fetches keys: a player that pauses would stop
all of it.
"""

import contextlib
import errno
import os
import select
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import NS_PER_MS
from sealcast.receiver.tally import Tally, explain_write
from sealcast.receiver.values import Slab

MAX_HELD_BYTES = 8 * 1024 * 1024
"""Held back for a slow reader: 8 s of a stream of 8 Mbit/s; a player that pauses longer loses some."""

PIPE_WRITE_BYTES = 4_096
"""A pipe that polls as writable takes this much without waiting (PIPE_BUF of Linux)."""

PIPE_BYTES = 1024 * 1024
"""Asked of the kernel for the pipe, so that a reader may be late for a second at 8 Mbit/s."""

CLOSE_WAIT_MS = 3_000
"""How long `close` waits for a slow reader: a program ends within 5 s."""

_F_SETPIPE_SZ = 1031


OUTPUT_CLOSED = "output closed"


class SinkClosed(LocalError):  # noqa: N818 - not a failure: whoever read the output has had enough
    """The reader of the output is gone; the receiver ends as if it had been told to, for `reason`."""

    exit_status = 0

    def __init__(self, text: str, *, reason: str = OUTPUT_CLOSED) -> None:
        super().__init__(text)
        self.reason = reason


class PipeSink(Tally):
    """Writes to a pipe, a terminal or whatever else a descriptor stands for, and never waits for it."""

    def __init__(self, fd: int, name: str, *, digest: bool = False, owned: bool = True) -> None:
        super().__init__(digest=digest)
        self._fd, self._name, self._owned = fd, name, owned
        self._held = bytearray()
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        takes_all = stat.S_ISREG(os.fstat(fd).st_mode) or not os.get_blocking(fd)
        self._step_bytes = MAX_HELD_BYTES if takes_all else PIPE_WRITE_BYTES
        _widen_pipe(fd)

    def write(self, slabs: Sequence[Slab]) -> None:
        """Write as much as the reader takes now and hold back the rest; raises SinkClosed."""
        if self._held:
            self._pass_on(wait_ms=0)
        for slab in slabs:
            if len(self._held) + len(slab.data) > MAX_HELD_BYTES:
                self.dropped_bytes += len(slab.data)
                continue
            self.accept(slab.data)
            taken = 0 if self._held else self._write_some(slab.data, until_ns=0)
            self._held += slab.data[taken:]

    def close(self) -> None:
        """Give a slow reader `CLOSE_WAIT_MS` to take the rest; what it leaves counts as dropped."""
        if self._fd < 0:
            return
        with contextlib.suppress(LocalError):
            self._pass_on(wait_ms=CLOSE_WAIT_MS)
        self.dropped_bytes += len(self._held)
        self._held.clear()
        if self._owned:
            os.close(self._fd)
        self._fd = -1

    def _pass_on(self, wait_ms: int) -> None:
        """Write of what is held back what the reader takes, for at most `wait_ms` of waiting in all."""
        until_ns = time.monotonic_ns() + wait_ms * NS_PER_MS if wait_ms else 0
        with memoryview(self._held) as held:
            written = self._write_some(held, until_ns)
        del self._held[:written]

    def _write_some(self, data: bytes | memoryview, until_ns: int) -> int:
        """Write in steps that cannot block, waiting until then; return how many bytes the reader took."""
        written = 0
        try:
            while written < len(data):
                left_ms = max(0, (until_ns - time.monotonic_ns()) // NS_PER_MS) if until_ns else 0
                if not self._poll.poll(left_ms):
                    break
                written += os.write(self._fd, data[written : written + self._step_bytes])
        except BlockingIOError:
            pass  # The reader is slow; the next write tries again.
        except OSError as error:
            if error.errno in {errno.EPIPE, errno.ECONNRESET}:
                raise SinkClosed(f"nobody reads {self._name} any more") from error
            raise LocalError(f"cannot write {self._name}: {explain_write(error)}") from error
        return written


class StdoutSink(PipeSink):
    """Writes to standard output, which it leaves open."""

    def __init__(self, fd: int | None = None, *, digest: bool = False) -> None:
        try:
            super().__init__(
                sys.stdout.fileno() if fd is None else fd, "standard output", digest=digest, owned=False
            )
        except (OSError, ValueError, AttributeError) as error:
            raise UsageError("standard output is closed; give --output FILE") from error


def open_special(path: Path) -> int:
    """Open a FIFO or a device without waiting for a reader, now or when writing."""
    try:
        return os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        advice = (
            "nobody reads it yet; start the reader first"
            if error.errno == errno.ENXIO
            else explain_write(error)
        )
        raise UsageError(f"cannot write {path}: {advice}") from error


def _widen_pipe(fd: int) -> None:
    """Ask for a larger pipe; other kinds of output refuse, and other systems do not know it."""
    try:
        import fcntl  # noqa: PLC0415 - not on every system

        fcntl.fcntl(fd, _F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, OSError):
        return
