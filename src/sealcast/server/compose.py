"""Owns the wiring of a key server: stores, services, admission, clock and chance, and the application."""

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.keyserver import store_air
from sealcast.keyserver.air import AirState
from sealcast.keyserver.views import Views
from sealcast.server.app import Public, make_app
from sealcast.server.billing.keys import signing_keys
from sealcast.server.billing.shared import BillingShared
from sealcast.server.desks import Desks, Shared
from sealcast.server.eventdesk import EventDesk
from sealcast.server.eventing import Eventing, Notices
from sealcast.server.eventports import TellingEnds, event_urls
from sealcast.server.founding import health_of, open_database, operator_document, pipeline_of
from sealcast.server.front import Application
from sealcast.server.managers import Managers
from sealcast.server.metrics import Metrics
from sealcast.server.pipeline import Pipeline
from sealcast.server.principals import Principals
from sealcast.server.receptions_apart import ReceptionsApart
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.request_key import AllowListAdmission
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import ServerState
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import Batch, UnitOfWork


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a key server that is one of several has besides; the only one has none of it.

    `on_begin` is called at the beginning of each transaction and may refuse it, `on_commit` after each, both
    in the writer's thread. With `is_distributed`, others grant keys as well: all that is published counts as
    granted. `metrics` are counted on, if given. `is_relay` says whether a request came by another server.
    """

    on_begin: Callable[[sa.Connection], None] | None = None
    on_commit: Callable[[Batch], None] | None = None
    is_distributed: bool = False
    metrics: Metrics | None = None
    is_relay: Callable[[Any, bytes], bool] | None = None


@dataclass(frozen=True, slots=True)
class Interior:
    """A key server but for its HTTP application; `close` it at the end."""

    pipeline: Pipeline
    unit_of_work: UnitOfWork
    desks: Desks
    views: Views
    air: AirState
    principals: Principals
    metrics: Metrics
    public: Public
    silence: Silence
    eventing: Eventing

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators, addresses and `unsold` of `state` and `settings`; the rest stays."""
        urls = settings.urls or state.urls
        await self.unit_of_work.run(lambda _: self.principals.set_operators(state.operators))
        self.desks.use_key_servers(urls)
        self.desks.manager.heartbeat_ms = settings.heartbeat_ms
        self.desks.use_events(event_urls(settings.events, urls))
        self.silence.is_on = settings.unsold == "silent"
        self.public.operator = operator_document(state, urls)

    async def close(self) -> None:
        """Finish the writes that wait and close the database."""
        await self.desks.manager.close()
        await asyncio.to_thread(self.unit_of_work.close)


@dataclass(frozen=True, slots=True)
class Keyserver(Interior):
    """A key server ready to be served."""

    app: Application

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served: nothing of its own."""
        return ()

    async def serve_events(self, listening: socket.socket, certificate: tuple[Path, Path]) -> None:
        """Push events to whoever connects to an open socket, until cancelled."""
        await self.eventing.run(listening, certificate)

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new event streams under another certificate."""
        self.eventing.renew_certificate(certificate, key)


@dataclass(frozen=True, slots=True)
class _Committed:
    """Is told of each commit, in the writer's thread."""

    metrics: Metrics
    notices: Notices
    hooks: Hooks

    def __call__(self, batch: Batch) -> None:
        self.metrics.observe_batch(batch)
        self.notices.committed()
        if self.hooks.on_commit is not None:
            self.hooks.on_commit(batch)


