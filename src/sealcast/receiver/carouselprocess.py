"""Owns the process that puts a carousel's files together: packets come by a pipe, reports go by another.

```
in (standard input)    per train: length 4 ‖ payload length 4 ‖ payloads, the last maybe shorter
out (a descriptor)     per report: one line of JSON, a `CarouselReport`; the first when the folder is open
```
It is a process of its own since disks wait, digests and repairs take a core, and the library prints: standard
output leads nowhere. It ends when its input ends, or (`--once`) when nothing is left to come.
"""

import argparse
import contextlib
import os
import select
import signal
import struct
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from sealcast.core.errors import SealcastError, UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.receiver.carouselcollection import CarouselReport, Collection
from sealcast.receiver.carouselfolder import CarouselFolder
from sealcast.receiver.carouselrepair import Repairer

FRAME = struct.Struct(">II")
READ_BYTES = 1 << 18
POLL_S = 0.1
REPORT_NS = NS_PER_S // 2


class Frames:
    """Cuts the bytes of a pipe into payloads."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[memoryview]:
        """Take bytes; give the payloads of whole trains. They are good until the next one is asked for."""
        self._held += data
        begin, held = 0, bytes(self._held)
        view = memoryview(held)
        while len(held) - begin >= FRAME.size:
            length, payload_bytes = FRAME.unpack_from(held, begin)
            if len(held) - begin - FRAME.size < length:
                break
            begin += FRAME.size
            for at in range(begin, begin + length, max(1, payload_bytes)):
                yield view[at : min(at + payload_bytes, begin + length)]
            begin += length
        del self._held[:begin]


def collect(data_fd: int, report_fd: int, path: Path, *, limit_bytes: int, once: bool) -> None:
    """Run to the end; what goes wrong is reported."""
    try:
        folder = CarouselFolder(path)
    except SealcastError as error:
        _say(report_fd, CarouselReport(error=str(error), is_usage=isinstance(error, UsageError)))
        return
    with contextlib.ExitStack() as stack:
        stack.callback(folder.close)
        repairer = Repairer()
        stack.callback(repairer.close)
        worker = stack.enter_context(ThreadPoolExecutor(max_workers=1, thread_name_prefix="carousel"))
        collection = Collection(folder, repairer, worker, limit_bytes=limit_bytes)
        _say(report_fd, collection.report())
        try:
            _pass_on(data_fd, report_fd, collection, once=once)
            worker.shutdown()
            collection.close()
        except SealcastError as error:
            _say(report_fd, msgspec.structs.replace(collection.report(), error=str(error)))
            return
        _say(report_fd, collection.report(is_last=True))


def _pass_on(data_fd: int, report_fd: int, collection: Collection, *, once: bool) -> None:
    """Give all packets to the collection, and say twice a second how far it is."""
    frames, due_ns = Frames(), 0
    while not (once and collection.is_done):
        if select.select([data_fd], [], [], POLL_S)[0]:
            data = os.read(data_fd, READ_BYTES)
            if not data:
                return
            for packet in frames.feed(data):
                collection.take(packet)
        collection.poll()
        now = time.monotonic_ns()
        if now >= due_ns:
            due_ns = now + REPORT_NS
            _say(report_fd, collection.report())


def _say(report_fd: int, report: CarouselReport) -> None:
    """Write one line; whoever read it may be gone."""
    line = memoryview(msgspec.json.encode(report) + b"\n")
    with contextlib.suppress(BrokenPipeError):
        while line:
            line = line[os.write(report_fd, line) :]


def main(arguments: list[str]) -> int:
    """Run as a program; signals of a terminal are for the receiver, which ends our input."""
    parser = argparse.ArgumentParser(description="Put the files of a carousel together.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--report", type=int, required=True, help="descriptor of the reports")
    parser.add_argument("--limit", type=int, required=True, help="the most that all files may have, in bytes")
    parser.add_argument("--once", action="store_true")
    given = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    collect(sys.stdin.fileno(), given.report, given.folder, limit_bytes=given.limit, once=given.once)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
