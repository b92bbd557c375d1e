"""Owns a receiver's output into a folder: hands what was opened to the process that makes files of it.

What that process has no time for is held back, then dropped and counted, as for any pipe: to a carousel it is
loss like any other.
"""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.receiver.carouselcollection import CarouselReport
from sealcast.receiver.carouselprocess import FRAME
from sealcast.receiver.pipes import PipeSink, SinkClosed
from sealcast.receiver.values import Slab

LIMIT_BYTES = 64 << 30
"""What a carousel's files may have together, unless told otherwise."""

START_WAIT_S = 20.0
END_WAIT_S = 2.0
"""A program ends within 5 s. A process that is still checking a file by then ends by itself, once it has."""

COMPLETE = "carousel complete"

_STEADY_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
"""glibc otherwise learns from large blocks to keep them, and the process grows with the files' size."""


class CarouselSink:
    """Writes the files of a carousel into a folder; with `once` it has had enough when all are there."""

    def __init__(self, folder: Path, *, once: bool = False, limit_bytes: int = LIMIT_BYTES) -> None:
        """Start the process; raises UsageError where it cannot write into the folder."""
        import flute  # noqa: F401, PLC0415 - an extra: who lacks it is told by one line, not by a process's end

        data_read, data_write = os.pipe()
        report_read, report_write = os.pipe()
        program = [sys.executable, "-m", "sealcast.receiver.carouselprocess"]
        options = ["--report", str(report_write), "--limit", str(limit_bytes), *(["--once"] if once else [])]
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [*program, *options, "--", str(folder)],
            stdin=data_read,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **_STEADY_MEMORY},
            pass_fds=(report_write,),
        )
        os.close(data_read)
        os.close(report_write)
        for fd in (data_write, report_read):
            os.set_blocking(fd, False)
        self._pipe = PipeSink(data_write, f"the files of {folder}")
        self._reports, self._line = report_read, b""
        self._once = once
        self.report = CarouselReport()
        """How far all is, as last heard."""
        self._has_begun = self._is_closed = False
        self._wait(START_WAIT_S)
        if not self._has_begun or self.report.error is not None:
            self.close()
            self._raise_failure()

    @property
    def written_bytes(self) -> int:
        """Bytes handed on, those held back included."""
        return self._pipe.written_bytes

    @property
    def dropped_bytes(self) -> int:
        """Bytes lost because the process, or its disk, was too slow."""
        return self._pipe.dropped_bytes

    def write(self, slabs: Sequence[Slab]) -> None:
        """Hand payloads on, without waiting; raises SinkClosed when all files are there, LocalError."""
        self._hear()
        try:
            self._pipe.write(
                [
                    Slab(
                        FRAME.pack(len(slab.data), slab.payload_bytes) + bytes(slab.data), slab.payload_bytes
                    )
                    for slab in slabs
                ]
            )
        except SinkClosed:
            self._wait(END_WAIT_S, until_end=True)
            self._raise_failure()
        if self._once and self.report.is_done:
            raise SinkClosed("all files are there", reason=COMPLETE)

    def sha256(self) -> None:
        """Return None: each file has a digest of its own."""
        return

    def close(self) -> None:
        """End the process once it has kept what it has, within a limit of time; may be called again."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pipe.close()
        self._wait(END_WAIT_S, until_end=True)
        if not self._has_begun:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_WAIT_S)
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1

    def _wait(self, limit_s: float, *, until_end: bool = False) -> None:
        """Wait for the next report, or all until the last."""
        until_ns = time.monotonic_ns() + int(limit_s * NS_PER_S)
        has_heard = False
        while self._reports >= 0 and (until_end or not has_heard):
            left_s = (until_ns - time.monotonic_ns()) / NS_PER_S
            if left_s <= 0 or not select.select([self._reports], [], [], left_s)[0]:
                return
            has_heard = self._hear()

    def _hear(self) -> bool:
        """Read the reports that are there; True if there was one, or the last one was."""
        if self._reports < 0:
            return False
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._reports, 1 << 16):
                self._line += data
                *lines, self._line = self._line.split(b"\n")
                if lines:
                    self.report = msgspec.json.decode(lines[-1], type=CarouselReport)
                    self._has_begun = True
                    return True
            os.close(self._reports)
            self._reports = -1
            return True
        return False

    def _raise_failure(self) -> None:
        """Raise what ended the process."""
        if self.report.error is not None:
            raise (UsageError if self.report.is_usage else LocalError)(self.report.error)
        if self._once and self.report.is_done:
            raise SinkClosed("all files are there", reason=COMPLETE)
        raise LocalError("the process that writes the carousel's files has ended")
