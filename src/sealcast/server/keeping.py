"""Owns the task that keeps the record of receptions true: stores what was heard, ends what is silent."""

import asyncio
from functools import partial

import structlog

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.reception.manager import ReceptionManager
from sealcast.reception.service import Moment
from sealcast.storage.unitofwork import UnitOfWork

TICK_S = 1.0
"""How late a silent receiver may be found out; a tick with nothing to do costs 50 µs."""

log = structlog.get_logger("sealcast.server")


class Keeper:
    """Ticks a reception manager from `start` to `close`, in units of work."""

    def __init__(self, manager: ReceptionManager, unit_of_work: UnitOfWork, clock: Clock) -> None:
        self._manager = manager
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; in the loop of the server."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End, and store what was heard."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        self._task = None
        try:
            await self._unit_of_work.run(self._manager.save_all)
        except SealcastError as error:
            log.warning("the last heartbeats were not stored", reason=str(error))

    async def _run(self) -> None:
        while True:
            try:
                moment = Moment(self._clock.monotonic_ns(), self._clock.wall_ns() // NS_PER_MS)
                expired = await self._unit_of_work.run(partial(self._manager.tick, moment=moment))
            except Exception as error:  # noqa: BLE001 - the record goes on when the database does
                log.error("receptions were not kept", reason=str(error))  # noqa: TRY400 - a line, no traceback
            else:
                if expired:
                    log.info("receptions ended by silence", count=expired)
            await asyncio.sleep(TICK_S)
