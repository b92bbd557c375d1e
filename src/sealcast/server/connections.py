"""Owns one HTTPS connection, from its TLS handshake to its end, without ever waiting.

```
HANDSHAKE ─► IDLE ─► HEAD ─► BODY ─► ASKED ─► IDLE ...     one request at a time; what comes behind it waits
               └── a whole request ──►┘   └─► LEAVING ─► CLOSED
```
The socket stands alone in the event loop, as those of event streams do: no thread but the loop's has any part
in a request, until its unit of work goes to the writer.
"""

import asyncio
import contextlib
import socket
import ssl
from enum import Enum, auto
from typing import Protocol

from sealcast.core.errors import RefusedError
from sealcast.messages import problems
from sealcast.messages.encoding import encode
from sealcast.messages.problems import Problem
from sealcast.server import http1
from sealcast.server.http1 import Request, Requests
from sealcast.server.pipeline import HttpAnswer

READ_BYTES = 16_384
"""All that a TLS record may hold: so nothing is ever left in TLS's own buffer, where no selector sees it."""

SHAKE_S = 10.0
HEAD_S = 10.0
BODY_S = 10.0
"""How long a handshake, a head that has begun and a body may take: whoever takes longer holds a place."""

SEND_S = 30.0
"""How long an answer may wait for a peer that does not read."""

LEAVE_S = 2.0
"""How long a peer may take to close its side after we closed ours."""

GONE_S = 30
"""A peer that acknowledges nothing for so long is gone."""

ASK_S = 60
"""After so long in silence the system asks whether the peer is still there: one that vanished never ends."""

NEVER_S = float("inf")
_SLOW = http1.bad_request("the request did not come in time", 408)


class Stage(Enum):
    """Where a connection is in its life."""

    HANDSHAKE = auto()
    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ASKED = auto()
    LEAVING = auto()
    CLOSED = auto()


class Owner(Protocol):
    """What a connection tells the listener, and asks it."""

    @property
    def date_line(self) -> bytes:
        """The header field with the present date."""
        ...

    def asked(self, connection: "Connection", request: Request) -> None:
        """Take a whole request; an answer or `close` is to follow."""
        ...

    def closed(self, connection: "Connection") -> None:
        """Forget a connection."""
        ...


