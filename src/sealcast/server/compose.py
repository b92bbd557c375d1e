"""Owns the wiring of a key server: stores, services, admission, clock and chance, and the application."""

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa
from litestar import Litestar

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.keyserver import store_air
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Handler
from sealcast.keyserver.registry import RegistryDesk
from sealcast.keyserver.routes import handlers as keyserver_handlers
from sealcast.keyserver.sending import SenderDesk
from sealcast.keyserver.views import Views
from sealcast.messages import operations
from sealcast.server.app import make_app
from sealcast.server.channels import ChannelDesk
from sealcast.server.metrics import Metrics
from sealcast.server.pipeline import Pipeline
from sealcast.server.principals import Principals
from sealcast.server.request_key import AllowListAdmission, KeyDesk
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState
from sealcast.server.subscribing import SubscriberDesk
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.unitofwork import UnitOfWork


@dataclass(frozen=True, slots=True)
class Keyserver:
    """A key server ready to be served; `close` it at the end."""

    app: Litestar
    unit_of_work: UnitOfWork

    async def close(self) -> None:
        """Finish the writes that wait and close the database."""
        await asyncio.to_thread(self.unit_of_work.close)


async def open_keyserver(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Keyserver:
    """Open the database, bring it up to date, and return the application over it.

    Raises UsageError if the database is not ours, or newer than this program.
    """
    engine = open_engine(settings.database or state.database_path)
    try:
        upgrade(engine)
    except Exception:
        engine.dispose()
        raise
    views, air, metrics = Views(state.master_key), AirState(), Metrics()
    unit_of_work = UnitOfWork(engine, on_batch=metrics.observe_batch, on_undone=views.clear)
    principals = Principals(state.operators, unit_of_work, state.master_key)
    urls = settings.urls or state.urls
    sending = SenderDesk(
        master=state.master_key, kek=state.kek, views=views, air=air, random=random, key_servers=urls
    )
    registry = RegistryDesk(master=state.master_key, kek=state.kek, is_reserved=principals.is_reserved)
    keys = KeyDesk(
        views=views,
        air=air,
        admission=AllowListAdmission,
        key_servers=urls,
        on_grants=metrics.count_grants,
    )
    pipeline = Pipeline(
        operator=state.operator,
        nonce_key=state.nonce_key,
        signing=state.signing,
        principals=principals,
        unit_of_work=unit_of_work,
        clock=clock,
        metrics=metrics,
    )

    async def is_healthy() -> bool:
        try:
            await unit_of_work.run(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())
        except (SealcastError, sa.exc.SQLAlchemyError):
            return False
        return True

    def render_metrics() -> bytes:
        return metrics.render(channels_on_air=air.channels, stale_reports=sending.stale_reports)

    await unit_of_work.run(lambda connection: _restore_air(connection, air, clock))
    handlers = (*keyserver_handlers(sending, registry), *_crossing_handlers(keys, views, air))
    app = make_app(pipeline, handlers, is_healthy=is_healthy, render_metrics=render_metrics)
    return Keyserver(app, unit_of_work)


def _crossing_handlers(keys: KeyDesk, views: Views, air: AirState) -> tuple[Handler, ...]:
    """Return the handlers of the operations that cross features."""
    channels, subscribers = ChannelDesk(views=views, air=air), SubscriberDesk(views=views)
    return (
        Handler(operations.KEYS, keys.request, keys.repeat),
        Handler(operations.CHANNEL_ADD, channels.add),
        Handler(operations.CHANNEL_LIST, channels.list),
        Handler(operations.CHANNEL_SHOW, channels.show),
        Handler(operations.CHANNEL_REMOVE, channels.remove),
        Handler(operations.SUBSCRIBER_ADD, subscribers.add),
        Handler(operations.SUBSCRIBER_REMOVE, subscribers.remove),
        Handler(operations.SUBSCRIBER_LIST, subscribers.list),
    )


def _restore_air(connection: sa.Connection, air: AirState, clock: Clock) -> None:
    """Take what was on air before a restart from the database, until the next reports arrive."""
    now, wall_ms = clock.monotonic_ns(), clock.wall_ns() // NS_PER_MS
    for stored in store_air.stored_reports(connection):
        air.restore(stored, now, wall_ms)
