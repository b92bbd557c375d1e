"""Owns the run of a reception manager that stands apart: wiring, listener, what a reload takes over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from sealcast.core.ports import Clock
from sealcast.messages import operations
from sealcast.reception.manager import ReceptionManager
from sealcast.server.app import make_app
from sealcast.server.founding import open_database, pipeline_of, public_without_certificates
from sealcast.server.front import Application
from sealcast.server.keeping import Keeper
from sealcast.server.listening import Listener
from sealcast.server.managing import ManagingDesk, managing_handlers
from sealcast.server.metrics import Metrics
from sealcast.server.principals import Principals
from sealcast.server.reload import check_certificate, reread_state
from sealcast.server.serving import (
    Reloads,
    ended_by_signal,
    free_address,
    reload_when_asked,
    serve_until,
    url_of,
)
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import ServerState, load_server_state
from sealcast.server.state_reception import check_is_manager
from sealcast.storage.unitofwork import UnitOfWork

log = structlog.get_logger("sealcast.server")


@dataclass(frozen=True, slots=True)
class ManagerServer:
    """A reception manager ready to be served; `close` it at the end."""

    app: Application
    manager: ReceptionManager
    keeper: Keeper
    unit_of_work: UnitOfWork
    principals: Principals

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
    """Serve until `stop` is set, or until SIGTERM or SIGINT if no `stop` is given; then return.

    `ready` is called once, with the URL, when connections are accepted. Raises UsageError for a state
    directory, database, certificate or address that does not do, and LocalError if the server ends by itself.
    """
    state = load_server_state(settings.state_directory)
    check_is_manager(state)
    check_certificate(state)
    address = free_address(settings.host, settings.port)
    with ended_by_signal(stop) as ended:
        server = open_manager(state, settings, clock)
        try:
            service = _Service(server, state, address)
            beside = [reload_when_asked(reloads or Reloads(lambda: settings), service.reload)]
            await serve_until(ended, service.listener, state.ca_pem, address, ready=ready, beside=beside)
        finally:
            await server.close()


class _Service:
    """A reception manager between its start and its end."""

    def __init__(self, server: ManagerServer, state: ServerState, address: tuple[str, int]) -> None:
        self._server, self._state, self._address = server, state, address
        self.listener = Listener(server.app, *address, state.certificate_path, state.certificate_key_path)

    async def reload(self, reloads: Reloads) -> None:
        """Take over certificate, operators and key servers, once all of them are known to do."""
        settings = await asyncio.to_thread(reloads.reread)
        state = await asyncio.to_thread(reread_state, settings, self._state)
        check_is_manager(state)
        self.listener.renew_certificate(state.certificate_path, state.certificate_key_path)
        await self._server.reload(state, settings)
        self._state = state
        log.info("reloaded", operators=len(state.operators), key_servers=len(state.peers))
        if (settings.host, settings.port) != self._address:
            log.warning("the listening address changes with a restart only", listens_on=url_of(self._address))
