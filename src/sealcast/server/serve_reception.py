"""Owns the wiring and the run of a reception manager that stands apart."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.core.ports import Clock
from sealcast.messages import operations
from sealcast.reception.manager import ReceptionManager
from sealcast.server.app import make_app
from sealcast.server.founding import open_database, pipeline_of, public_without_certificates
from sealcast.server.front import Application
from sealcast.server.keeping import Keeper
from sealcast.server.managing import ManagingDesk, managing_handlers
from sealcast.server.metrics import Metrics
from sealcast.server.principals import Principals
from sealcast.server.serve_apart import serve_apart
from sealcast.server.serving import Reloads
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import ServerState
from sealcast.server.state_reception import check_is_manager
from sealcast.storage.unitofwork import UnitOfWork


@dataclass(frozen=True, slots=True)
class ManagerServer:
    """A reception manager ready to be served; `close` it at the end."""

    app: Application
    manager: ReceptionManager
    keeper: Keeper
    unit_of_work: UnitOfWork
    principals: Principals

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served: nothing that has to be cancelled."""
        return ()

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with the operators, key servers and interval of `state` and `settings`."""

        def take_over(_: sa.Connection) -> None:
            self.principals.set_operators(state.operators, state.peers)
            self.manager.heartbeat_ms = settings.heartbeat_ms

        await self.unit_of_work.run(take_over)

    async def close(self) -> None:
        """Store what was heard, finish the writes that wait and close the database."""
        await self.keeper.close()
        await asyncio.to_thread(self.unit_of_work.close)


def open_manager(state: ServerState, settings: KeyserverSettings, clock: Clock) -> ManagerServer:
    """Open the database, bring it up to date, and return the application over it; begin to keep it.

    Raises UsageError if the database is not ours, or newer than this program.
    """
    engine = open_database(settings.database or state.database_path)
    manager, metrics = ReceptionManager(settings.heartbeat_ms), Metrics()
    principals = Principals(state.operators, state.master_key, state.peers)

    def forget_all() -> None:
        manager.on_undone()
        principals.clear()

    unit_of_work = UnitOfWork(engine, on_batch=metrics.observe_batch, on_undone=forget_all)
    pipeline = pipeline_of(state, principals, unit_of_work, clock, metrics)
    app = make_app(
        pipeline,
        managing_handlers(ManagingDesk(manager)),
        public=public_without_certificates(state, settings.urls or state.urls, unit_of_work, metrics),
        silence=Silence(is_on=False),
        served=operations.RECEPTION_MANAGER,
    )
    keeper = Keeper(manager, unit_of_work, clock)
    keeper.start()
    return ManagerServer(app, manager, keeper, unit_of_work, principals)


async def serve_reception(
    settings: KeyserverSettings,
    *,
    clock: Clock,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    reloads: Reloads | None = None,
) -> None:
    """Serve until told to end; all as `serve_apart`.

    A reload takes over certificate, operators, key servers and the interval of heartbeats.
    """

    def identity(state: ServerState) -> str:
        check_is_manager(state)
        return "reception manager"

    await serve_apart(
        settings,
        identity,
        lambda state: open_manager(state, settings, clock),
        ready=ready,
        stop=stop,
        reloads=reloads,
    )
