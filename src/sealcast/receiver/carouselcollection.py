"""Owns what becomes of each file of a carousel: looked for, wanted, checked, published, or refused.

What takes a disk's time runs in a thread of its own, one job after the other; all else in the caller's.
"""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import msgspec

from sealcast.messages.carousel import CarouselFile, Contents, refusal
from sealcast.receiver.carouselassembly import Assembly
from sealcast.receiver.carouselcontents import ContentsReader
from sealcast.receiver.carouselfolder import CarouselFolder, Place
from sealcast.receiver.carouselrepair import Repairer
from sealcast.wire.alc import read_symbol

Result = TypeVar("Result")


class State(Enum):
    """How far a file is."""

    LOOKING = "looking"
    WANTED = "wanted"
    CHECKING = "checking"
    COMPLETE = "complete"
    REFUSED = "refused"


class FileReport(msgspec.Struct, frozen=True):
    """One file of the carousel; `reason` says why it was refused."""

    name: str
    size: int
    sha256: str
    state: str
    reason: str | None = None


class CarouselReport(msgspec.Struct, frozen=True):
    """How far all is. `listing` comes with the last report; `error` says what ended it before its time."""

    files: int = 0
    complete: int = 0
    refused: int = 0
    bytes: int = 0
    held_bytes: int = 0
    packets: int = 0
    repaired_blocks: int = 0
    damaged: int = 0
    is_done: bool = False
    error: str | None = None
    is_usage: bool = False
    listing: list[FileReport] = []


@dataclass(slots=True)
class _Item:
    """A file of the present list; `assembly` while it is wanted or checked."""

    file: CarouselFile
    state: State = State.LOOKING
    reason: str | None = None
    assembly: Assembly | None = None


