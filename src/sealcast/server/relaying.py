"""Owns what a key server tells reception managers unasked: heartbeats in batches, ends until acknowledged."""

import asyncio
from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa
import structlog
from msgspec.structs import replace

from sealcast.core.errors import RefusedError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock
from sealcast.keyserver import store_reception_ends
from sealcast.messages import operations
from sealcast.messages.answers import Done
from sealcast.messages.subscribing import EndAnswer, EndRow, SeenRow
from sealcast.server.managers import Managers, unavailable
from sealcast.storage.unitofwork import UnitOfWork

RELAY_EVERY_S = 1.0
"""How long a heartbeat waits for others to travel with."""

SEEN_AT_ONCE = 500
"""Heartbeats in one message: with the longest names they stay below its size."""

SEEN_KEPT_NS = 60 * NS_PER_S
"""How long heartbeats wait for a manager that does not answer: after that newer ones have come."""

SEEN_MAX = 200_000
"""Receivers whose last heartbeat waits, about 500 bytes each; of more, the next heartbeat comes soon."""

ENDS_AT_ONCE = 100

Heard = dict[tuple[str, int], tuple[SeenRow, int]]
"""The last heartbeat of each device and channel, and when it came (monotonic ns)."""

log = structlog.get_logger("sealcast.server")


class Relay:
    """Calling order: `start`, then `hear`, `forget` and `add_ends` in the writer's thread, `close`."""

    def __init__(self, managers: Managers, unit_of_work: UnitOfWork, clock: Clock) -> None:
        self._managers = managers
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._heard: Heard = {}
        # Ends of before a restart may wait, so one is taken to.
        self._added, self._told = 1, 0
        self._telling: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_mute = False

    def start(self) -> None:
        """Begin; in the loop of the server."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End; heartbeats that wait are lost, ends that wait are told after the next start."""
        tasks = {task for task in (self._task, self._telling) if task is not None}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def hear(self, seen: SeenRow, now: int) -> None:
        """Keep a heartbeat for the next batch."""
        if len(self._heard) < SEEN_MAX or (seen.device, seen.channel) in self._heard:
            self._heard[seen.device, seen.channel] = (seen, now)

    def forget(self, device: str, channel: int) -> None:
        """Drop a heartbeat that waits: its receiver has stopped."""
        self._heard.pop((device, channel), None)

    def add_ends(self, connection: sa.Connection, ends: Sequence[EndRow], wall_ms: int) -> None:
        """Put ends into the outbox, in the caller's unit of work."""
        store_reception_ends.add(connection, ends, wall_ms)
        self._added += 1

    async def tell_ends(self) -> None:
        """Tell all ends that wait, in their order; raises RefusedError if no manager answers.

        Whoever comes while they are being told waits for that and hears what came of it: with a manager that
        is mute, a crowd of key requests waits for one answer, not one after another.
        """
        while self._told != self._added:
            if self._telling is None or self._telling.done():
                self._telling = asyncio.create_task(self._tell_some())
            telling = self._telling
            await asyncio.wait({telling})
            # Another who waited may have begun the next one by now.
            telling.result()

    async def _tell_some(self) -> None:
        added = self._added
        found = await self._unit_of_work.run(partial(store_reception_ends.waiting, count=ENDS_AT_ONCE))
        if not found:
            self._told = added
            return
        ends = [each.end for each in found]
        try:
            await self._managers.ask(operations.RECEPTION_END, EndAnswer, ends=ends)
        except RefusedError as error:
            if error.type != "bad-request":
                raise
            # A manager of another version, perhaps. Whoever asks for keys meanwhile is not at fault.
            raise unavailable(str(error)) from error
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        await self._unit_of_work.run(partial(store_reception_ends.done, told=found, now_ms=wall_ms))

    async def _run(self) -> None:
        while True:
            try:
                await self.tell_ends()
                await self._tell_seen()
            except RefusedError as error:
                if not self._is_mute:
                    log.warning("receptions are not recorded for now", reason=str(error))
                self._is_mute = True
            except Exception as error:  # noqa: BLE001 - the relay goes on when the database does
                log.error("receptions were not relayed", reason=str(error))  # noqa: TRY400 - a line, no traceback
            else:
                if self._is_mute:
                    log.warning("receptions are recorded again")
                self._is_mute = False
            await asyncio.sleep(RELAY_EVERY_S)

    async def _tell_seen(self) -> None:
        """Tell the heartbeats that wait; those that were not told wait on."""
        if not self._heard:
            return
        heard = list((await self._unit_of_work.run(self._take)).items())
        for begin in range(0, len(heard), SEEN_AT_ONCE):
            now = self._clock.monotonic_ns()
            rows = [_aged(seen, now - at) for _, (seen, at) in heard[begin : begin + SEEN_AT_ONCE]]
            try:
                await self._managers.ask(operations.RECEPTION_SEEN, Done, seen=rows)
            except RefusedError:
                await self._unit_of_work.run(partial(self._put_back, dict(heard[begin:]), now))
                raise

    def _take(self, _: sa.Connection) -> Heard:
        heard, self._heard = self._heard, {}
        return heard

    def _put_back(self, heard: Heard, now: int, _: sa.Connection) -> None:
        young = {pair: each for pair, each in heard.items() if now - each[1] < SEEN_KEPT_NS}
        self._heard = young | self._heard


def _aged(seen: SeenRow, age_ns: int) -> SeenRow:
    return replace(seen, age_ms=seen.age_ms + max(0, age_ns) // NS_PER_MS)
