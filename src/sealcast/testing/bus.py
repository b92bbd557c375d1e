"""Owns a bus in memory for several servers in one process, with faults on command and nothing by chance."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from sealcast.cluster.bus import Delivered, Submitted
from sealcast.core.errors import FencedError, LocalError, UnreachableError

T = TypeVar("T")


@dataclass(slots=True)
class _Published:
    name: str
    data: bytes
    by: str


@dataclass(slots=True)
class _Faults:
    """What goes wrong for one client."""

    is_cut: bool = False
    is_held: bool = False
    acknowledgements_lost: int = 0
    entries_taken: int | None = None
    rewinds: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    replica: str
    data: bytes


@dataclass(slots=True)
class _Content:
    """What stands on the bus; another of these once everything was forgotten."""

    log: list[_Published] = field(default_factory=list)
    newest: dict[str, int] = field(default_factory=dict)
    batches: list[_Batch] = field(default_factory=list)
    message_ids: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Place:
    """How far one watch has come."""

    content: _Content
    rewinds: int
    sequence: int = 0


class MemoryBus:
    """The bus itself: `client` gives each server its port, the other methods are what can happen to it.

    Nothing here waits or draws a number: what is published is there at once for all who watch, unless a
    fault says otherwise.
    """

    __slots__ = ("_changed", "_content", "_faults")

    def __init__(self) -> None:
        self._content = _Content()
        self._faults: dict[str, _Faults] = {}
        self._changed = asyncio.Event()

    def client(self, name: str) -> "MemoryClient":
        """Return the port of a server; the faults of that name apply to it. A restarted one takes another."""
        self._faults.setdefault(name, _Faults())
        return MemoryClient(self, name)

    def cut(self, name: str) -> None:
        """Cut a client off: what it asks for raises UnreachableError, what it watches brings nothing."""
        self._fault(name).is_cut = True

    def heal(self, name: str) -> None:
        """End that; it is then given all that is newer than what it had."""
        self._fault(name).is_cut = False
        self.wake()

    def hold(self, name: str) -> None:
        """Keep back what a client watches, while it may publish and submit."""
        self._fault(name).is_held = True

    def release(self, name: str) -> None:
        """Let what was kept back arrive."""
        self._fault(name).is_held = False
        self.wake()

    def repeat(self, name: str) -> None:
        """Give a client once more what it was given: the newest entry of every name, in their order."""
        self._fault(name).rewinds += 1
        self.wake()

    def lose_acknowledgements(self, name: str, count: int = 1) -> None:
        """Let the next `count` things that a client publishes or submits stand, without it being told.

        So is an acknowledgement lost that it sends for a batch of a journal: the batch comes again.
        """
        self._fault(name).acknowledgements_lost = count

    def break_off(self, name: str, entries: int) -> None:
        """Let only the first `entries` of what a client publishes next stand, without it being told."""
        self._fault(name).entries_taken = entries

    def forget(self) -> None:
        """Wipe the bus: no entries, no batches, and sequences begin anew."""
        self._content = _Content()
        self.wake()

    @property
    def sequence(self) -> int:
        """The sequence of the newest entry, 0 if there is none."""
        return len(self._content.log)

    @property
    def waiting_batches(self) -> int:
        """How many batches of journals nobody has acknowledged."""
        return len(self._content.batches)

    def entries(self) -> dict[str, bytes]:
        """Return the newest data of every name, in the order of publication."""
        content = self._content
        return {name: content.log[at - 1].data for name, at in sorted(content.newest.items(), key=_sequence)}

    def content(self) -> _Content:
        """Return what stands on the bus now, for its clients."""
        return self._content

    def faults(self, name: str) -> _Faults:
        """Return what goes wrong for a client, for that client."""
        return self._fault(name)

    @property
    def changed(self) -> asyncio.Event:
        """Is set by the next thing that happens to the bus."""
        return self._changed

    def wake(self) -> None:
        """Have everyone who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _fault(self, name: str) -> _Faults:
        if name not in self._faults:
            raise LocalError(f"there is no client {name} on this bus")
        return self._faults[name]


