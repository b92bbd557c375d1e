"""Owns the run of a key server: the listening address, readiness, and an end within five seconds."""

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.server.embed import Server

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ports import Clock, Random
from sealcast.server.compose import open_keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState, load_server_state

STOP_WAIT_S = 2.5
"""How long open requests may take to finish after the end was asked for; the promise is 5 s in all."""

READY_WAIT_S = 10.0
"""A server that does not listen by then never will."""

READY_POLL_S = 0.02
BACKLOG = 4_096
"""Connections waiting to be accepted, and requests at work at once: receivers come in crowds at a change."""

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not listened on


async def serve_keyserver(
    settings: KeyserverSettings,
    *,
    clock: Clock,
    random: Random,
    ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Serve until `stop` is set, or until SIGTERM or SIGINT if no `stop` is given; then return.

    `ready` is called once, with the URL, when connections are accepted. Raises UsageError for a state
    directory, database, certificate or address that does not do, and LocalError if the server ends by itself.
    """
    state = load_server_state(settings.state_directory)
    address = _free_address(settings.host, settings.port)
    with _ended_by_signal(stop) as ended:
        keyserver = await open_keyserver(state, settings, clock, random)
        try:
            await _serve(keyserver.app, state, address, ended, ready)
        finally:
            await keyserver.close()


class _Embedded(Server):
    """Granian's embedded server, with an end that waits a bounded time for open requests.

    The library's own end either waits for ever or cancels a future that it then sets (granian 2.8).
    """

    async def _stop_workers(self) -> None:
        for worker in self.wrks:
            worker.terminate()  # type: ignore[no-untyped-call]
        tasks = [worker._task for worker in self.wrks if worker._task]  # noqa: SLF001 - no public wait
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_WAIT_S)
        self.wrks.clear()


async def _serve(
    app: Any,  # noqa: ANN401 - granian takes any ASGI application
    state: ServerState,
    address: tuple[str, int],
    ended: asyncio.Event,
    ready: Callable[[str], None] | None,
) -> None:
    server = _make_server(app, state, address)
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(ended.wait())
    try:
        await _wait_until_listening(serving, state, address)
        if ready is not None:
            ready(_url(address))
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            raise LocalError("the HTTPS server ended by itself; see its log, then start it again")
    finally:
        waiting.cancel()
        server.stop()  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            await serving


def _make_server(app: Any, state: ServerState, address: tuple[str, int]) -> _Embedded:  # noqa: ANN401 - as _serve
    try:
        return _Embedded(
            app,
            address=address[0],
            port=address[1],
            interface=Interfaces.ASGINL,
            http=HTTPModes.auto,
            websockets=False,
            backlog=BACKLOG,
            backpressure=BACKLOG,
            log_enabled=False,
            log_dictconfig={"handlers": {}, "loggers": {}},
            ssl_cert=state.certificate_path,
            ssl_key=state.certificate_key_path,
            ssl_protocol_min=SSLProtocols.tls13,
        )
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"{state.certificate_path} and {state.certificate_key_path} do not fit each other: {error}"
        ) from error


async def _wait_until_listening(
    serving: asyncio.Task[None], state: ServerState, address: tuple[str, int]
) -> None:
    """Return once a TLS connection to ourselves succeeds; raises LocalError if none does in time."""
    context = ssl.create_default_context(cadata=state.ca_pem)
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
