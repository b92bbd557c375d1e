"""Owns one term of a master: a key server with nothing remembered, its lease, publications and journals.

```
lease taken ─► compose anew ─► serve, renew, publish, ingest ─► fenced, not renewed, or yielded ─► over
                                                                 └─ waiting requests: 503, Retry-After
```
Everything that a key server remembers is made for a term and goes with it: what another master did meanwhile
cannot be missed. Each transaction checks the term, so a master that stood still writes nothing any more.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_lease
from sealcast.cluster.lease import Lease, Tenure, lacks_bus
from sealcast.cluster.sealing import EntrySealer, JournalSealer, RelayProof
from sealcast.core.errors import FencedError, SealcastError
from sealcast.reception.service import Reception
from sealcast.server.app import make_app
from sealcast.server.cluster.backlog import Backlog
from sealcast.server.cluster.delivering import Delivering
from sealcast.server.cluster.ingesting import Ingester
from sealcast.server.cluster.office import Office, apart
from sealcast.server.cluster.publishing import Publisher
from sealcast.server.cluster.quiet import QuietUnits
from sealcast.server.cluster.relayapp import is_relayed_by
from sealcast.server.cluster.rounds import Composer
from sealcast.server.cluster.sounding import Sounding
from sealcast.server.compose import Hooks, Interior, compose
from sealcast.server.front import Message, Receive, Send, send_answer
from sealcast.server.pipeline import HttpAnswer
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import Batch

FLUSH_S = 1.0
"""At an orderly end, for what changed last to be published; more waits for the next master."""

TOO_LATE = "this server is not the master any more; ask again in a second"
YIELDED = "the bus does not answer this server, and one that stands by reaches it"
LATE_S = 1.0
"""For a renewal that is asked for when the lease may be over."""

CLOSE_S = 1.0
"""For the record of receptions to be stored at the end of a term that was lost."""

log = structlog.get_logger("sealcast.server")


class Term:
    """Calling order: `begin`, `run` and `serve`, then `close`, or `abandon` once `run` has said why."""

    def __init__(self, office: Office, lease: Lease, tenure: Tenure) -> None:
        """Prepare the term of a lease that was taken; `begin` does the rest."""
        self.number = lease.term
        self._office, self._tenure = office, tenure
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._reason = ""
        self._waiting: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self._publisher: Publisher | None = None
        self._quiet = QuietUnits()
        self._sounding = Sounding(office.bus, office.clock, office.cluster.lease_ms)
        self.interior: Interior | None = None

    @property
    def is_over(self) -> bool:
        """Whether this server is no master any more."""
        return self._over.is_set()

    async def begin(self) -> None:
        """Compose the key server of this term and begin to serve; raises as opening one does."""
        office = self._office
        hooks = Hooks(
            on_begin=self._check,
            on_commit=self._committed,
            is_distributed=True,
            metrics=office.metrics,
            is_relay=partial(is_relayed_by, RelayProof(office.secrets.cluster_key)),
        )
        inside = await compose(
            office.state, office.settings, office.clock, office.random, engine=office.engine, hooks=hooks
        )
        self.interior = inside
        self._app: Any = make_app(
            inside.pipeline, inside.desks.handlers(), public=inside.public, silence=inside.silence
        )
        self._composer = Composer(self.number, office.name, office.urls, office.state.master_key)
        self._publisher = Publisher(
            composer=self._composer,
            bus=office.bus,
            sealer=EntrySealer(office.secrets.cluster_key, office.secrets.publisher),
            unit_of_work=inside.unit_of_work,
            reader=Reader(office.engine),
            clock=office.clock,
            metrics=office.cluster_metrics,
            on_unit=self._quiet.unit,
        )
        backlog = Backlog(office.bus, office.cluster_metrics)
        ingester = self._ingester(inside)
        work = self._renew(), self._publisher.run(), ingester.run(), backlog.run(), self._over.wait()
        self._tasks = [asyncio.create_task(each) for each in work]
        office.cluster_metrics.master(self.number)

    async def run(self) -> str:
        """Return why the term is over, once it is; what was begun goes on if this is cancelled."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        errors = [task.exception() for task in done if not task.cancelled()]
        found = next((error for error in errors if error is not None), None)
        if found is not None and not isinstance(found, FencedError):
            log.error("a task of the master failed", reason=str(found), kind=type(found).__name__)
        return self._reason or str(found or "a task ended")

    async def serve(
        self, scope: Message, receive: Receive, send: Send, unavailable: Callable[[str], HttpAnswer]
    ) -> None:
        """Answer one request; `unavailable` makes the answer if the term is over before there is another."""
        answering = Delivering(scope.get("path", ""), send, self._published, unavailable)
        task = asyncio.ensure_future(self._app(scope, receive, answering))
        self._waiting.add(task)
        try:
            await task
        except asyncio.CancelledError:
            if not (self.is_over and task.cancelled()) or answering.has_begun:
                raise
            await send_answer(send, unavailable(TOO_LATE))
        finally:
            self._waiting.discard(task)

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators and addresses of `state` and `settings`, as the office does already."""
        if self.interior is not None:
            await self.interior.reload(state, settings)
            self._composer.urls = self._office.urls

    async def close(self) -> None:
        """End in order: publish what changed, store what was heard, and give up the lease."""
        if self._publisher is not None:
            with contextlib.suppress(TimeoutError, SealcastError, sa.exc.DBAPIError):
                async with asyncio.timeout(FLUSH_S):
                    await self._publisher.flushed()
        self._end_tasks()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.interior is not None:
            await self.interior.close()
        with contextlib.suppress(sa.exc.DBAPIError):
            await apart(self._give_up, "lease")

    def abandon(self) -> "asyncio.Task[None]":
        """End at once: another is master, or nobody knows. Waiting requests are answered with `too_late`."""
        self._over.set()
        for task in self._waiting:
            task.cancel()
        self._end_tasks()
        return asyncio.create_task(self._let_go())

    async def _let_go(self) -> None:
        """Give back what the term held; the database may not answer, which keeps nobody waiting."""
        if self.interior is None:
            return
        with contextlib.suppress(TimeoutError, SealcastError):
            async with asyncio.timeout(CLOSE_S):
                await self.interior.desks.manager.close()
        await apart(self.interior.unit_of_work.close, "writer-end")
        self.interior.views.clear()

    def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _ingester(self, inside: Interior) -> Ingester:
        office, receptions = self._office, inside.desks.manager

        def changed(told: Sequence[Reception]) -> None:
            if isinstance(receptions, ReceptionsHere):
                receptions.manager.tell(told, office.clock.monotonic_ns())

        return Ingester(
            bus=office.bus,
            sealer=JournalSealer(office.secrets.cluster_key),
            unit_of_work=inside.unit_of_work,
            clock=office.clock,
            metrics=office.cluster_metrics,
            on_grants=office.metrics.count_grants,
            on_receptions=changed,
            on_unit=self._quiet.unit,
            keeps_evidence=office.settings.billing.evidence_days > 0,
        )

    async def _renew(self) -> None:
        """Renew the lease in time; return once it was not, and raise FencedError if another has it.

        Whoever comes late, on a busy machine, asks once all the same: while nobody has taken it, it is ours.
        A master that lacks the bus yields to a server that reaches it.
        """
        office, is_late = self._office, False
        while not is_late:
            await asyncio.sleep(self._tenure.wait_s(office.clock.monotonic_ns()))
            asked_ns = office.clock.monotonic_ns()
            is_late = self._tenure.is_over(asked_ns)
            try:
                async with asyncio.timeout(LATE_S if is_late else self._tenure.left_s(asked_ns)):
                    if await self._lacks_bus() and await self._run(self._yield):
                        self._reason = YIELDED
                        return
                    await self._run(self._renew_in)
            except FencedError:
                raise
            except (SealcastError, TimeoutError, sa.exc.DBAPIError) as error:
                self._tenure.failed(office.clock.monotonic_ns())
                log.warning("the lease was not renewed", reason=str(error) or "the database does not answer")
            else:
                self._tenure.renewed(asked_ns)
                is_late = False
        self._reason = "the lease was not renewed in time"

    async def _lacks_bus(self) -> bool:
        """Whether nothing was published for a lease, and the bus does not answer even when asked now."""
        unheard_ms = 0 if self._publisher is None else self._publisher.unheard_ms
        return lacks_bus(unheard_ms, self._office.cluster.lease_ms) and not await self._sounding.sound()

    async def _run(self, work: Callable[[sa.Connection], bool]) -> bool:
        return self.interior is not None and await self.interior.unit_of_work.run(work)

    def _renew_in(self, connection: sa.Connection) -> bool:
        office = self._office
        lease_ms, wall_ms = office.cluster.lease_ms, office.wall_ms()
        store_lease.renew(connection, self.number, office.urls, lease_ms, wall_ms)
        return True

    def _yield(self, connection: sa.Connection) -> bool:
        office = self._office
        lease_ms, wall_ms = office.cluster.lease_ms, office.wall_ms()
        return store_lease.yield_to_another(connection, self.number, office.name, lease_ms, wall_ms)

    def _give_up(self) -> None:
        with self._office.engine.begin() as connection:
            store_lease.give_up(connection, self.number)

    def _check(self, connection: sa.Connection) -> None:
        """Let a transaction of this term begin, if it is not over; in the writer's thread."""
        self._quiet.begin()
        try:
            store_lease.check(connection, self.number)
        except FencedError as error:
            # A loop that is closed has no term to end.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._lost, str(error))
            raise

    async def _published(self) -> None:
        if self._publisher is not None:
            await self._publisher.published()

    def _committed(self, batch: Batch) -> None:
        if self._publisher is not None and not self._quiet.is_all(batch):
            self._publisher.poke()

    def _lost(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._over.set()
