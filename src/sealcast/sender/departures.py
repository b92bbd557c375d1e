"""Owns the one timer of all streams that a process sends: whose packets are due next, and in what order.

An edge: it asks the event loop for one wake-up, however many streams there are.
"""

import asyncio
import contextvars
import heapq

from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock
from sealcast.sender.pump import EARLY_NS, Pump

LINGER_NS = NS_PER_MS * 2 // 5
"""The timer waits so long beyond the first departure, and takes along what is due until a millisecond later.

Of a stream of 8 Mbit/s that is two packets a batch, and of many streams many batches a wake-up: half the
cost. The event loop's timer adds up to a millisecond, and the sum stays below 2 ms.
"""


class Departures:
    """Calls the pumps when they are due, the longest overdue first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # What is logged at a departure is none of the channel's whose task set the timer.
        self._context = contextvars.copy_context()
        self._due: list[tuple[int, int, Pump]] = []
        self._queued: set[int] = set()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._turn_ns = 0
        self._failed: dict[int, Exception] = {}

    async def feed(self, pump: Pump) -> None:
        """Have a pump that was fed depart in time; return when it wants more.

        Raises what went wrong when it departed.
        """
        now = self._clock.monotonic_ns()
        self._enqueue(pump, now)
        self._set_timer(now)
        if pump.wants_more(self._clock.monotonic_ns()):
            # A source that never waits would leave no time for anything else.
            await asyncio.sleep(0)
        else:
            await self._turn(pump)
        self._raise_failure(pump)

    async def drain(self, pump: Pump) -> None:
        """Return when all that a pump was fed has left, and its time has come."""
        while not pump.is_idle:
            await self._turn(pump)
            self._raise_failure(pump)
        left_ns = pump.end_ns() - self._clock.monotonic_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / NS_PER_S)

    def forget(self, pump: Pump) -> None:
        """Let a pump go; what waits in it does not leave any more."""
        self._due = [entry for entry in self._due if entry[2] is not pump]
        heapq.heapify(self._due)
        self._queued.discard(id(pump))
        waiting = self._waiting.pop(id(pump), None)
        if waiting is not None and not waiting.done():
            waiting.cancel()

    def _enqueue(self, pump: Pump, now: int) -> None:
        due_ns = pump.next_due_ns(now)
        if due_ns is None or id(pump) in self._queued:
            return
        heapq.heappush(self._due, (due_ns, id(pump), pump))
        self._queued.add(id(pump))

    def _set_timer(self, now: int) -> None:
        """Have the loop wake us for the first departure; a live input's, which is due now, at once."""
        if not self._due:
            return
        due_ns = self._due[0][0]
        if due_ns > now:
            # What the last turn took, the last streams of the next will be later than the first.
            due_ns += LINGER_NS - min(self._turn_ns, EARLY_NS)
        if self._timer is not None:
            if self._timer_ns <= due_ns:
                return
            self._timer.cancel()
        self._timer_ns = due_ns
        delay_s = max(0, due_ns - now) / NS_PER_S
        self._timer = self._loop.call_later(delay_s, self._on_timer, context=self._context)

    def _on_timer(self) -> None:
        """Let every pump that is due depart once; the others keep their place."""
        self._timer = None
        begun_ns = now = self._clock.monotonic_ns()
        due: list[Pump] = []
        while self._due and self._due[0][0] <= now + EARLY_NS:
            _, key, pump = heapq.heappop(self._due)
            self._queued.discard(key)
            due.append(pump)
        for pump in due:
            now = self._clock.monotonic_ns()
            try:
                pump.depart(now)
            except Exception as error:  # noqa: BLE001 - it ends that stream and no other
                self._fail(pump, error)
                continue
            self._enqueue(pump, now)
            if self._waiting:
                self._wake(pump, now)
        now = self._clock.monotonic_ns()
        self._turn_ns = now - begun_ns
        self._set_timer(now)

    def _wake(self, pump: Pump, now: int) -> None:
        """Tell the source that its pump wants more."""
        waiting = self._waiting.get(id(pump))
        if waiting is not None and pump.wants_more(now):
            del self._waiting[id(pump)]
            if not waiting.done():
                waiting.set_result(None)

    def _fail(self, pump: Pump, error: Exception) -> None:
        """End a stream whose pump failed: whoever feeds it gets the error."""
        self._failed[id(pump)] = error
        waiting = self._waiting.pop(id(pump), None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _raise_failure(self, pump: Pump) -> None:
        error = self._failed.pop(id(pump), None)
        if error is not None:
            raise error

    async def _turn(self, pump: Pump) -> None:
        """Return when the pump has departed and wants more, or failed."""
        waiting = self._waiting[id(pump)] = self._loop.create_future()
        await waiting
