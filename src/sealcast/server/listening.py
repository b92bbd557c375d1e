"""Owns the HTTPS listener: it accepts connections, looks after those that are slow, changes certificates."""

import asyncio
import contextlib
import resource
import socket
import ssl
from email.utils import formatdate
from heapq import nsmallest
from operator import attrgetter
from pathlib import Path

from sealcast.core.errors import UsageError
from sealcast.server import asgi
from sealcast.server.connections import Connection, Stage
from sealcast.server.front import Application, Front
from sealcast.server.http1 import Request

STOP_WAIT_S = 2.5
"""How long open requests may take to finish after the end was asked for; the promise is 5 s in all."""

BACKLOG = 4_096
"""Connections waiting to be accepted, and connections open at once: receivers come in crowds at a change."""

ACCEPTS_AT_ONCE = 32
"""Between two looks at everything else: each wraps a socket, 0.1 ms."""

SPARE_FILES = 256
"""Descriptors that are left for all else: the database, the bus, other servers."""

SPARED_S = 1.0
"""With all places taken, connections that have been idle for longer make room, the longest idle first."""

ACCEPT_PAUSE_S = 0.2
"""With no place that could be made free, or after the system had no descriptor or memory for a connection."""

LOOK_S = 1.0
"""So much longer a slow peer may take: one look at all of them costs less than a timer for each request."""


class Listener:
    """Serves an ASGI application over HTTPS (TLS 1.3, HTTP/1.1), each request in a task of its own.

    What a `Front` has a short way for needs no task. Calling order: `serve`, meanwhile `renew_certificate`,
    `stop`.
    """

    def __init__(self, app: Application, host: str, port: int, certificate: Path, key: Path) -> None:
        """Open nothing yet, `host` is numeric; raises UsageError for files that do not fit."""
        self._app = app
        self._front = app if isinstance(app, Front) else None
        self._address = host, port
        self._tls = make_context(certificate, key)
        self._ended = asyncio.Event()
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepts, self._places = False, BACKLOG
        self._listening: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self.date_line = _date_line()

    async def serve(self) -> None:
        """Serve until `stop`, then finish requests for `STOP_WAIT_S` at most; raises OSError at the start."""
        self._listening, self._places = _listening_socket(*self._address), _places()
        self._accept_again()
        look = asyncio.create_task(self._look_again_and_again())
        try:
            await self._ended.wait()
        finally:
            self._ended.set()
            self._accepts = False
            self._loop.remove_reader(self._listening)
            self._listening.close()
            await self._finish()
            look.cancel()

    def stop(self) -> None:
        """End; `serve` returns soon."""
        self._ended.set()

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new connections under another certificate; raises UsageError, and changes nothing.

        Connections that are open finish their request, and end; those that are idle end at once.
        """
        self._tls = make_context(certificate, key)
        self._retire_all()

    # From connections

    def asked(self, connection: Connection, request: Request) -> None:
        """Have a request answered."""
        front = self._front
        if front is not None and front.begin(request.method, request.path, request.body, connection.give):
            return
        scope = asgi.scope_of(request, connection.peer, connection.own)
        task = self._loop.create_task(asgi.carry_out(self._app, scope, request.body, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    # From the network

    def _accept(self) -> None:
        if self._listening is None:
            return
        for _ in range(ACCEPTS_AT_ONCE):
            if len(self._connections) >= self._places and not self._make_room():
                self._pause_accepting()
                return
            try:
                accepted, peer = self._listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                if not self._make_room():
                    self._pause_accepting()
                return
            try:
                self._connections.add(Connection(accepted, peer[:2], self._tls, self._loop, self))
            except (OSError, ValueError):
                accepted.close()

    def _make_room(self) -> bool:
        """End some that have been idle longest; False if none has been so for `SPARED_S`."""
        before_s = self._loop.time() - SPARED_S
        idle = [each for each in self._connections if each.stage is Stage.IDLE and each.idle_s < before_s]
        for connection in nsmallest(ACCEPTS_AT_ONCE, idle, key=attrgetter("idle_s")):
            connection.make_room()
        return bool(idle)

    def _pause_accepting(self) -> None:
        """Leave connections to wait in the kernel's queue for a while."""
        if self._accepts and self._listening is not None:
            self._accepts = False
            self._loop.remove_reader(self._listening)
            self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if not self._accepts and not self._ended.is_set() and self._listening is not None:
            self._accepts = True
            self._loop.add_reader(self._listening, self._accept)

    # By the clock

    async def _look_again_and_again(self) -> None:
        """End what takes too long or has no peer any more, and keep the date."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.date_line = _date_line()
            now_s = self._loop.time()
            for connection in [*self._connections]:
                connection.look(now_s)

    async def _finish(self) -> None:
        """Let open requests finish for a while, then end all."""
        self._retire_all()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_WAIT_S):
                while any(each.is_busy for each in self._connections):  # noqa: ASYNC110 - once, at the end
                    await asyncio.sleep(0.02)
        for task in [*self._tasks]:
            task.cancel()
        for connection in [*self._connections]:
            connection.close()

    def _retire_all(self) -> None:
        for connection in [*self._connections]:
            connection.retire()


def make_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS of a server; raises UsageError for files that do not fit each other."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"{certificate} and {key} do not fit each other: {error}") from error
    return context


def _listening_socket(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _places() -> int:
    """Return how many connections may be open; the system is asked for the descriptors that they take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = BACKLOG + SPARE_FILES
    if resource.RLIM_INFINITY != soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return BACKLOG if soft == resource.RLIM_INFINITY else max(1, min(BACKLOG, soft - SPARE_FILES))


def _date_line() -> bytes:
    return b"date: %s\r\n" % formatdate(usegmt=True).encode("ascii")
