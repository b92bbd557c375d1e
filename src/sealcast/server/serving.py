"""Owns what all our servers do alike: listen, say when they are ready, reload, end within five seconds."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

import structlog

from sealcast.client.transfer import trust
from sealcast.core.errors import LocalError, SealcastError, UsageError
from sealcast.server import loops
from sealcast.server.listening import Listener
from sealcast.server.settings import KeyserverSettings
from sealcast.transport import supervisor

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


async def serve_until(
    ended: asyncio.Event,
    listener: Listener,
    ca_pem: str,
    address: tuple[str, int],
    *,
    ready: Callable[[str], None] | None,
    beside: Sequence[Coroutine[Any, Any, None]],
) -> None:
    """Serve until `ended`, with the work of `beside`, which then ends; `ready` is called with our URL.

    Raises LocalError if nothing listens in time, or if the server ends by itself.
    """
    serving = asyncio.create_task(listener.serve())
    waiting = asyncio.create_task(ended.wait())
    within_s = supervisor.watchdog_s()
    signs = [] if within_s is None else [supervisor.give_signs(within_s)]
    tasks: list[asyncio.Task[Any]] = [waiting, *map(asyncio.create_task, [*beside, *signs])]
    try:
        await _wait_until_listening(serving, ca_pem, address)
        loops.settle_memory()
        if ready is not None:
            ready(url_of(address))
        supervisor.tell(f"{supervisor.READY}\nSTATUS=listens on {url_of(address)}")
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            raise LocalError("the HTTPS server ended by itself; see its log, then start it again")
    finally:
        supervisor.tell(supervisor.STOPPING)
        for task in tasks:
            task.cancel()
        listener.stop()
        with contextlib.suppress(Exception):
            await serving
        await asyncio.gather(*tasks, return_exceptions=True)


async def reload_when_asked(reloads: Reloads, reload: Callable[[Reloads], Awaitable[None]]) -> None:
    """Reload as often as asked; what does not do is said, and changes nothing."""
    while True:
        await reloads.asked.wait()
        reloads.asked.clear()
        try:
            await reload(reloads)
        except SealcastError as error:
            log.error("not reloaded, the old settings stay in force", reason=str(error))  # noqa: TRY400 - a line, no traceback


async def _wait_until_listening(serving: asyncio.Task[None], ca_pem: str, address: tuple[str, int]) -> None:
    """Return once a TLS connection to ourselves succeeds; raises LocalError if none does in time."""
    context = trust(ca_pem)
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
    raise LocalError(f"cannot listen on {url_of(address)}: {last}")


def free_address(host: str, port: int) -> tuple[str, int]:
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
def ended_by_signal(stop: asyncio.Event | None) -> Iterator[asyncio.Event]:
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


def url_of(address: tuple[str, int]) -> str:
    """Return the URL of a numeric address."""
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"https://{host}:{address[1]}"
