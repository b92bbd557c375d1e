"""Owns the run of an escrow: wiring, listener, what a reload takes over."""

import asyncio
from collections.abc import Callable

import structlog

from sealcast.core.errors import UsageError
from sealcast.core.ports import Clock, Random
from sealcast.server.escrow.open_escrow import EscrowServer, open_escrow
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.server.listening import Listener
from sealcast.server.reload import check_certificate, reread_state
from sealcast.server.serving import (
    Reloads,
    ended_by_signal,
    free_address,
    reload_when_asked,
    serve_until,
    url_of,
)
from sealcast.server.state import ServerState, load_server_state
from sealcast.server.state_reception import check_is_escrow

log = structlog.get_logger("sealcast.server")


async def serve_escrow(
    settings: EscrowSettings,
    *,
    clock: Clock,
    random: Random,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    reloads: Reloads | None = None,
) -> None:
    """Serve until `stop` is set, or until SIGTERM or SIGINT if no `stop` is given; then return.

    `ready` is called once, with the URL, when connections are accepted. Raises UsageError for a state
    directory, database, token, certificate or address that does not do, and LocalError if the server ends by
    itself.
    """
    state = load_server_state(settings.state_directory)
    check_is_escrow(state)
    check_certificate(state)
    address = free_address(settings.host, settings.port)
    with ended_by_signal(stop) as ended:
        server = open_escrow(state, settings, clock, random)
        try:
            service = _Service(server, state, address)
            asked = reloads or Reloads(lambda: settings)
            beside = [reload_when_asked(asked, service.reload), *server.beside()]
            await serve_until(ended, service.listener, state.ca_pem, address, ready=ready, beside=beside)
        finally:
            await server.close()


class _Service:
    """An escrow between its start and its end."""

    def __init__(self, server: EscrowServer, state: ServerState, address: tuple[str, int]) -> None:
        self._server, self._state, self._address = server, state, address
        self.listener = Listener(server.app, *address, state.certificate_path, state.certificate_key_path)

    async def reload(self, reloads: Reloads) -> None:
        """Take over certificate, operators and addresses, once all of them are known to do."""
        settings = await asyncio.to_thread(reloads.reread)
        if not isinstance(settings, EscrowSettings):
            raise UsageError("these are not the settings of an escrow")
        state = await asyncio.to_thread(reread_state, settings, self._state)
        if check_is_escrow(state).id != check_is_escrow(self._state).id:
            raise UsageError(f"{state.directory} became another escrow: restart it")
        self.listener.renew_certificate(state.certificate_path, state.certificate_key_path)
        await self._server.reload(state, settings)
        self._state = state
        log.info("reloaded", operators=len(state.operators))
        if (settings.host, settings.port) != self._address:
            log.warning("the listening address changes with a restart only", listens_on=url_of(self._address))
