"""Owns the run of a key server: the listening address, readiness, reloads, and an end within five seconds."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import structlog

from sealcast.client.transfer import trust
from sealcast.core.errors import LocalError, SealcastError, UsageError
from sealcast.core.ports import Clock, Random
from sealcast.server.compose import Keyserver, open_keyserver
from sealcast.server.eventports import open_listening
from sealcast.server.listening import Listener
from sealcast.server.reload import check_certificate, reread_state
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState, load_server_state

READY_WAIT_S = 10.0
"""A server that does not listen by then never will."""

READY_POLL_S = 0.02
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on

log = structlog.get_logger("sealcast.server")


class Reloads:
    """How a running key server is told to read its files again; `reread` gives its settings as of now.

    `reread` is called in another thread and raises UsageError for settings that do not do.
    """

    def __init__(self, reread: Callable[[], KeyserverSettings]) -> None:
        self.reread = reread
        self.asked = asyncio.Event()

    def ask(self) -> None:
        """Ask for a reload; to be called in the server's loop."""
        self.asked.set()


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
    check_certificate(state)
    address = _free_address(settings.host, settings.port)
    with contextlib.ExitStack() as stack:
        ended = stack.enter_context(_ended_by_signal(stop))
        listening = open_listening(settings.events) if settings.events is not None else None
        if listening is not None:
            stack.enter_context(listening)
        elif settings.events is not None:
            log.warning("no events are pushed: the port is in use", port=settings.events.port)
            settings = replace(settings, events=None)
        keyserver = await open_keyserver(state, settings, clock, random)
        try:
            service = _Service(keyserver, state, settings, address, listening)
            await service.run(ended, ready, reloads or Reloads(lambda: settings))
        finally:
            await keyserver.close()


class _Service:
    """A key server between its start and its end."""

    def __init__(
        self,
        keyserver: Keyserver,
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
        serving = asyncio.create_task(self._listener.serve())
        waiting = asyncio.create_task(ended.wait())
        reloading = asyncio.create_task(self._reload_when_asked(reloads))
        beside = [waiting, reloading]
        if self._listening is not None:
            eventing = self._keyserver.eventing
            beside.append(asyncio.create_task(eventing.run(self._listening, _certificate(self._state))))
        try:
            await _wait_until_listening(serving, self._state, self._address)
            if ready is not None:
                ready(_url(self._address))
            await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                raise LocalError("the HTTPS server ended by itself; see its log, then start it again")
        finally:
            for task in beside:
                task.cancel()
            self._listener.stop()  # type: ignore[no-untyped-call]
            with contextlib.suppress(Exception):
                await serving
            await asyncio.gather(*beside, return_exceptions=True)

    async def _reload_when_asked(self, reloads: Reloads) -> None:
        while True:
            await reloads.asked.wait()
            reloads.asked.clear()
            try:
                await self._reload(reloads)
            except SealcastError as error:
                log.error("not reloaded, the old settings stay in force", reason=str(error))  # noqa: TRY400 - a line, no traceback

    async def _reload(self, reloads: Reloads) -> None:
        """Take over certificate, operators and addresses, once all of them are known to do."""
        settings = await asyncio.to_thread(reloads.reread)
        state = await asyncio.to_thread(reread_state, settings, self._state)
        if self._listening is None:
            settings = replace(settings, events=None)
        self._listener.renew_certificate(*_certificate(state))
        self._keyserver.eventing.renew_certificate(*_certificate(state))
        await self._keyserver.reload(state, settings)
        self._state = state
        log.info("reloaded", operators=len(state.operators), urls=list(settings.urls or state.urls))
        if (settings.host, settings.port) != (self._settings.host, self._settings.port):
            log.warning("the listening address changes with a restart only", listens_on=_url(self._address))


def _certificate(state: ServerState) -> tuple[Path, Path]:
    return state.certificate_path, state.certificate_key_path


async def _wait_until_listening(
    serving: asyncio.Task[None], state: ServerState, address: tuple[str, int]
) -> None:
    """Return once a TLS connection to ourselves succeeds; raises LocalError if none does in time."""
    context = trust(state.ca_pem)
    context.check_hostname = False
    host = _ANY_ADDRESS.get(address[0], address[0])
    last: BaseException | None = None
    for _ in range(int(READY_WAIT_S / READY_POLL_S)):
        if serving.done():
            last = serving.exception() if not serving.cancelled() else None
            break
        try:
            _, writer = await asyncio.open_connection(host, address[1], ssl=context)
        except OSError as error:
            last = error
            await asyncio.sleep(READY_POLL_S)
        else:
            writer.close()
            return
    raise LocalError(f"cannot listen on {_url(address)}: {last}")


def _free_address(host: str, port: int) -> tuple[str, int]:
    """Return the numeric address to listen on; raises UsageError if it is not ours or in use."""
    try:
        family, _, _, _, resolved = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"not a host of this machine: {host!r}") from error
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(resolved)
            probe.listen(1)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(
                f"cannot listen on {host}:{port}: {reason}; choose another with --listen"
            ) from error
    return str(resolved[0]), port


@contextlib.contextmanager
def _ended_by_signal(stop: asyncio.Event | None) -> Iterator[asyncio.Event]:
    """Give the event that ends the server; SIGTERM and SIGINT set it unless the caller brought its own."""
    if stop is not None:
        yield stop
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    try:
        yield ended
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _url(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"https://{host}:{address[1]}"
