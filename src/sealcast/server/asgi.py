"""Owns the carrying out of one HTTP request by an application as ASGI 3 has it: scope, body, answer."""

import asyncio
import logging
from typing import Protocol

from sealcast.messages import problems
from sealcast.messages.encoding import encode
from sealcast.messages.problems import Problem
from sealcast.server import http1
from sealcast.server.front import Application, Message
from sealcast.server.http1 import Request

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}
_LENGTH, _DATE, _CONNECTION = b"content-length", b"date", b"connection"
_OURS = frozenset({_LENGTH, _DATE, _CONNECTION, b"transfer-encoding"})
"""Fields that the connection itself writes."""

_log = logging.getLogger(__name__)


class Answered(Protocol):
    """Where the answer goes: a connection."""

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer with a body; `head` has neither length nor date nor end."""
        ...

    def answer_bare(self, head: bytes) -> None:
        """Answer with a status that has no body."""
        ...


def scope_of(request: Request, peer: tuple[str, int], own: tuple[str, int]) -> Message:
    """Return what ASGI says of a request beside its body."""
    raw_path, query = http1.split(request.target)
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": "1.1",
        "method": request.method,
        "scheme": "https",
        "path": request.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": request.fields,
        "client": peer,
        "server": own,
        "state": {},
    }


async def carry_out(app: Application, scope: Message, body: bytes, answered: Answered) -> None:
    """Have `app` answer a request, whole and once; its faults are answered with 500, and logged."""
    exchange = _Exchange(body, answered)
    try:
        await app(scope, exchange.receive, exchange.send)
    except Exception:  # noqa: BLE001 - the caller gets an answer, the log the fault
        _log.exception("a request to %s failed", str(scope["path"])[:80])
    if not exchange.is_over:
        no = Problem(type="about:blank", title="the server has a fault; its log says more", status=500)
        answered.answer(http1.answer_head(500, problems.MEDIA_TYPE_PROBLEM), encode(no))


class _Exchange:
    """One request with its answer, which goes out when it is whole."""

    __slots__ = ("_answered", "_begin", "_body", "_parts", "is_over")

    def __init__(self, body: bytes, answered: Answered) -> None:
        self._body: bytes | None = body
        self._answered = answered
        self._begin: Message = {"status": 500}
        self._parts: list[bytes] = []
        self.is_over = False

    async def receive(self) -> Message:
        """Give the request's body, and wait for ever after it: a peer that goes makes no difference."""
        if self._body is None:
            await asyncio.get_running_loop().create_future()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Take a part of the answer."""
        if message["type"] == "http.response.start":
            self._begin = message
        elif not self.is_over:
            self._parts.append(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self.is_over = True
                self._answer()

    def _answer(self) -> None:
        status = int(self._begin["status"])
        lines = b"".join(
            b"%s: %s\r\n" % (name, value)
            for name, value in self._begin.get("headers", ())
            if bytes(name).lower() not in _OURS
        )
        head = http1.status_line(status) + lines
        if http1.has_body(status):
            self._answered.answer(head, b"".join(self._parts))
        else:
            self._answered.answer_bare(head)