class Collection:
    """All files of the carousel, as the last list of contents has them."""

    def __init__(
        self, folder: CarouselFolder, repairer: Repairer, worker: Executor, *, limit_bytes: int
    ) -> None:
        """`limit_bytes` is the most that all files together may have."""
        self._folder, self._repairer, self._worker = folder, repairer, worker
        self._limit_bytes = limit_bytes
        self._reader = ContentsReader(repairer)
        self._items: dict[int, _Item] = {}
        self._jobs: list[tuple[Future[Place | None], Callable[[Place | None], None]]] = []
        self._percent = 0
        self._is_listed = False
        self._packets = self._repaired = self._damaged = 0

    @property
    def is_done(self) -> bool:
        """Whether there is a list, with a file in it, and nothing of it is still to come."""
        over = {State.COMPLETE, State.REFUSED}
        return bool(self._items) and all(item.state in over for item in self._items.values())

    def take(self, packet: memoryview) -> None:
        """Take a packet of the stream; raises LocalError where the disk is full or fails."""
        self._packets += 1
        if (symbol := read_symbol(packet)) is None:
            if (contents := self._reader.take(packet)) is not None:
                self._take_contents(contents)
            return
        item = self._items.get(symbol[0])
        if item is not None and item.state is State.WANTED and item.assembly is not None:
            item.assembly.take(*symbol[1:])
            if item.assembly.is_complete:
                self._check(item, item.assembly)

    def poll(self) -> None:
        """Go on with what a job has found out; raises LocalError."""
        while self._jobs and self._jobs[0][0].done():
            job, then = self._jobs.pop(0)
            then(job.result())

    def report(self, *, is_last: bool = False) -> CarouselReport:
        """Say how far all is."""
        items = self._items.values()
        states = [item.state for item in items]
        files = [
            FileReport(item.file.name, item.file.size, item.file.sha256, item.state.value, item.reason)
            for item in items
        ]
        return CarouselReport(
            files=len(states),
            complete=states.count(State.COMPLETE),
            refused=states.count(State.REFUSED),
            bytes=sum(item.file.size for item in items if item.state is not State.REFUSED),
            held_bytes=sum(_held_bytes(item) for item in items),
            packets=self._packets,
            repaired_blocks=self._repaired + sum(_repaired(item) for item in items),
            damaged=self._damaged,
            is_done=self.is_done,
            listing=files if is_last else [],
        )

    def close(self) -> None:
        """Keep what is incomplete for the next receiver; jobs must be over."""
        self.poll()
        for item in self._items.values():
            if item.assembly is not None:
                item.assembly.keep()

    def _take_contents(self, contents: Contents) -> None:
        """Go over to another list: what is on both goes on."""
        if contents.repair_percent != self._percent:
            # Another sender protects the same files in another way: other symbols, so other parts.
            self._percent = contents.repair_percent
            for session, item in list(self._items.items()):
                if item.state is State.WANTED:
                    self._give_up(self._items.pop(session))
        if not self._is_listed:
            # Before any file is looked after: what is being published has files of its own there meanwhile.
            self._is_listed = True
            self._folder.discard_others({name for file in contents.files for name in self._parts(file)})
        before, self._items = self._items, {}
        left_bytes = self._limit_bytes
        for file in contents.files:
            known = before.pop(file.session, None)
            self._items[file.session] = item = known or _Item(file)
            if known is None or known.state is State.REFUSED:
                item.reason = self._refusal(file, left_bytes)
                item.state = State.LOOKING if item.reason is None else State.REFUSED
                if item.reason is None:
                    self._look(item)
            left_bytes -= 0 if item.state is State.REFUSED else file.size
        for item in before.values():
            self._give_up(item)

    @staticmethod
    def _refusal(file: CarouselFile, left_bytes: int) -> str | None:
        """Return why a file is not taken, by its name or for its size."""
        if file.size > left_bytes:
            return "with it the carousel is larger than this receiver takes"
        return refusal(file.name)

    def _look(self, item: _Item) -> None:
        """Find out what stands in a file's place; where nothing does, what comes next is taken already."""
        if self._folder.is_free(item.file):
            self._found(item, Place.FREE)
            return
        self._run(lambda: self._folder.look(item.file), lambda place: self._found(item, place))

    def _found(self, item: _Item, place: Place | None) -> None:
        """Begin with a file that is not there; an empty one is whole already."""
        if self._items.get(item.file.session) is not item:
            return
        if place is Place.COMPLETE:
            item.state = State.COMPLETE
        elif place is Place.TAKEN:
            item.state, item.reason = State.REFUSED, Place.TAKEN.value
        elif item.file.size > self._folder.free_bytes():
            item.state, item.reason = State.REFUSED, "there is no room for it on the disk"
        else:
            item.assembly = Assembly(item.file, self._percent, self._folder, self._repairer)
            item.state = State.WANTED
            if item.assembly.is_complete:
                self._check(item, item.assembly)

    def _check(self, item: _Item, assembly: Assembly) -> None:
        """Compare a file that is all there with its digest, and publish it."""
        item.state = State.CHECKING
        assembly.release()

        def check() -> Place | None:
            if item.file.size and not self._folder.is_whole(item.file, assembly.part):
                return None
            return self._folder.publish(item.file, assembly.part)

        self._run(check, lambda place: self._checked(item, assembly, place))

    def _checked(self, item: _Item, assembly: Assembly, place: Place | None) -> None:
        if place is None:
            self._damaged += 1
            assembly.begin_again()
            item.state = State.WANTED
            if self._items.get(item.file.session) is not item:
                self._give_up(item)
            return
        self._repaired += assembly.repaired_blocks
        assembly.discard()
        item.assembly = None
        item.state = State.COMPLETE if place is Place.COMPLETE else State.REFUSED
        item.reason = None if place is Place.COMPLETE else place.value

    def _give_up(self, item: _Item) -> None:
        """Let go of a file that goes round no more; one that is being checked is still published."""
        if item.assembly is not None and item.state is not State.CHECKING:
            self._repaired += item.assembly.repaired_blocks
            item.assembly.discard()
            item.assembly = None

    def _parts(self, file: CarouselFile) -> set[str]:
        part = f"{file.session:012x}-{self._percent}"
        return {part, f"{part}.r", f"{part}.m"}

    def _run(self, job: Callable[[], Place | None], then: Callable[[Place | None], None]) -> None:
        self._jobs.append((self._worker.submit(job), then))


def _held_bytes(item: _Item) -> int:
    if item.state is State.COMPLETE:
        return item.file.size
    return 0 if item.assembly is None else item.assembly.held_bytes


def _repaired(item: _Item) -> int:
    return 0 if item.assembly is None else item.assembly.repaired_blocks
