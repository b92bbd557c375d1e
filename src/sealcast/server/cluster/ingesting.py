"""Owns the task by which replicas' journals come into the database, each row exactly once.

```
batch from the bus ─► open ─► one unit of work: rows above the journal's number ─► acknowledge to the bus
```
A batch whose acknowledgement was lost comes again, and its rows are skipped. Rows that cannot be recorded are
kept aside, with the reason, and logged; a batch that nobody can open as well.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_journals
from sealcast.cluster.bus import Bus, Submitted
from sealcast.cluster.sealing import JournalSealer
from sealcast.cluster.store_journals import Aside, Journal
from sealcast.core.errors import RefusedError, RemoteError, UnreachableError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.messages.cluster import GrantedRow, JournalBatch, ReceptionRow
from sealcast.messages.encoding import encode
from sealcast.reception.service import Reception
from sealcast.server.cluster import recording, recording_receptions
from sealcast.server.cluster.clustermetrics import ClusterMetrics
from sealcast.storage.unitofwork import UnitOfWork

AGAIN_S = 0.5
"""Between attempts while the database takes nothing."""

UNREADABLE = "unreadable"
"""The journal under which batches are kept that nobody could open."""

Numbered = tuple[int, GrantedRow | ReceptionRow]
"""A row of a journal, with its number there."""

log = structlog.get_logger("sealcast.server")


@dataclass(slots=True)
class Taken:
    """What came of a batch: rows recorded, new grants among them, rows that were there, rows kept aside.

    `receptions` are those that changed or are new.
    """

    recorded: int = 0
    grants: int = 0
    repeated: int = 0
    receptions: list[Reception] = field(default_factory=list)
    aside: list[Aside] = field(default_factory=list)
    gap: int = 0


class Ingester:
    """Takes journals from the bus into the database for the length of one term.

    `on_grants` counts new grants. In the writer's thread `on_unit` is called at the beginning of each unit of
    work, and `on_receptions` is given those that changed, and new ones with number 0.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        sealer: JournalSealer,
        unit_of_work: UnitOfWork,
        clock: Clock,
        metrics: ClusterMetrics,
        on_grants: Callable[[int], None],
        on_receptions: Callable[[Sequence[Reception]], None],
        on_unit: Callable[[], None],
        keeps_evidence: bool,
    ) -> None:
        self._bus, self._sealer, self._unit_of_work = bus, sealer, unit_of_work
        self._clock, self._metrics = clock, metrics
        self._on_grants, self._on_receptions, self._on_unit = on_grants, on_receptions, on_unit
        self._keeps_evidence = keeps_evidence

    async def run(self) -> None:
        """Ingest until cancelled; raises FencedError once another master has taken over."""
        async for submitted in self._bus.journal():
            await self._ingest(submitted)

    async def _ingest(self, submitted: Submitted) -> None:
        work: Callable[[sa.Connection], Taken]
        try:
            batch = self._sealer.open(submitted.data)
        except RemoteError as error:
            work = partial(self._keep, submitted, str(error))
            name = submitted.replica
        else:
            work, name = partial(self._take, batch), batch.replica
        try:
            taken = await self._until_written(work)
        except sa.exc.IntegrityError:
            taken = await self._until_written(partial(work, is_careful=True))
        self._note(name, taken)
        try:
            await submitted.done()
        except UnreachableError:
            log.debug("a batch will come again: the bus was not told", replica=name)

    async def _until_written(self, work: Callable[[sa.Connection], Taken]) -> Taken:
        """Run a unit of work until the database takes it; FencedError ends it."""
        while True:
            try:
                return await self._unit_of_work.run(work)
            except RefusedError as error:
                await asyncio.sleep(error.retry_after_s or AGAIN_S)

    def _take(self, batch: JournalBatch, connection: sa.Connection, *, is_careful: bool = False) -> Taken:
        """Record the rows of a batch that are not in the database, and how far its journal is now.

        Raises IntegrityError if the database refuses one, unless `is_careful`.
        """
        self._on_unit()
        last = store_journals.number(connection, batch.journal)
        taken = Taken()
        numbered = [
            (number, row)
            for number, row in enumerate(batch.rows, start=batch.first)
            if last is None or number > last
        ]
        taken.repeated = len(batch.rows) - len(numbered)
        taken.gap = max(0, batch.first - last - 1) if last is not None else 0
        if not numbered:
            return taken
        if is_careful:
            self._record_each(connection, numbered, taken)
        else:
            self._record(connection, numbered, taken)
        taken.recorded = len(numbered) - len(taken.aside)
        wall_ms = self._wall_ms()
        store_journals.put_aside(connection, batch.journal, batch.replica, taken.aside, wall_ms)
        reached = Journal(batch.journal, batch.replica, numbered[-1][0], wall_ms)
        store_journals.raise_number(connection, reached)
        if taken.receptions:
            self._on_receptions(taken.receptions)
        return taken

    def _record(
        self, connection: sa.Connection, rows: Sequence[Numbered], taken: Taken, *, is_careful: bool = False
    ) -> None:
        """Record rows together."""
        granted = [(number, row) for number, row in rows if isinstance(row, GrantedRow)]
        received = [row for _, row in rows if isinstance(row, ReceptionRow)]
        done = recording.record(
            connection, granted, keeps_evidence=self._keeps_evidence, is_careful=is_careful
        )
        receptions = recording_receptions.record(connection, received)
        taken.grants += done.new
        taken.aside += done.aside
        taken.receptions += receptions

    def _record_each(self, connection: sa.Connection, rows: Sequence[Numbered], taken: Taken) -> None:
        """Record rows one by one, and keep aside what the database refuses: one bad row costs no other."""
        for number, row in rows:
            try:
                with connection.begin_nested():
                    self._record(connection, [(number, row)], taken, is_careful=True)
            except sa.exc.IntegrityError as error:
                taken.aside.append(Aside(number, encode(row), str(error.orig)))

    def _keep(self, submitted: Submitted, reason: str, connection: sa.Connection) -> Taken:
        """Keep a batch as it is that cannot be opened."""
        self._on_unit()
        digest = hashlib.sha256(submitted.data).digest()
        aside = Aside(int.from_bytes(digest[:7], "big"), submitted.data, reason)
        store_journals.put_aside(connection, UNREADABLE, submitted.replica, [aside], self._wall_ms())
        return Taken(aside=[aside])

    def _note(self, replica: str, taken: Taken) -> None:
        self._on_grants(taken.grants)
        self._metrics.journal_rows(recorded=taken.recorded, repeated=taken.repeated, aside=len(taken.aside))
        if taken.aside:
            log.error(
                "rows of a journal cannot be recorded and are kept aside",
                replica=replica,
                rows=len(taken.aside),
                reason=taken.aside[0].reason,
            )
        if taken.gap:
            log.error("rows of a journal never came", replica=replica, rows=taken.gap)

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS
