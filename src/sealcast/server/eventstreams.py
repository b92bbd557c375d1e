"""Owns one connection of the event listener, from its TLS handshake to its end, without ever waiting.

```
HANDSHAKE ─► REQUEST ─► ASKED ─► OPEN ─► LEAVING ─► closed
                ▲         │ no     whoever sends anything, or reads nothing, is dropped
                └─────────┘
```
The socket stands alone in the event loop, without asyncio's streams and TLS buffers: those take 256 KiB a
connection, this 15.
"""

import asyncio
import contextlib
import socket
import ssl
from enum import Enum, auto
from typing import Protocol

from sealcast.core.errors import FormatError, RefusedError
from sealcast.messages import operations, problems
from sealcast.messages.encoding import encode
from sealcast.messages.problems import Problem
from sealcast.server import eventhttp
from sealcast.server.eventlink import Opened, Verdict

READ_BYTES = 4_096
WAITING_BYTES_MAX = 4 * 1024
"""What waits for one slow reader beyond the kernel's buffer: twenty events; it is too late for more."""

SEND_BUFFER_BYTES = 8 * 1024
"""The kernel's share (it takes twice that): enough for a TLS handshake and some minutes of events."""

GONE_S = 30
"""A peer that acknowledges nothing for so long, two pings, is gone."""

REQUESTS_MAX = 4
"""On one connection: one without a nonce, one with, and two to spare."""

_PATH = operations.EVENTS.path


class Stage(Enum):
    """Where a connection is in its life."""

    HANDSHAKE = auto()
    REQUEST = auto()
    ASKED = auto()
    OPEN = auto()
    LEAVING = auto()
    CLOSED = auto()


class Owner(Protocol):
    """What a connection tells the listener."""

    def asked(self, connection: "Connection", body: bytes) -> None:
        """Take a whole request; `Connection.take_verdict` is to follow."""
        ...

    def closed(self, connection: "Connection", *, slow: bool) -> None:
        """Forget a connection; `slow` says that it did not read what was sent."""
        ...


class Connection:
    """One connection; every method returns at once, and none raises for what the peer does."""

    __slots__ = (
        "_incoming",
        "_loop",
        "_outgoing",
        "_owner",
        "_requests",
        "_socket",
        "opened",
        "rounds",
        "stage",
    )

    def __init__(
        self, accepted: socket.socket, tls: ssl.SSLContext, loop: asyncio.AbstractEventLoop, owner: Owner
    ) -> None:
        """Take over an accepted socket; raises OSError if it is gone already."""
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_S * 1_000)
        self._socket = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self._loop, self._owner = loop, owner
        self._incoming: bytearray | None = bytearray()
        self._outgoing: bytearray | None = None
        self._requests = 0
        self.opened = Opened("", "", [])
        self.rounds = 0
        self.stage = Stage.HANDSHAKE
        loop.add_reader(self._socket, self._readable)

    @property
    def is_open(self) -> bool:
        """Whether it is a stream that lives."""
        return self.stage is Stage.OPEN

    def send(self, data: bytes) -> None:
        """Send on an open stream; a reader that is too far behind is dropped."""
        if self.stage is Stage.OPEN:
            self._write(data)

    def take_verdict(self, verdict: Verdict, greeting: bytes = b"") -> None:
        """Answer the request; with `verdict.opened` the stream begins, with `greeting`."""
        if self.stage is not Stage.ASKED:
            return
        if verdict.opened is None:
            self.stage = Stage.REQUEST
            self._write(eventhttp.answer(verdict.status, verdict.media_type, verdict.headers, verdict.body))
            if self._requests >= REQUESTS_MAX:
                self.leave()
            return
        self.opened, self.stage, self._incoming = verdict.opened, Stage.OPEN, None
        self._write(eventhttp.stream_head(verdict.headers) + greeting)

    def leave(self) -> None:
        """End the connection well: what was sent arrives, then the end of it, then we close."""
        if self.stage in {Stage.LEAVING, Stage.CLOSED}:
            return
        if self._outgoing:
            self.close()
            return
        self.stage, self._incoming = Stage.LEAVING, None
        with contextlib.suppress(OSError, ValueError):
            self._socket.unwrap()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self, *, slow: bool = False) -> None:
        """Close at once."""
        if self.stage is Stage.CLOSED:
            return
        self.stage, self._incoming, self._outgoing = Stage.CLOSED, None, None
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._owner.closed(self, slow=slow)

    def _readable(self) -> None:
        try:
            if self.stage is Stage.HANDSHAKE:
                self._socket.do_handshake()
                self._loop.remove_writer(self._socket)
                self.stage = Stage.REQUEST
            data = self._socket.recv(READ_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except ssl.SSLWantWriteError:
            self._loop.add_writer(self._socket, self._writable)
            return
        except (OSError, ValueError):
            self.close()
            return
        if not data:
            self.close()
        elif self.stage is Stage.REQUEST:
            self._take(data)
        elif self.stage is not Stage.LEAVING:
            # Nobody has anything to say while we decide, or on a stream.
            self.close()

    def _more(self) -> None:
        if self.stage is not Stage.CLOSED:
            self._readable()

    def _take(self, data: bytes) -> None:
        """Take a part of a request; answer at once what is none."""
        if self._incoming is None:
            self._incoming = bytearray()
        self._incoming += data
        try:
            head = eventhttp.parse_head(self._incoming, _PATH)
        except RefusedError as no:
            self._refuse(no)
            return
        except FormatError as error:
            self._refuse(RefusedError("about:blank", str(error), 400))
            return
        if head is None or len(self._incoming) < head.body_at + head.body_bytes:
            # More may lie in TLS's own buffer, where no selector sees it.
            if self._socket.pending():
                self._loop.call_soon(self._more)
            return
        body = bytes(self._incoming[head.body_at : head.body_at + head.body_bytes])
        self._incoming, self.stage = None, Stage.ASKED
        self._requests += 1
        self._owner.asked(self, body)

    def _refuse(self, no: RefusedError) -> None:
        problem = Problem(type=no.type, title=no.detail, status=no.status)
        self._write(eventhttp.refusal_bytes(no, encode(problem)))
        self.leave()

    def _write(self, data: bytes) -> None:
        """Send now, or keep a bounded rest for later."""
        if self._outgoing:
            if len(self._outgoing) + len(data) > WAITING_BYTES_MAX:
                self.close(slow=True)
                return
            self._outgoing += data
            return
        sent = self._try_to_send(data)
        if sent is not None and sent < len(data):
            self._outgoing = bytearray(data[sent:])
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        if self.stage is Stage.HANDSHAKE:
            self._readable()
            return
        if self._outgoing:
            sent = self._try_to_send(bytes(self._outgoing))
            if sent is None:
                return
            self._outgoing = self._outgoing[sent:] or None
        if not self._outgoing:
            self._loop.remove_writer(self._socket)

    def _try_to_send(self, data: bytes) -> int | None:
        """Return how many bytes went out; None if the connection is gone."""
        try:
            return self._socket.send(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            return 0
        except (OSError, ValueError):
            self.close()
            return None


def greeting(retry_ms: int) -> bytes:
    """Return a stream's first bytes, also its ping: a comment, and over how long to spread a reconnect."""
    return b": sealcast\nretry: %d\n\n" % retry_ms


def busy(retry_after_s: int) -> Verdict:
    """Return the no for a stream more than there may be."""
    problem = problems.problem(
        "busy", "there are as many event streams as this server takes; keep up without"
    )
    headers = {"Retry-After": str(retry_after_s)}
    return Verdict(0, problem.status, problems.MEDIA_TYPE_PROBLEM, headers, encode(problem))