async def open_keyserver(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Keyserver:
    """Open the database, bring it up to date, and return the application over it.

    Raises UsageError if the database is not ours, or newer than this program.
    """
    engine = open_database(settings.database or state.database_path)
    inside = await compose(state, settings, clock, random, engine=engine)
    app = make_app(inside.pipeline, inside.desks.handlers(), public=inside.public, silence=inside.silence)
    return Keyserver(**{name: getattr(inside, name) for name in Interior.__dataclass_fields__}, app=app)


async def compose(
    state: ServerState,
    settings: KeyserverSettings,
    clock: Clock,
    random: Random,
    *,
    engine: sa.Engine,
    hooks: Hooks = Hooks(),
) -> Interior:
    """Return a key server over a database that is up to date, with nothing remembered but what that says."""
    views, air, metrics = Views(state.master_key), AirState(), hooks.metrics or Metrics()
    principals = Principals(state.operators, state.master_key)
    receptions = _receptions(state, settings, views, random)

    def forget_all() -> None:
        views.clear()
        principals.clear()
        receptions.on_undone()

    notices = Notices(clock)
    committed = _Committed(metrics, notices, hooks)
    unit_of_work = UnitOfWork(engine, on_batch=committed, on_undone=forget_all, on_begin=hooks.on_begin)
    principals.on_change = notices.look
    ends = TellingEnds(receptions, notices)
    billing = _billing(state, settings, Reader(engine), unit_of_work, clock)
    shared = Shared(
        state=state,
        settings=settings,
        views=views,
        air=air,
        principals=principals,
        random=random,
        on_grants=metrics.count_grants,
        receptions=ends,
        billing=billing,
        on_notice=notices,
        is_distributed=hooks.is_distributed,
    )
    desks = Desks(shared, receptions)
    desks.use_events(event_urls(settings.events, shared.urls))
    pipeline = pipeline_of(state, principals, unit_of_work, clock, metrics)
    await unit_of_work.run(lambda connection: _restore_air(connection, air, clock))
    await receptions.start(unit_of_work, clock)
    document = operator_document(state, shared.urls)
    public = _public(unit_of_work, desks, metrics, air, document=document, clock=clock)
    eventing = Eventing(
        pipeline=pipeline,
        desk=EventDesk(views=views, principals=principals),
        notices=notices,
        unit_of_work=unit_of_work,
        clock=clock,
        metrics=metrics,
        streams_max=settings.events.streams_max if settings.events is not None else 0,
    )
    silence = Silence(is_on=settings.unsold == "silent", is_relay=hooks.is_relay)
    return Interior(pipeline, unit_of_work, desks, views, air, principals, metrics, public, silence, eventing)


def _billing(
    state: ServerState, settings: KeyserverSettings, reader: Reader, unit_of_work: UnitOfWork, clock: Clock
) -> BillingShared:
    """Return what billing's desks share."""
    return BillingShared(
        operator=state.operator,
        reader=reader,
        write=unit_of_work.run,
        clock=clock,
        settings=settings.billing,
        signing_keys=signing_keys(state.master_key),
    )


def _receptions(
    state: ServerState, settings: KeyserverSettings, views: Views, random: Random
) -> ReceptionsHere | ReceptionsApart:
    """Return what keeps the record of receptions: this server, or managers that stand apart."""
    if settings.reception:
        managers = Managers(state, settings.reception, random)
        return ReceptionsApart(settings.heartbeat_ms, managers, views=views, admission=AllowListAdmission)
    urls = settings.urls or state.urls
    return ReceptionsHere(settings.heartbeat_ms, urls[0] if urls else state.operator)


def _public(
    unit_of_work: UnitOfWork,
    desks: Desks,
    metrics: Metrics,
    air: AirState,
    *,
    document: bytes,
    clock: Clock,
) -> Public:
    """Return what the server tells everybody."""

    def render_metrics() -> bytes:
        return metrics.render(channels_on_air=air.channels, stale_reports=desks.sending.stale_reports)

    async def crl() -> bytes:
        wall_ms = clock.wall_ns() // NS_PER_MS
        return await unit_of_work.run(lambda connection: desks.certificates.crl(connection, wall_ms))

    return Public(health_of(unit_of_work), render_metrics, document, crl)


def _restore_air(connection: sa.Connection, air: AirState, clock: Clock) -> None:
    """Take what was on air before a restart from the database, until the next reports arrive."""
    now, wall_ms = clock.monotonic_ns(), clock.wall_ns() // NS_PER_MS
    for stored in store_air.stored_reports(connection):
        air.restore(stored, now, wall_ms)