class MemoryClient:
    """One server's port to a MemoryBus: a `cluster.bus.Bus`."""

    __slots__ = ("_bus", "_faults", "_instance", "_is_closed", "name")

    def __init__(self, bus: MemoryBus, name: str) -> None:
        self.name = name
        self._bus = bus
        self._faults = bus.faults(name)
        self._instance = f"{name}/{id(self)}"
        self._is_closed = False

    async def last_sequence(self) -> int:
        """Return the sequence of the newest entry; raises UnreachableError while cut off."""
        await self._turn()
        return self._bus.sequence

    async def entry_at(self, sequence: int) -> bytes | None:
        """Return the entry at a sequence, None if none stands; raises UnreachableError while cut off."""
        await self._turn()
        log = self._bus.content().log
        return (log[sequence - 1].data or None) if 0 < sequence <= len(log) else None

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Publish right after `after`; raises FencedError if others did, UnreachableError while cut off.

        What this client published itself without hearing of it does not fence it.
        """
        await self._turn()
        if not entries:
            return after
        content = self._bus.content()
        if after > len(content.log) or any(each.by != self._instance for each in content.log[after:]):
            raise FencedError("another master has published since; this one publishes nothing any more")
        taken, self._faults.entries_taken = self._faults.entries_taken, None
        for name, data in entries if taken is None else entries[:taken]:
            content.log.append(_Published(name, data, self._instance))
            before = content.newest.pop(name, None)
            if before is not None:
                content.log[before - 1].data = b""
            content.newest[name] = len(content.log)
        self._bus.wake()
        if taken is not None:
            raise UnreachableError("the bus broke off in the middle of a publication")
        self._acknowledged()
        return len(content.log)

    async def watch(self) -> AsyncGenerator[Delivered, None]:
        """Give the newest entry of every name, then each new one; waits while cut off or held back."""
        place = _Place(self._bus.content(), self._faults.rewinds)
        while (delivered := await self._until(lambda: self._next(place))) is not None:
            yield delivered

    async def submit(self, replica: str, message_id: str, data: bytes) -> None:
        """Hand in a batch, once per `message_id`; raises UnreachableError while cut off."""
        await self._turn()
        content = self._bus.content()
        if message_id not in content.message_ids:
            content.message_ids.add(message_id)
            content.batches.append(_Batch(replica, data))
            self._bus.wake()
        self._acknowledged()

    async def journal(self) -> AsyncGenerator[Submitted, None]:
        """Give the oldest batch, again and again until `done`, then the next; waits while cut off."""
        while (batch := await self._until(self._oldest)) is not None:
            yield Submitted(batch.replica, batch.data, partial(self._done, batch))
            await asyncio.sleep(0)

    async def journal_batches(self) -> int:
        """Return how many batches nobody has acknowledged; raises UnreachableError while cut off."""
        await self._turn()
        return self._bus.waiting_batches

    async def close(self) -> None:
        """End what this client watches."""
        self._is_closed = True
        self._bus.wake()

    async def _done(self, batch: _Batch) -> None:
        await self._turn()
        self._acknowledged()
        batches = self._bus.content().batches
        if any(each is batch for each in batches):
            batches.remove(batch)

    async def _turn(self) -> None:
        """Let others run, as a network would; raises UnreachableError while cut off."""
        await asyncio.sleep(0)
        if self._faults.is_cut or self._is_closed:
            raise UnreachableError("the bus does not answer")

    def _acknowledged(self) -> None:
        if self._faults.acknowledgements_lost > 0:
            self._faults.acknowledgements_lost -= 1
            raise UnreachableError("the bus did not acknowledge in time")

    def _next(self, place: _Place) -> Delivered | None:
        """Return what comes after a place and move it there; None while there is nothing, or a fault."""
        content = self._bus.content()
        if self._faults.is_cut or self._faults.is_held:
            return None
        if place.content is not content or place.rewinds != self._faults.rewinds:
            place.content, place.rewinds, place.sequence = content, self._faults.rewinds, 0
        while place.sequence < len(content.log):
            place.sequence += 1
            published = content.log[place.sequence - 1]
            if content.newest[published.name] == place.sequence:
                is_last = place.sequence == len(content.log)
                return Delivered(published.name, published.data, place.sequence, is_last)
        return None

    def _oldest(self) -> _Batch | None:
        batches = self._bus.content().batches
        return batches[0] if batches and not self._faults.is_cut else None

    async def _until(self, ready: Callable[[], T | None]) -> T | None:
        """Wait until `ready` has something, asked after each thing that happens; None once closed."""
        while not self._is_closed:
            changed = self._bus.changed
            if (found := ready()) is not None:
                return found
            await changed.wait()
        return None


def _sequence(item: tuple[str, int]) -> int:
    return item[1]
