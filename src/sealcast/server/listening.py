"""Owns the HTTPS listener: granian in our loop, with limits for slow clients and changes of certificate."""

import asyncio
import os
import ssl
from pathlib import Path
from typing import Any

from granian._granian import ListenerSpec, SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import AsyncWorker, Server

from sealcast.core.errors import UsageError

STOP_WAIT_S = 2.5
"""How long open requests may take to finish after the end was asked for; the promise is 5 s in all."""

BACKLOG = 4_096
"""Connections waiting to be accepted, and connections open at once: receivers come in crowds at a change."""

HEADER_WAIT_MS = 10_000
"""A request's header that has begun is whole within this, or the connection ends (HTTP/1)."""

PING_MS = 15_000
PING_WAIT_S = 10
"""HTTP/2 has no such limit on headers; a peer that does not answer a ping is gone."""

STREAMS_MAX = 32
"""Requests at one time on one HTTP/2 connection; a party of ours has four."""


class Listener(Server):
    """Granian's embedded server, with an end in bounded time and certificates that change.

    The library's own end either waits for ever or cancels a future that it then sets (granian 2.8).
    """

    def __init__(self, app: Any, host: str, port: int, certificate: Path, key: Path) -> None:  # noqa: ANN401
        """Open nothing yet. `app` is any ASGI application; raises UsageError for files that do not fit."""
        try:
            super().__init__(
                app,
                address=host,
                port=port,
                interface=Interfaces.ASGINL,
                http=HTTPModes.auto,
                websockets=False,
                backlog=BACKLOG,
                backpressure=BACKLOG,
                http1_settings=HTTP1Settings(header_read_timeout=HEADER_WAIT_MS),
                http2_settings=HTTP2Settings(
                    keep_alive_interval=PING_MS,
                    keep_alive_timeout=PING_WAIT_S,
                    max_concurrent_streams=STREAMS_MAX,
                ),
                log_enabled=False,
                log_dictconfig={"handlers": {}, "loggers": {}},
                ssl_cert=certificate,
                ssl_key=key,
                ssl_protocol_min=SSLProtocols.tls13,
            )
        except (ssl.SSLError, OSError) as error:
            raise UsageError(f"{certificate} and {key} do not fit each other: {error}") from error
        self._leaving: list[asyncio.Task[None]] = []

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new connections under another certificate; raises UsageError, and changes nothing.

        Both workers accept from the same socket, the new one first, so nobody finds the port closed. The old
        one finishes its requests and closes connections that are idle.
        """
        try:
            self.build_ssl_context(certificate, key, None, SSLProtocols.tls13, None, [], client_verify=False)
        except (ssl.SSLError, OSError) as error:
            raise UsageError(f"{certificate} and {key} do not fit each other: {error}") from error
        old, self.wrks = self.wrks, []
        worker = self._spawn_worker(0, self._spawn_asgi_worker, self.target)
        worker.start()  # type: ignore[no-untyped-call]
        self.wrks.append(worker)
        for each in old:
            each.terminate()  # type: ignore[no-untyped-call]
        self._leaving = [task for task in (*self._leaving, *_tasks(old)) if not task.done()]

    def _init_shared_socket(self) -> None:
        """Open one socket for all workers; with one each, those who wait at the old one would be lost."""
        self._sfd: Any = ListenerSpec(self.bind_addr, self.bind_port, self.backlog).build().get_fd()

    def _spawn_worker(self, *arguments: Any, **more: Any) -> AsyncWorker:  # noqa: ANN401 - as granian has it
        # A worker closes its descriptor at its end, so each gets one of its own.
        self._shd: Any = SocketHolder(os.dup(self._sfd), False, self.backlog)  # type: ignore[call-arg]
        return super()._spawn_worker(*arguments, **more)

    async def _stop_workers(self) -> None:
        os.close(self._sfd)
        for worker in self.wrks:
            worker.terminate()  # type: ignore[no-untyped-call]
        if tasks := [*_tasks(self.wrks), *self._leaving]:
            await asyncio.wait(tasks, timeout=STOP_WAIT_S)
        self.wrks.clear()


def _tasks(workers: list[AsyncWorker]) -> list[asyncio.Task[None]]:
    return [worker._task for worker in workers if worker._task]  # noqa: SLF001 - no public wait
