"""Owns the run of a key server: its state, its listeners, what a reload takes over."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from sealcast.core.ports import Clock, Random
from sealcast.server.compose import open_keyserver
from sealcast.server.eventports import open_listening
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
from sealcast.server.state_reception import check_is_key_server

log = structlog.get_logger("sealcast.server")


class Server(Protocol):
    """What is served, whatever it is of several key servers."""

    @property
    def app(self) -> Application:
        """The HTTP application."""
        ...

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served; it is cancelled at the end."""
        ...

    async def serve_events(self, listening: socket.socket, certificate: tuple[Path, Path]) -> None:
        """Push events to whoever connects to an open socket, until cancelled."""
        ...

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new event streams under another certificate."""
        ...

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators, addresses and `unsold` of `state` and `settings`."""
        ...

    async def close(self) -> None:
        """Finish the writes that wait and close the database."""
        ...


async def open_server(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Server:
    """Return the key server that the settings ask for: the only one, a master, or a replica.

    Raises UsageError for a state directory or database that does not do.
    """
    if settings.cluster is None:
        return await open_keyserver(state, settings, clock, random)
    # What several servers need is imported where there are several: the bus is an extra.
    if settings.cluster.role == "master":
        from sealcast.server.cluster.open_master import open_master  # noqa: PLC0415

        return await open_master(state, settings, clock, random)
    from sealcast.server.cluster.open_replica import open_replica  # noqa: PLC0415

    return await open_replica(state, settings, clock, random)


async def serve_keyserver(
    settings: KeyserverSettings,
    *,
    clock: Clock,
    random: Random,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    reloads: Reloads | None = None,
) -> None:
    """Serve until `stop` is set, or until SIGTERM or SIGINT if no `stop` is given; then return.

    `ready` is called once, with the URL, when connections are accepted. Raises UsageError for a state
    directory, database, certificate or address that does not do, and LocalError if the server ends by itself.
    """
    state = load_server_state(settings.state_directory)
    check_is_key_server(state)
    check_certificate(state)
    address = free_address(settings.host, settings.port)
    with contextlib.ExitStack() as stack:
        ended = stack.enter_context(ended_by_signal(stop))
        listening = open_listening(settings.events) if settings.events is not None else None
        if listening is not None:
            stack.enter_context(listening)
        elif settings.events is not None:
            log.warning("no events are pushed: the port is in use", port=settings.events.port)
            settings = replace(settings, events=None)
        keyserver = await open_server(state, settings, clock, random)
        try:
            service = _Service(keyserver, state, settings, address, listening)
            await service.run(ended, ready, reloads or Reloads(lambda: settings))
        finally:
            await keyserver.close()


class _Service:
    """A key server between its start and its end."""

    def __init__(
        self,
        keyserver: Server,
        state: ServerState,
        settings: KeyserverSettings,
        address: tuple[str, int],
        listening: socket.socket | None,
    ) -> None:
        """`address` is numeric; `listening` is for event streams, if any are."""
        self._listening = listening
        self._keyserver, self._state, self._settings, self._address = keyserver, state, settings, address
        self._listener = Listener(keyserver.app, *address, *_certificate(state))

    async def run(self, ended: asyncio.Event, ready: Callable[[str], None] | None, reloads: Reloads) -> None:
        """Serve until `ended`, and reload as often as asked."""
        beside = [reload_when_asked(reloads, self._reload), *self._keyserver.beside()]
        if self._listening is not None:
            beside.append(self._keyserver.serve_events(self._listening, _certificate(self._state)))
        await serve_until(
            ended, self._listener, self._state.ca_pem, self._address, ready=ready, beside=beside
        )

    async def _reload(self, reloads: Reloads) -> None:
        """Take over certificate, operators and addresses, once all of them are known to do."""
        settings = await asyncio.to_thread(reloads.reread)
        state = await asyncio.to_thread(reread_state, settings, self._state)
        if self._listening is None:
            settings = replace(settings, events=None)
        self._listener.renew_certificate(*_certificate(state))
        self._keyserver.renew_certificate(*_certificate(state))
        await self._keyserver.reload(state, settings)
        self._state = state
        log.info("reloaded", operators=len(state.operators), urls=list(settings.urls or state.urls))
        if (settings.host, settings.port) != (self._settings.host, self._settings.port):
            log.warning("the listening address changes with a restart only", listens_on=url_of(self._address))


def _certificate(state: ServerState) -> tuple[Path, Path]:
    return state.certificate_path, state.certificate_key_path
