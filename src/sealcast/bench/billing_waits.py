"""Owns how long others wait for the key server's writer while invoices are closed: as a grant would."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.storage.unitofwork import UnitOfWork

EVERY_S = 0.01
"""Often enough to meet each page that is written; seldom enough to cost nothing."""

WAITS_MAX = 1_000_000
_NOTHING = sa.text("SELECT 1")


class Waits(msgspec.Struct, frozen=True, kw_only=True):
    """How long units of work took that did nothing, in ms: the middle one, one of a hundred, the longest."""

    median_ms: float
    p99_ms: float
    max_ms: float


class WaitGauge:
    """Asks the writer for nothing again and again, and keeps how long that took."""

    def __init__(self, unit_of_work: UnitOfWork, clock: Clock) -> None:
        self._unit_of_work, self._clock = unit_of_work, clock
        self._waited_ns: list[int] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Measure for as long as the block runs."""
        task = asyncio.create_task(self._ask())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def waits(self) -> Waits:
        """Return what was measured; zeros if nothing was."""
        found = sorted(self._waited_ns) or [0]
        last = len(found) - 1
        median, p99, longest = (found[place] / NS_PER_MS for place in (last // 2, last * 99 // 100, last))
        return Waits(median_ms=median, p99_ms=p99, max_ms=longest)

    async def _ask(self) -> None:
        for _ in range(WAITS_MAX):
            began_ns = self._clock.monotonic_ns()
            await self._unit_of_work.run(lambda connection: connection.execute(_NOTHING).scalar())
            self._waited_ns.append(self._clock.monotonic_ns() - began_ns)
            await asyncio.sleep(EVERY_S)
