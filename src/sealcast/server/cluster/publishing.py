"""Owns the task by which a master publishes: after each commit that changed something, a beat each second.

```
claim: last sequence of the bus ─► first round right after it ── another published? ─► read it again
rounds: compose (one transaction) ─► seal ─► publish after our own last ─► forget the changes
```
All is published once in a term. If the bus has, whole, what was published before it, beats go out meanwhile:
what changed since is in the database, and goes first. Else there is none until everything was published.

From the claim on, every publication stands right after the one before. Whoever was master before cannot
publish any more, and this one cannot once another has claimed. Changes are forgotten when the bus has taken
their entries: while it is away they wait in the database, and a master that died has left them to the next.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_changes, store_lease
from sealcast.cluster.bus import Bus
from sealcast.cluster.sealing import EntrySealer
from sealcast.core.errors import FencedError, RefusedError, RemoteError, UnreachableError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.server.cluster.clustermetrics import ClusterMetrics
from sealcast.server.cluster.rounds import Composer, Progress, Round
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork

BEAT_S = 1.0
"""Between beats while nothing changes: replicas count on a few of them within their patience."""

GATHER_S = 0.005
"""After a commit, for others to be published in the same round."""

AWAY_S = 0.5
"""Between attempts while bus or database do not answer."""

CLAIM_S = 1.0
"""Before a claim is made anew: somebody else published, who was fenced or had no business there."""

log = structlog.get_logger("sealcast.server")


class _BusFencedError(Exception):
    """Somebody else has published: a master after us, or one before us that did not know of us yet."""


class Publisher:
    """Publishes what changes, for the length of one term; `run` it, and `poke` it after each commit."""

    def __init__(
        self,
        *,
        composer: Composer,
        bus: Bus,
        sealer: EntrySealer,
        unit_of_work: UnitOfWork,
        reader: Reader,
        clock: Clock,
        metrics: ClusterMetrics,
        on_unit: Callable[[], None],
    ) -> None:
        """`on_unit` is called at the beginning of each round's unit of work, in the writer's thread."""
        self._on_unit = on_unit
        self._composer, self._bus, self._sealer = composer, bus, sealer
        self._unit_of_work, self._reader, self._clock = unit_of_work, reader, clock
        self._metrics = metrics
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._after: int | None = None
        self._progress = Progress()
        self._published: list[int] = []
        self._seen = 0
        self._round = asyncio.Event()
        self._is_away = False
        self._is_doubted = False
        self._is_first = True
        self._found_version: int | None = None
        self._is_whole = False
        self._beat_s = -BEAT_S
        self._unheard_since_ns: int | None = None

    @property
    def unheard_ms(self) -> int:
        """For how long the bus was asked and has not answered."""
        since_ns = self._unheard_since_ns
        return 0 if since_ns is None else (self._clock.monotonic_ns() - since_ns) // NS_PER_MS

    def poke(self) -> None:
        """Have it look whether something changed; from any thread, after a commit."""
        if self._loop is not None and not self._wake.is_set():
            # A loop that is closed publishes nothing more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Publish until cancelled; raises FencedError once another master has taken over."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                if self._is_doubted:
                    await self._begin_anew()
                await self._publish_next()
            except _BusFencedError as error:
                self._is_doubted = True
                log.warning(
                    "the bus has what this master did not publish: all is published anew", why=str(error)
                )
                await asyncio.sleep(CLAIM_S)
            except (UnreachableError, RefusedError, sa.exc.DBAPIError) as error:
                self._note_away(str(error))
                await asyncio.sleep(AWAY_S)

    async def flushed(self) -> None:
        """Return once nothing waits to be published."""
        while not self._progress.is_done or await self._has_changed():
            self.poke()
            await asyncio.sleep(GATHER_S)

    async def published(self) -> None:
        """Return once the bus has all that was committed before; for as long as it has not."""
        wanted = await self._reader.read(store_changes.highest)
        while self._after is None or self._seen < wanted:
            self.poke()
            await self._round.wait()

    async def _begin_anew(self) -> None:
        """Claim the bus again and publish everything, if the database says that we are master still."""
        await self._unit_of_work.run(partial(store_lease.check, term=self._composer.term))
        self._after, self._progress, self._published, self._seen = None, Progress(), [], 0
        self._is_doubted, self._is_whole, self._found_version = False, False, None

    async def _claim(self) -> int:
        """Return the bus' last sequence; at the term's first claim note the version of what is there."""
        with self._asking():
            last = await self._bus.last_sequence()
            newest = await self._bus.entry_at(last) if self._is_first else None
        self._is_first = False
        if newest is not None:
            with contextlib.suppress(RemoteError):
                self._found_version = self._sealer.open(newest).version
        return last

    def _find_whole(self, connection: sa.Connection) -> None:
        """Find out whether the bus lost nothing that the database knows of, and has nothing else."""
        found, self._found_version = self._found_version, None
        lease = store_lease.read(connection)
        if found is not None and lease is not None:
            self._is_whole = 0 < lease.whole_to <= (self._after or 0) and found <= lease.version

    async def _publish_next(self) -> None:
        """Publish one round, then wait until there is something for another."""
        if self._after is None:
            self._after = await self._claim()
        is_beat_due = asyncio.get_running_loop().time() - self._beat_s >= BEAT_S
        made = await self._unit_of_work.run(partial(self._compose, is_beat_due))
        sealed = await asyncio.to_thread(self._sealed, made)
        with self._asking():
            self._after = await self._bus.publish(sealed, self._after)
        self._published, self._progress = made.changes, made.progress
        self._is_whole = self._is_whole or made.is_complete
        if made.has_beat:
            self._beat_s = asyncio.get_running_loop().time()
        self._note_published(made)
        if made.is_current:
            self._seen = max((self._seen, *made.changes))
        self._round.set()
        self._round = asyncio.Event()
        if made.is_complete:
            await self._until_due()

    def _compose(self, is_beat_due: bool, connection: sa.Connection) -> Round:  # noqa: FBT001 - for `partial`
        self._on_unit()
        if self._found_version is not None:
            self._find_whole(connection)
        return self._composer.compose(
            connection,
            self._progress,
            self._published,
            self._clock.wall_ns() // NS_PER_MS,
            whole_to=(self._after or 0) if self._is_whole else 0,
            is_beat_due=self._is_whole and is_beat_due,
        )

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        """Note since when the bus has not answered; that somebody else has published is an answer."""
        if self._unheard_since_ns is None:
            self._unheard_since_ns = self._clock.monotonic_ns()
        try:
            yield
        except FencedError as error:
            self._unheard_since_ns = None
            raise _BusFencedError(str(error)) from error
        self._unheard_since_ns = None

    def _sealed(self, made: Round) -> list[tuple[str, bytes]]:
        return [(self._sealer.place(each.kind, each.name), self._sealer.seal(each)) for each in made.entries]

    async def _until_due(self) -> None:
        """Wait for the next beat, or for a commit that changed something."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + BEAT_S
        while (left_s := due_s - loop.time()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                return
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            if await self._has_changed():
                return

    async def _has_changed(self) -> bool:
        return await self._reader.read(store_changes.highest) > self._seen

    def _note_published(self, made: Round) -> None:
        if self._is_away:
            self._is_away = False
            log.warning("publishing to the bus again")
        self._metrics.published(len(made.entries), made.version, is_complete=made.is_complete)

    def _note_away(self, reason: str) -> None:
        self._metrics.bus_away()
        if not self._is_away:
            self._is_away = True
            log.warning("nothing is published for now: what changes waits", reason=reason)
