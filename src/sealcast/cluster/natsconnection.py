"""Owns that there is a connection to the bus: made, made ready, given up and made again, until closed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from sealcast.cluster.natslink import Link, NatsSettings, open_link
from sealcast.cluster.natslogin import Login
from sealcast.core.errors import SealcastError, UnreachableError
from sealcast.core.ports import Random

AGAIN_FIRST_MS, AGAIN_MAX_MS = 100, 2_000
"""Between two rounds of tries over all servers, doubled each time and shortened by up to a half at random, so
that replicas do not all come at once."""

WAIT_S = 2.0
"""How long who asks for something waits for a connection: most servers that restart are there by then."""

OPEN_S = 8.0
"""How long a server's start waits for the bus; it can do without for a while."""

log = structlog.get_logger("sealcast.cluster")

Prepare = Callable[[Link], Awaitable[None]]


class Connection:
    """Keeps one link to any server of the bus, and takes another server when it breaks."""

    def __init__(self, settings: NatsSettings, login: Login, random: Random, prepare: Prepare) -> None:
        self._settings = settings
        self._login = login
        self._random = random
        self._prepare = prepare
        self._link: Link | None = None
        self._changed = asyncio.Event()
        self._trouble = "the bus was not asked yet"
        self._is_closed = False
        self._next = random.below(len(settings.servers))
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Try every server once, for OPEN_S at most, then go on in the background.

        Raises UsageError if one of them answers that this will never do.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OPEN_S):
                await self._try_all(raise_usage=True)
        if self._link is None:
            log.warning("the bus does not answer yet, and is asked again and again", reason=self._trouble)
        self._task = asyncio.create_task(self._run(), name="bus")

    async def link(self) -> Link:
        """Return a link that is ready; raises UnreachableError if there is none within WAIT_S."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                return await self.any_link()
        raise UnreachableError(self._trouble)

    async def any_link(self) -> Link:
        """Return a link that is ready, however long it takes; raises UnreachableError once closed."""
        while not self._is_closed:
            if self._link is not None and not self._link.is_broken and self._link.is_ready:
                return self._link
            await self._changed.wait()
        raise UnreachableError("the connection to the bus was closed")

    @property
    def is_closed(self) -> bool:
        """Whether it was closed for good."""
        return self._is_closed

    @property
    def is_up(self) -> bool:
        """Whether there is a link that is ready."""
        return self._link is not None and not self._link.is_broken and self._link.is_ready

    def give_up(self, link: Link, reason: str) -> None:
        """Have a link closed that does not answer as it should; another server is tried."""
        link.break_off(reason)
        self._wake()

    async def close(self) -> None:
        """End it; whatever waits fails."""
        self._is_closed = True
        self._wake()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._drop()

    async def _run(self) -> None:
        again_ms = AGAIN_FIRST_MS
        while not self._is_closed:
            if self._link is not None:
                again_ms = AGAIN_FIRST_MS
                await self._until_broken(self._link)
                await self._drop()
            elif not await self._try_all(raise_usage=False):
                await asyncio.sleep((again_ms - self._random.below(again_ms // 2)) / 1_000)
                again_ms = min(2 * again_ms, AGAIN_MAX_MS)

    async def _until_broken(self, link: Link) -> None:
        await link.broken.wait()
        log.warning("bus lost", server=link.server, reason=link.reason)
        self._trouble = link.reason

    async def _try_all(self, *, raise_usage: bool) -> bool:
        """Connect to the first server that will have us, beginning after the one that was tried last."""
        for _ in self._settings.servers:
            self._next = (self._next + 1) % len(self._settings.servers)
            try:
                await self._try(self._settings.servers[self._next])
            except UnreachableError as error:
                self._trouble = str(error)
            except SealcastError as error:
                if raise_usage:
                    raise
                self._trouble = str(error)
            else:
                return True
        return False

    async def _try(self, server: str) -> None:
        link = await open_link(server, self._settings, self._login, self._random)
        try:
            await self._prepare(link)
            link.is_ready = True
        except BaseException:
            await link.close()
            raise
        self._link = link
        self._wake()
        log.info("bus reached", server=server)

    async def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
