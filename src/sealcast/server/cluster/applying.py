"""Owns the task that takes over what the master publishes, as long as a replica runs.

```
bus ──► open: by the publisher, under the cluster's key? ──► queue ──► units of work ──► freshness
```
An entry that does not open or does not fit is logged, counted, and changes nothing. What the disk does not
take is tried until it does: entries wait meanwhile, and no beat makes this replica fresh.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_versions
from sealcast.cluster.bus import Bus
from sealcast.cluster.freshness import Freshness
from sealcast.cluster.sealing import EntrySealer
from sealcast.core.errors import RefusedError, RemoteError, SealcastError
from sealcast.core.ports import Clock
from sealcast.messages.cluster import Beat, EntryBody
from sealcast.messages.encoding import decode
from sealcast.storage.unitofwork import UnitOfWork

QUEUE_MAX = 256
"""Entries opened and not taken over yet; with more, the bus waits for us."""

AT_ONCE_MAX = 16
"""Entries in one unit of work: about as many milliseconds, in which no key is given out."""

OPENED_AT_ONCE = 16
"""Entries opened before others have a turn: 3 ms."""

RETRY_S = 1.0
"""Between tries to write, and between watches of the bus that ended."""

log = structlog.get_logger("sealcast.server")


class Applier:
    """Takes entries over. `take` writes one in a unit of work and says whether it was newer."""

    def __init__(
        self,
        *,
        bus: Bus,
        sealer: EntrySealer,
        take: Callable[[sa.Connection, EntryBody], bool],
        unit_of_work: UnitOfWork,
        freshness: Freshness,
        clock: Clock,
    ) -> None:
        self._bus, self._sealer, self._take = bus, sealer, take
        self._unit_of_work, self._freshness, self._clock = unit_of_work, freshness, clock
        self._queue: asyncio.Queue[EntryBody] = asyncio.Queue(QUEUE_MAX)
        self._is_writing = False
        self.taken = 0
        self.older = 0
        self.rejected = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be taken over."""
        return self._queue.empty() and not self._is_writing

    async def run(self) -> None:
        """Take over what comes until cancelled."""
        writing = asyncio.create_task(self._write())
        try:
            while True:
                try:
                    await self._watch()
                except SealcastError as error:
                    log.warning("the bus is watched again", reason=str(error))
                await asyncio.sleep(RETRY_S)
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    async def apply(self, entries: list[EntryBody]) -> None:
        """Take entries over; those that do not fit are counted, and an error of the disk is tried again."""
        while True:
            try:
                newer = await self._unit_of_work.run(partial(self._take_all, entries))
            except RefusedError as error:
                log.warning("what the master published waits", reason=str(error))
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # noqa: BLE001 - one entry that does not fit must not keep others out
                if len(entries) == 1:
                    self._unfit(entries[0], error)
                    return
                for entry in entries:
                    await self.apply([entry])
                return
            else:
                self._taken(entries, newer)
                return

    async def _watch(self) -> None:
        opened = 0
        async for delivered in self._bus.watch():
            try:
                entry = self._sealer.open(delivered.data)
                if self._sealer.place(entry.kind, entry.name) != delivered.name:
                    raise RemoteError("an entry in the place of another")  # noqa: TRY301 - told like the rest
            except RemoteError as error:
                self._reject(delivered.name, error)
            else:
                await self._queue.put(entry)
            opened += 1
            if opened % OPENED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _write(self) -> None:
        while True:
            entries = [await self._queue.get()]
            while len(entries) < AT_ONCE_MAX and not self._queue.empty():
                entries.append(self._queue.get_nowait())
            self._is_writing = True
            await self.apply(entries)
            self._is_writing = False

    def _take_all(self, entries: list[EntryBody], connection: sa.Connection) -> list[bool]:
        return [self._take_one(connection, entry) for entry in entries]

    def _take_one(self, connection: sa.Connection, entry: EntryBody) -> bool:
        if entry.kind == "beat":
            decode(bytes(entry.body), Beat)
            if entry.version < store_versions.highest(connection):
                return False
        return self._take(connection, entry)

    def _taken(self, entries: list[EntryBody], newer: list[bool]) -> None:
        now = self._clock.monotonic_ns()
        for entry, is_newer in zip(entries, newer, strict=True):
            if not is_newer:
                self.older += 1
                continue
            self.taken += 1
            if entry.kind == "beat":
                self._freshness.hear(decode(bytes(entry.body), Beat), entry.version, now)
            elif entry.kind == "party":
                self._freshness.doubts -= {entry.name}

    def _unfit(self, entry: EntryBody, error: Exception) -> None:
        """Note an entry of the master's that does not fit: of a party, it may have been its removal."""
        self._reject(f"{entry.kind} of version {entry.version}", error)
        if entry.kind == "party":
            self._freshness.doubts |= {entry.name}

    def _reject(self, what: str, error: Exception) -> None:
        self.rejected += 1
        log.error(
            "an entry from the bus was not taken", entry=what, reason=str(error) or type(error).__name__
        )
