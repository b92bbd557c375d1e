"""Owns a listener at work whose application says what it was asked, and connections to it."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from sealcast.server.connections import Connection
from sealcast.server.listening import Listener
from server.running import free_port

GET = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
WAIT_S = 20.0
LARGE = 2_000_000


class Echo:
    """Says what it was asked; `/wait` waits for `go`, `/fault` raises, `/large` and `/empty` are so."""

    def __init__(self) -> None:
        self.asked, self.go = asyncio.Event(), asyncio.Event()
        self.on_asked: Callable[[], object] = lambda: None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        message, path = await receive(), scope["path"]
        self.asked.set()
        self.on_asked()
        if path == "/wait":
            await self.go.wait()
        if path == "/fault":
            raise ValueError("of our insides")
        status = 204 if path == "/empty" else 200
        said = b"%s %s %s" % (scope["method"].encode(), path.encode(), message["body"])
        body = b"x" * LARGE if path == "/large" else said
        headers = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if status == 204 else body})


class Served:
    """A listener at work."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.app = folder, free_port(), Echo()
        self.listener = Listener(self.app, "127.0.0.1", self.port, folder / "tls.pem", folder / "tls.key")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a connection."""
        tls = ssl.create_default_context(cafile=self.folder / "ca.pem")
        return await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)

    def connection(self) -> Connection:
        """Return the server's side of the one that is open."""
        (connection,) = self.listener._connections
        return connection

    async def converse(self, *pieces: bytes) -> bytes:
        """Send pieces over a connection of its own; return all that comes until the server ends it."""
        reader, writer = await self.connect()
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(WAIT_S):
            got = await reader.read()
        writer.close()
        return got


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Served]:
    """Serve for a while."""
    served = Served(folder)
    task = asyncio.create_task(served.listener.serve())
    await asyncio.sleep(0)
    try:
        yield served
    finally:
        served.app.go.set()
        served.listener.stop()
        async with asyncio.timeout(WAIT_S):
            await task


async def read_answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return one answer: its head and its body."""
    async with asyncio.timeout(WAIT_S):
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        return head, await reader.readexactly(int(length.partition(b":")[2]))


def closing(request: bytes) -> bytes:
    """Return a request after which the connection ends."""
    return request.replace(b"Host: h\r\n", b"Host: h\r\nConnection: close\r\n")
