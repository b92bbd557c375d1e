"""Owns a replica's journal: a row with each grant in the grant's own transaction, then through the bus.

```
grant ─ same transaction ─► row ── sealed, in batches, in order ──► bus, durable ──► row deleted
```
A batch that the bus took without our hearing of it comes again under the same id, or with more rows under
another: whoever records it skips what it has.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_outbox
from sealcast.cluster.bus import Bus
from sealcast.cluster.sealing import BATCH_BYTES_MAX, JournalSealer, message_id
from sealcast.core.errors import SealcastError
from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.keyserver.calls import Call
from sealcast.messages.cluster import GrantedRow, JournalBatch
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork

ROWS_AT_ONCE = 500
ROWS_BYTES_MAX = BATCH_BYTES_MAX - 4 * 1024
"""Of the rows in a batch; the rest is for its frame and the names in it."""

GATHER_S = 0.5
"""How long a grant's row waits for others: a batch costs the master as much as a hundred rows in it."""

LOOK_EVERY_S = 1.0
"""Between looks at a journal that nobody said anything about, and between tries of a bus that is away."""

TOKEN_BYTES_MAX = 16 * 1024
"""Of a request kept as evidence; ours have two thousand. A longer one is granted, and not kept."""

NAME_BYTES = 16
CLOSE_S_MAX = 1.5
"""For the last rows at an orderly end; what remains goes after the next start."""

log = structlog.get_logger("sealcast.server")


class GrantJournal:
    """Keeps grants for the master: a `GrantKeeper`. With `keeps_evidence` the requests go with them."""

    def __init__(self, *, keeps_evidence: bool) -> None:
        self._keeps_evidence = keeps_evidence

    def keep(self, call: Call, channel: ChannelNumber, epochs: Iterable[Epoch], *, new: int) -> None:
        """Write what a device was given, also what it was given before: it has it again since."""
        given = [int(epoch) for epoch in epochs]
        if not given:
            return
        is_kept = self._keeps_evidence and new and len(call.token) <= TOKEN_BYTES_MAX
        row = GrantedRow(
            device=call.caller.id,
            channel=channel,
            epochs=given,
            at_ms=call.wall_ms,
            token=call.token.decode("ascii") if is_kept else "",
        )
        store_outbox.add(call.connection, row)


class Forwarder:
    """Hands the journal in. Calling order: `begin`, then `run` until cancelled, then `close`."""

    def __init__(
        self,
        *,
        bus: Bus,
        sealer: JournalSealer,
        replica: str,
        unit_of_work: UnitOfWork,
        reader: Reader,
        clock: Clock,
        random: Random,
    ) -> None:
        self._bus, self._sealer, self._replica = bus, sealer, replica
        self._unit_of_work, self._reader = unit_of_work, reader
        self._clock, self._random = clock, random
        self._wake, self._loop = asyncio.Event(), asyncio.get_running_loop()
        self._is_mute = False
        self.submitted = 0
        self.depth = 0

    async def begin(self) -> None:
        """Begin this run's journal; rows of earlier ones go first."""
        name = self._random.bytes(NAME_BYTES).hex()
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        begin = partial(store_outbox.begin, name=name, replica=self._replica, now_ms=wall_ms)
        await self._unit_of_work.run(begin)

    def wake(self) -> None:
        """Hear that there may be rows; from any thread."""
        # A loop that is closed forwards nothing any more; the rows wait for the next start.
        with contextlib.suppress(RuntimeError):
            if not self._wake.is_set():
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Hand in what is in the journal, as it comes."""
        while True:
            try:
                await self._hand_in()
            except SealcastError as error:
                self._mute(str(error))
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            except Exception as error:  # noqa: BLE001 - the journal goes on when the database does
                self._mute(str(error) or type(error).__name__)
                await asyncio.sleep(LOOK_EVERY_S)
                continue
            # Not `wait_for`: up to Python 3.11 it may lose that this task is to end.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(GATHER_S)

    async def _hand_in(self) -> None:
        """Hand in the rows there are now; those that come meanwhile wait for others, and go together."""
        while (batch := await self._reader.read(self._next)) is not None:
            is_all = len(batch.rows) >= self.depth
            await self._submit(batch)
            self.depth -= len(batch.rows)
            if is_all:
                return

    async def flush(self) -> None:
        """Hand in all rows there are; raises UnreachableError while the bus is away."""
        while (batch := await self._reader.read(self._next)) is not None:
            await self._submit(batch)
        self.depth = 0

    async def close(self) -> None:
        """Hand in the last rows, if that is quickly done."""
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                await self.flush()
        except (SealcastError, TimeoutError, sa.exc.SQLAlchemyError) as error:
            reason = str(error) or "the bus is slow"
            log.warning("rows of the journal wait for the next start", reason=reason)

    async def _submit(self, batch: JournalBatch) -> None:
        await self._bus.submit(batch.replica, message_id(batch), self._sealer.seal(batch))
        last = batch.first + len(batch.rows) - 1
        await self._unit_of_work.run(partial(store_outbox.done, last=last))
        self.submitted += len(batch.rows)
        if self._is_mute:
            self._is_mute = False
            log.warning("the bus takes the journal again")

    def _next(self, connection: sa.Connection) -> JournalBatch | None:
        self.depth = store_outbox.depth(connection)
        return store_outbox.batch(connection, ROWS_AT_ONCE, ROWS_BYTES_MAX)

    def _mute(self, reason: str) -> None:
        if not self._is_mute:
            self._is_mute = True
            log.warning("the journal waits for the bus", reason=reason)
