"""Owns the run of a server that stands apart from the key servers: listener, what a reload takes over."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

import structlog

from sealcast.core.errors import UsageError
from sealcast.server.front import Application
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
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState, load_server_state

log = structlog.get_logger("sealcast.server")


class Apart(Protocol):
    """What is served: an escrow, a reception manager."""

    @property
    def app(self) -> Application:
        """The HTTP application."""
        ...

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served; it is cancelled at the end."""
        ...

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with what of `state` and `settings` may change."""
        ...

    async def close(self) -> None:
        """Finish the writes that wait and close what was opened."""
        ...


async def serve_apart(
    settings: KeyserverSettings,
    identity: Callable[[ServerState], str],
    open_server: Callable[[ServerState], Apart],
    *,
    ready: Callable[[str], None] | None,
    stop: asyncio.Event | None,
    reloads: Reloads | None,
) -> None:
    """Serve until `stop` is set, or until SIGTERM or SIGINT if no `stop` is given; then return.

    `identity` gives what a state is called among its kind, and raises UsageError for one of another kind.
    `ready` is called once, with the URL, when connections are accepted. Raises UsageError for a state
    directory, database, certificate or address that does not do, and LocalError if the server ends by itself.
    """
    state = load_server_state(settings.state_directory)
    identity(state)
    check_certificate(state)
    address = free_address(settings.host, settings.port)
    with ended_by_signal(stop) as ended:
        server = open_server(state)
        try:
            service = _Service(server, identity, state, address)
            beside = [
                reload_when_asked(reloads or Reloads(lambda: settings), service.reload),
                *server.beside(),
            ]
            await serve_until(ended, service.listener, state.ca_pem, address, ready=ready, beside=beside)
        finally:
            await server.close()


class _Service:
    """A server between its start and its end."""

    def __init__(
        self,
        server: Apart,
        identity: Callable[[ServerState], str],
        state: ServerState,
        address: tuple[str, int],
    ) -> None:
        self._server, self._identity, self._state, self._address = server, identity, state, address
        self.listener = Listener(server.app, *address, state.certificate_path, state.certificate_key_path)

    async def reload(self, reloads: Reloads) -> None:
        """Take over certificate, operators and what else may change, once all of it is known to do."""
        settings = await asyncio.to_thread(reloads.reread)
        state = await asyncio.to_thread(reread_state, settings, self._state)
        if self._identity(state) != self._identity(self._state):
            raise UsageError(f"{state.directory} became another server: restart it")
        self.listener.renew_certificate(state.certificate_path, state.certificate_key_path)
        await self._server.reload(state, settings)
        self._state = state
        peers = {"key_servers": len(state.peers)} if state.peers else {}
        log.info("reloaded", operators=len(state.operators), **peers)
        if (settings.host, settings.port) != self._address:
            log.warning("the listening address changes with a restart only", listens_on=url_of(self._address))