class Connection:
    """One connection; every method returns at once, and none raises for what the peer does."""

    __slots__ = (
        "_is_answered",
        "_is_for_head",
        "_is_kept",
        "_is_paused",
        "_loop",
        "_no",
        "_outgoing",
        "_owner",
        "_recv",
        "_requests",
        "_socket",
        "deadline_s",
        "idle_s",
        "own",
        "peer",
        "stage",
    )

    def __init__(
        self,
        accepted: socket.socket,
        peer: tuple[str, int],
        tls: ssl.SSLContext,
        loop: asyncio.AbstractEventLoop,
        owner: Owner,
    ) -> None:
        """Take over an accepted socket; raises OSError if it is gone already."""
        accepted.setblocking(False)
        _set_options(accepted)
        self._socket = tls.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self._recv = self._socket.recv
        self._loop, self._owner, self.peer = loop, owner, peer
        self.own: tuple[str, int] = self._socket.getsockname()[:2]
        self._requests, self._outgoing = Requests(), bytearray()
        self._no: RefusedError | None = None
        self._is_kept, self._is_paused, self._is_answered, self._is_for_head = True, False, False, False
        self.deadline_s = loop.time() + SHAKE_S
        """When it has lasted too long, by the clock of the loop."""

        self.idle_s = NEVER_S
        """Since when it has been idle, if it is."""

        self.stage = Stage.HANDSHAKE
        loop.add_reader(self._socket.fileno(), self._shake_hands)

    @property
    def is_busy(self) -> bool:
        """Whether it has a request that is not answered."""
        return self.stage in {Stage.BODY, Stage.ASKED}

    def give(self, answer: HttpAnswer) -> None:
        """Answer the request."""
        head = http1.answer_head(answer.status, answer.media_type, *answer.headers.items())
        self.answer(head, answer.body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer the request: `head` is status line and fields, but for length, date and the end."""
        if self.stage is not Stage.ASKED:
            return
        end = b"\r\n" if self._is_kept else b"connection: close\r\n\r\n"
        date = self._owner.date_line
        shown = b"" if self._is_for_head else body
        self._write(b"%scontent-length: %d\r\n%s%s%s" % (head, len(body), date, end, shown))
        self._next()

    def answer_bare(self, head: bytes) -> None:
        """Answer the request with a status that has neither body nor length."""
        if self.stage is Stage.ASKED:
            end = b"\r\n" if self._is_kept else b"connection: close\r\n\r\n"
            self._write(head + self._owner.date_line + end)
            self._next()

    def retire(self) -> None:
        """End it as soon as it is idle."""
        self._is_kept = False
        if self.stage in {Stage.IDLE, Stage.HANDSHAKE}:
            self._leave()

    def make_room(self) -> None:
        """End it now, though nothing is amiss: others want its place."""
        self.retire()
        self.close()

    def look(self, now_s: float) -> None:
        """End it if it took too long, or if the peer reset it; costs a microsecond.

        uvloop tells of a reset once, with what was sent before it, and then watches the socket no more.
        """
        if self.deadline_s < now_s:
            self.expire()
        elif self.deadline_s == NEVER_S:
            try:
                self._socket.getpeername()
            except OSError:
                self.close()

    def expire(self) -> None:
        """End it: it took too long. Whoever sends a body too slowly is told so."""
        if self.stage is Stage.BODY:
            self._refuse(_SLOW)
        else:
            self.close()

    def close(self) -> None:
        """Close at once."""
        if self.stage is Stage.CLOSED:
            return
        self.stage = Stage.CLOSED
        self._requests.end()
        self._no = None  # Its traceback holds this object.
        self._outgoing = bytearray()
        number = self._socket.fileno()
        self._loop.remove_reader(number)
        self._loop.remove_writer(number)
        self._socket.close()
        self._owner.closed(self)

    def _shake_hands(self) -> None:
        number = self._socket.fileno()
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            self._loop.remove_writer(number)
            return
        except ssl.SSLWantWriteError:
            self._loop.add_writer(number, self._shake_hands)
            return
        except (OSError, ValueError):
            self.close()
            return
        self._loop.remove_writer(number)
        self._rest()
        self._loop.add_reader(number, self._readable)

    def _readable(self) -> None:
        try:
            data = self._recv(READ_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        except (OSError, ValueError):
            # Of TLS's own affairs, SSLWantWriteError is one: a peer that renews keys and reads nothing.
            self.close()
            return
        if not data:
            self.close()
        elif self.stage is not Stage.LEAVING:
            try:
                self._requests.take(data)
            except RefusedError as no:
                self._no = no
            self._go_on()

    def _go_on(self) -> None:
        """Have the next request answered, if one is whole, or look how far it is."""
        requests = self._requests
        if self.stage is Stage.ASKED:
            self._pause()
        elif requests.waiting:
            request = requests.waiting.popleft()
            if requests.waiting:
                self._pause()
            self._ask(request)
        elif self._no is not None:
            self._refuse(self._no)
        elif requests.is_in_body:
            if self.stage is not Stage.BODY:
                self.stage, self.deadline_s = Stage.BODY, self._loop.time() + BODY_S
            if requests.awaits_continue:
                requests.awaits_continue = False
                self._write(http1.CONTINUE)
        elif requests.is_begun and self.stage is Stage.IDLE:
            self.stage, self.deadline_s = Stage.HEAD, self._loop.time() + HEAD_S

    def _pause(self) -> None:
        """Read nothing until all that came is answered: 32 kB at most are kept."""
        if not self._is_paused:
            self._is_paused = True
            self._loop.remove_reader(self._socket.fileno())

    def _ask(self, request: Request) -> None:
        self._is_kept = self._is_kept and request.is_kept
        self._is_for_head = request.method == "HEAD"
        self.stage, self.deadline_s = Stage.ASKED, NEVER_S
        self._owner.asked(self, request)

    def _refuse(self, no: RefusedError) -> None:
        """Say no to what is no request for us, and end: what follows cannot be told apart."""
        self._is_kept, self._is_for_head, self.stage = False, False, Stage.ASKED
        body = encode(Problem(type=no.type, title=no.detail, status=no.status))
        self.answer(http1.answer_head(no.status, problems.MEDIA_TYPE_PROBLEM), body)

    def _next(self) -> None:
        """Go on after an answer."""
        if self.stage is not Stage.ASKED:
            return
        self._is_answered = bool(self._outgoing)
        if self._is_answered:
            # Slow readers are not read from either: one answer waits at a time.
            self.deadline_s = self._loop.time() + SEND_S
            return
        if not self._is_kept:
            self._leave()
            return
        self._rest()
        if self._is_paused and not self._requests.waiting:
            self._is_paused = False
            self._loop.add_reader(self._socket.fileno(), self._readable)
        if self._requests.waiting or self._requests.is_begun or self._no is not None:
            # Not at once: a row of requests must not hold up all others, nor nest.
            self._loop.call_soon(self._go_on_later)

    def _rest(self) -> None:
        self.stage, self.deadline_s, self.idle_s = Stage.IDLE, NEVER_S, self._loop.time()

    def _go_on_later(self) -> None:
        if self.stage is Stage.IDLE:
            self._go_on()

    def _leave(self) -> None:
        """End it well: what was sent arrives, then the end of it, then the peer closes."""
        if self.stage is Stage.HANDSHAKE:
            self.close()
            return
        self.stage, self.deadline_s = Stage.LEAVING, self._loop.time() + LEAVE_S
        self._requests.waiting.clear()
        if self._is_paused:
            self._loop.add_reader(self._socket.fileno(), self._readable)
        with contextlib.suppress(OSError, ValueError):
            self._socket.unwrap()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def _write(self, data: bytes) -> None:
        """Send now, and keep the rest for later."""
        if self._outgoing:
            self._outgoing += data
            return
        sent = self._try_to_send(data)
        if sent < len(data) and self.stage is not Stage.CLOSED:
            self._outgoing += data[sent:]
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _writable(self) -> None:
        sent = self._try_to_send(bytes(self._outgoing))
        if self.stage is Stage.CLOSED:
            return
        del self._outgoing[:sent]
        if not self._outgoing:
            self._loop.remove_writer(self._socket.fileno())
            if self.stage is Stage.ASKED and self._is_answered:
                self._next()

    def _try_to_send(self, data: bytes) -> int:
        """Return how many bytes went out; a connection that is gone is closed."""
        whole, sent = memoryview(data), 0
        try:
            while sent < len(data):
                sent += self._socket.send(whole[sent:])
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError, BlockingIOError):
            return sent
        except (OSError, ValueError):
            self.close()
        return sent


def _set_options(accepted: socket.socket) -> None:
    """Have answers sent at once, and peers noticed that are gone; raises OSError."""
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, ASK_S)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, GONE_S // 3)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_S * 1_000)
