"""Owns a sender's input from a folder: its files go round, a list of contents first and again and again.

```
round:   scan the folder · list of contents · file after file, segment after segment
         the list again after each second, or after a hundred times its own length
```
A receiver may begin anywhere. What it lost, and what went by before it came, it gets a round later.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.messages.carousel import CarouselFile, Contents, encode_contents
from sealcast.sender.carouselfiles import CarouselFolder, OpenFile
from sealcast.sender.pacing import BITS_NS
from sealcast.sender.runs import Run
from sealcast.wire.alc import REPAIR_PERCENT_MAX, segment_count
from sealcast.wire.rtp import PAYLOAD_TYPE_DATA

if TYPE_CHECKING:
    from sealcast.sender.carouselpackets import Packer

REPAIR_PERCENT = 15
"""At 5 % loss one block in 1.6 million is not repaired in its first round (docs/decisions/0043)."""

RUN_PACKETS = 256
CONTENTS_SHARE = 100
"""The list of contents takes at most so small a part of what is sent."""

ROUND_NS_MIN = NS_PER_S
"""A folder is scanned no more often, however quickly it goes round."""

log = structlog.get_logger("sealcast.sender")


class CarouselSource:
    """Sends all regular files of a folder, over and over; it ends only with the run.

    Memory: a segment of 4 MB and its packets, whatever the size of the files.
    """

    def __init__(
        self, folder: Path | str, rate_bits_per_s: int, repair_percent: int = REPAIR_PERCENT
    ) -> None:
        if rate_bits_per_s <= 0:
            raise UsageError("the rate must be above 0 bit/s; write for instance --rate 8M")
        if not 1 <= repair_percent <= REPAIR_PERCENT_MAX:
            raise UsageError(f"--repair is 1 to {REPAIR_PERCENT_MAX} (per cent), not {repair_percent}")
        self._folder = CarouselFolder(Path(folder))
        self._rate, self._percent = rate_bits_per_s, repair_percent
        self._sent_bits_ns = 0
        self._begin_s = 0.0
        self._list_packets: list[bytes] = []
        self._list_due_bytes = self._sent_bytes = 0
        self._is_closed = False
        self.rounds = 0
        """How often all files were sent."""

    @property
    def payload_type(self) -> int:
        """96: packets of FLUTE are no transport stream."""
        return PAYLOAD_TYPE_DATA

    async def start(self) -> None:
        """Look at the folder; raises UsageError."""
        import flute  # noqa: F401, PLC0415 - an extra: who lacks it is told before anything is sent

        self._folder.check()

    def __aiter__(self) -> AsyncIterator[Run]:
        return self._batches()

    def close(self) -> None:
        """End the iteration."""
        self._is_closed = True

    async def _batches(self) -> AsyncIterator[Run]:
        files: list[CarouselFile] | None = None
        scanned_s = 0.0
        self._begin_s = asyncio.get_running_loop().time()
        while not self._is_closed:
            now_s = asyncio.get_running_loop().time()
            if files is None or now_s - scanned_s >= ROUND_NS_MIN / NS_PER_S:
                scanned_s = now_s
                found = await asyncio.to_thread(self._folder.scan)
                if found != files:
                    log.info("carousel", files=len(found), bytes=sum(file.size for file in found))
                    files = found
                    self._list_packets = await asyncio.to_thread(self._pack_list, files)
                    self._list_due_bytes = 0
            for file in files:
                async for run in self._send(file):
                    yield run
            self.rounds += 1
            async for run in self._listed():
                yield run
            if not any(file.size for file in files):
                await asyncio.sleep(ROUND_NS_MIN / NS_PER_S)

    async def _send(self, file: CarouselFile) -> AsyncIterator[Run]:
        """Send one file as it was found; what was changed in place meanwhile is left to the next round."""
        opened = await asyncio.to_thread(self._folder.open, file)
        if opened is None:
            return
        try:
            packer: Packer | None = None
            for segment in range(segment_count(file.size)):
                async for run in self._listed():
                    yield run
                if packer is None:
                    packer = _packer(file, self._percent)
                packets = await asyncio.to_thread(_packed, packer, opened, segment)
                if packets is None:
                    log.warning("changed while it was sent; rename files into the folder", file=file.name)
                    return
                for run in self._runs(packets):
                    yield run
        finally:
            opened.close()

    async def _listed(self) -> AsyncIterator[Run]:
        """Give the list of contents, if it is due."""
        if self._sent_bytes >= self._list_due_bytes:
            size = sum(map(len, self._list_packets))
            self._list_due_bytes = self._sent_bytes + max(self._rate // 8, CONTENTS_SHARE * size)
            for run in self._runs(self._list_packets):
                yield run

    def _runs(self, packets: list[bytes]) -> "list[Run]":
        """Give packets the times at which they leave: after all before them, and not in the past."""
        now_s = asyncio.get_running_loop().time()
        self._sent_bits_ns = max(self._sent_bits_ns, int((now_s - self._begin_s) * NS_PER_S) * self._rate)
        runs = []
        for first in range(0, len(packets), RUN_PACKETS):
            batch, offsets_ns = packets[first : first + RUN_PACKETS], []
            for packet in batch:
                offsets_ns.append(self._sent_bits_ns // self._rate)
                self._sent_bits_ns += len(packet) * BITS_NS
                self._sent_bytes += len(packet)
            runs.append(Run(batch, offsets_ns))
        return runs

    def _pack_list(self, files: list[CarouselFile]) -> list[bytes]:
        from sealcast.sender.carouselpackets import Packer  # noqa: PLC0415 - needs the extra

        session, data = encode_contents(Contents(1, self._percent, files))
        return Packer(session, self._percent, self_contained=True).pack(data, "sealcast:contents")


def _packer(file: CarouselFile, repair_percent: int) -> "Packer":
    from sealcast.sender.carouselpackets import Packer  # noqa: PLC0415 - needs the extra

    return Packer(file.session, repair_percent)


def _packed(packer: "Packer", opened: OpenFile, segment: int) -> list[bytes] | None:
    """Read and pack one segment; None if the file is not what it was. 60 ms for 4 MB."""
    try:
        data = opened.segment(segment)
    except OSError:
        return None
    return packer.pack(data, f"sealcast:{segment}") if opened.is_same() and data else None
