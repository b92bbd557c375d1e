"""Owns the life of one channel among many: started, watched, started again; its failures end nothing else.

```
running ──► ended     the stream is over, or we were told to stop
   │  ▲───┐
   └──► waiting       it failed, or `always` starts it again
   └──► failed        it failed and does not start again
```
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

import structlog

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_S, Clock, Random
from sealcast.gateway.restart import Backoff, Restart, starts_again

log = structlog.get_logger("sealcast.gateway")


class State(StrEnum):
    """What a channel is doing."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    FAILED = "failed"


class Keeper:
    """Keeps one channel running.

    `starts` and `failures` count its runs; `last_failure` and `ended_by` say how the last ones ended.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], Awaitable[str | None]],
        restart: Restart,
        clock: Clock,
        random: Random,
    ) -> None:
        """`work` is one run, from the start to its end; it returns what ended it."""
        self.name = name
        self.state = State.WAITING
        self.starts = 0
        self.failures = 0
        self.last_failure: str | None = None
        self.ended_by: str | None = None
        self._work = work
        self._restart: Restart = restart
        self._clock = clock
        self._backoff = Backoff(random)

    async def keep(self, stop: asyncio.Event) -> None:
        """Run until the channel has ended for good, or `stop`."""
        structlog.contextvars.bind_contextvars(channel=self.name)
        while True:
            began_ns = self._clock.monotonic_ns()
            self.state, self.starts = State.RUNNING, self.starts + 1
            failure = await self._run_once(stop)
            if stop.is_set() or not starts_again(self._restart, failure):
                self.state = State.ENDED if failure is None else State.FAILED
                return
            wait_ns = self._backoff.wait_ns(self._clock.monotonic_ns() - began_ns)
            self.state = State.WAITING
            log.info("starts again", wait_s=round(wait_ns / NS_PER_S, 1))
            if await _is_set_within(stop, wait_ns / NS_PER_S):
                self.state, self.ended_by = State.ENDED, "stopped"
                return

    async def _run_once(self, stop: asyncio.Event) -> Exception | None:
        """Run to the end of one run; return its failure, counted and logged."""
        try:
            self.ended_by = await self._work()
            log.info("ended", reason=self.ended_by)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not stop.is_set() or (task is not None and task.cancelling()):
                raise
            # A run that had not begun says so when it is told to stop.
            self.ended_by = "stopped"
        except SealcastError as error:
            self._note_failure(error, str(error))
            return error
        except Exception as error:
            # Whatever goes wrong in one channel, the others go on.
            log.debug("internal error", exc_info=error)
            self._note_failure(error, f"internal error, please report it: {type(error).__name__}: {error}")
            return error
        return None

    def _note_failure(self, error: Exception, reason: str) -> None:
        self.failures += 1
        self.last_failure, self.ended_by = reason, None
        log.error("failed", reason=reason, kind=type(error).__name__)


async def keep_all(keepers: list[Keeper], stop: asyncio.Event) -> None:
    """Keep all of them, each in a task of its own, until the last has ended for good."""
    async with asyncio.TaskGroup() as group:
        for keeper in keepers:
            group.create_task(keeper.keep(stop))


async def _is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True
