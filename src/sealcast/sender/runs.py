"""Owns what a source gives: runs of payloads that leave one after the other under like headers."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from sealcast.wire.sealing import Payload


@dataclass(slots=True)
class Run:
    """Payloads in the order in which they leave.

    `offsets_ns` are their departures on the stream's clock, never falling; None means at once. The other
    fields are what an RTP input said: `timestamps` (in the clock of its payload type), `marker`,
    `payload_type`, and `skipped`, the number of input packets missing before the first.
    """

    payloads: Sequence[Payload]
    offsets_ns: Sequence[int] | None = None
    timestamps: Sequence[int] | None = None
    marker: bool = False
    payload_type: int | None = None
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.payloads)

    def until(self, offset_ns: int) -> "Run":
        """Return what leaves before a time on the stream's clock."""
        if self.offsets_ns is None:
            return self
        count = bisect_left(self.offsets_ns, offset_ns)
        if count == len(self):
            return self
        return Run(self.payloads[:count], self.offsets_ns[:count], None, self.marker, self.payload_type)


class Cut(Sequence[memoryview]):
    """Payloads of one length, the last maybe shorter, that stand one behind the other in `data`.

    They are cut apart when they are asked for: what waits is one object, and what leaves was just looked at.
    """

    __slots__ = ("_count", "_data", "_size_bytes")

    def __init__(self, data: bytes | memoryview, size_bytes: int) -> None:
        self._data = memoryview(data)
        self._size_bytes = size_bytes
        self._count = -(-len(data) // size_bytes)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, at: int) -> memoryview: ...
    @overload
    def __getitem__(self, at: slice) -> list[memoryview]: ...
    def __getitem__(self, at: int | slice) -> memoryview | list[memoryview]:
        """Return one, or a list."""
        size, data = self._size_bytes, self._data
        if isinstance(at, slice):
            first, end, step = at.indices(self._count)
            return [data[begin : begin + size] for begin in range(first * size, end * size, step * size)]
        begin = range(self._count)[at] * size
        return data[begin : begin + size]


def joined(runs: Iterable[Run]) -> Iterator[Run]:
    """Give runs of a live input with neighbours of like headers made one; no payload changes."""
    held: list[Run] = []
    for run in runs:
        if held and not _may_follow(held[-1], run):
            yield _one(held)
            held = []
        held.append(run)
    if held:
        yield _one(held)


def _may_follow(before: Run, run: Run) -> bool:
    return (
        not run.skipped
        and before.offsets_ns is None is run.offsets_ns
        and before.marker == run.marker
        and before.payload_type == run.payload_type
        and (before.timestamps is None) == (run.timestamps is None)
    )


def _one(runs: list[Run]) -> Run:
    first = runs[0]
    if len(runs) > 1:
        first.payloads = [payload for run in runs for payload in run.payloads]
        if first.timestamps is not None:
            first.timestamps = [timestamp for run in runs for timestamp in run.timestamps or ()]
    return first
