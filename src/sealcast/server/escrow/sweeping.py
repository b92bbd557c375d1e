"""Owns what happens to orders that nobody says anything to: silence ends states, claims are seen through.

```
each round ─► states whose time is over ─► what silence brings about
           ─► claims ─► have money moved ─► note that it moved     (docs/spec/escrow.md)
```
Each order is a unit of work of its own. A fault with one is logged and holds up no other; an account
elsewhere that does not answer ends the round, and the next one asks again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import sqlalchemy as sa

from sealcast.core.errors import RefusedError, SealcastError, UnreachableError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.escrow import store_orders
from sealcast.escrow.moving import Treasury
from sealcast.escrow.orders import Order
from sealcast.server.billing.shared import Write

SWEEP_EVERY_S = 5.0
"""How late silence and retries may be: far less than anything in `Timeouts`."""

ORDERS_AT_ONCE = 100
"""Orders that one look brings: others write between them."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Sweeper:
    """Ends what silence ends, and sees claims through; one for an escrow."""

    def __init__(self, treasury: Treasury, write: Write, clock: Clock) -> None:
        self._treasury, self._write, self._clock = treasury, write, clock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._claimed = asyncio.Event()

    async def run(self, every_s: float = SWEEP_EVERY_S) -> None:
        """Sweep at once and then again and again, until it is cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._claimed.clear()
            try:
                await self.sweep()
            except (SealcastError, sa.exc.SQLAlchemyError) as error:
                _log.warning("orders were not swept, and will be: %s", error)
            # `wait_for` would lose a cancellation that comes together with a claim.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self._claimed.wait()

    def nudge(self) -> None:
        """Have it look now: there is a claim. Any thread may call this; before `run` it does nothing."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._claimed.set)

    async def sweep(self) -> int:
        """Go over all orders that are due once; return how many steps were taken."""
        return await self._end_silent() + await self._see_through()

    async def _end_silent(self) -> int:
        tried: set[str] = set()
        failed = 0
        while True:
            now_ms = self._now_ms()
            # Those that failed stay at the head of the list: room is left for as many.
            look = partial(store_orders.silent, now_ms=now_ms, count=ORDERS_AT_ONCE + failed)
            found = [each for each in await self._write(look) if each not in tried]
            for order_id in found:
                tried.add(order_id)
                end = partial(self._treasury.fall_silent, order_id=order_id, now_ms=now_ms)
                if await self._try(order_id, end) is None:
                    failed += 1
            if not found:
                return len(tried) - failed

    async def _see_through(self) -> int:
        taken = after = 0
        while True:
            look = partial(store_orders.claimed, after=after, count=ORDERS_AT_ONCE)
            orders = await self._write(look)
            for order in orders:
                try:
                    taken += await self._see_one_through(order)
                except UnreachableError as error:
                    _log.warning("the account of orders does not answer, and is asked again: %s", error)
                    return taken
                after = order.number
            if not orders:
                return taken

    async def _see_one_through(self, order: Order) -> bool:
        """Have an order's money moved and note it; raises UnreachableError if it may not have moved."""
        try:
            became = await asyncio.to_thread(self._treasury.ask, order)
        except UnreachableError:
            raise
        except Exception:  # noqa: BLE001 - a fault of whoever pays must not hold up other orders
            _log.exception("the money of order %s was not moved", order.id)
            return False
        now_ms = self._now_ms()
        if became is None:
            return await self._try(order.id, partial(self._go_on, order, now_ms)) is not None
        note = partial(self._treasury.note, order=order, became=became, now_ms=now_ms)
        return await self._try(order.id, note) is not None

    def _go_on(self, order: Order, now_ms: int, connection: sa.Connection) -> Order:
        return self._treasury.go_on(connection, store_orders.get(connection, order.id), now_ms)

    async def _try(self, order_id: str, work: Callable[[sa.Connection], T]) -> T | None:
        """Carry out a unit of work on one order; None if it was refused or has a fault, which is logged."""
        try:
            return await self._write(work)
        except RefusedError as no:
            if no.type == "busy":
                raise
            _log.info("order %s went on by itself: %s", order_id, no.detail)
        except SealcastError as error:
            _log.error("order %s does not go on: %s", order_id, error)
        return None

    def _now_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS
