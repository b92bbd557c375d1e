"""Owns the short way of an HTTP request to its operation: path, bounded body, answer; the rest goes inside.

```
POST, a path of the table ──► body (size, time) ──► pipeline ──► answer
anything else             ──► the framework: documents, health, metrics, and every no that is about HTTP
```
The framework takes about 0.2 ms for a request, more than a grant takes in all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from sealcast.keyserver.calls import Handler
from sealcast.messages import problems
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, encode
from sealcast.messages.problems import Problem
from sealcast.server.pipeline import HttpAnswer
from sealcast.server.silence import Silence

BODY_S_MAX = 10.0
"""A request has some kilobytes; whoever takes longer to send them holds a place that others need."""

LOOK_S = 1.0
"""So much longer a slow one may take: one look at all of them costs less than a timer for each request."""

HEADS_MAX = 64
"""Heads of answers remembered: they differ by the nonce, which changes ten times a second."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Application(Protocol):
    """An application as ASGI 3 has it."""

    async def __call__(self, scope: Any, receive: Any, send: Any, /) -> None:  # noqa: ANN401 - as ASGI has them
        """Answer one request."""


class Answering(Protocol):
    """What answers signed requests: the pipeline."""

    def nonce_headers(self) -> dict[str, str]:
        """Return the header with a fresh nonce."""
        ...

    async def answer(self, handler: Handler, body: bytes) -> HttpAnswer:
        """Answer one request, whatever it is."""
        ...


class Front:
    """Carries out the operations of `handlers`, by path; everything else is `inside`'s."""

    def __init__(
        self, inside: Application, handlers: Mapping[str, Handler], pipeline: Answering, silence: Silence
    ) -> None:
        self._inside = inside
        self._handlers = dict(handlers)
        self._pipeline = pipeline
        self._silence = silence
        self._patience = Patience()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        handler = self.handler(scope.get("method", ""), scope.get("path", ""))
        if handler is None:
            await self._inside(scope, receive, send)
        else:
            await send_answer(send, await self.carry_out(handler, receive, lambda: scope))

    def handler(self, method: str, path: str) -> Handler | None:
        """Return who carries a request out, None if that is not for us."""
        return self._handlers.get(path) if method == "POST" else None

    async def carry_out(
        self, handler: Handler, receive: Receive, addresses: Callable[[], Message]
    ) -> HttpAnswer:
        """Return the answer to a request; `addresses` gives `client` and `server` as ASGI has them."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        body = await self._patience.read(receive, loop, began_s)
        answer = body if isinstance(body, HttpAnswer) else await self._pipeline.answer(handler, body)
        if self._silence.is_for(answer):
            await self._silence.fall(addresses(), began_s)
            # The connection has ended, so nobody hears this; the server wants an answer.
            return HttpAnswer(403, b"", problems.MEDIA_TYPE_JOSE, {})
        return answer


class Patience:
    """Reads bodies, and ends those that take too long."""

    def __init__(self) -> None:
        self._begun: dict[asyncio.Task[Any] | None, float] = {}
        self._late: set[asyncio.Task[Any] | None] = set()
        self._looks = False

    async def read(
        self, receive: Receive, loop: asyncio.AbstractEventLoop, began_s: float
    ) -> bytes | HttpAnswer:
        """Return a request's body, or what to say of one that is too large, slow or broken off.

        `began_s` is now, by the clock of the running loop.
        """
        task = asyncio.current_task()
        self._begun[task] = began_s
        if not self._looks:
            self._looks = True
            loop.call_later(min(LOOK_S, BODY_S_MAX), self._look, loop)
        try:
            return await _read(receive)
        except asyncio.CancelledError:
            if task is None or task not in self._late or task.uncancel():
                raise
            return _no(408, "the request did not come in time")
        finally:
            del self._begun[task]
            self._late.discard(task)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what has begun too long ago, and look again while there is anything."""
        now_s = loop.time()
        for task, began_s in self._begun.items():
            if now_s - began_s < BODY_S_MAX:
                break
            if task is not None and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._looks = bool(self._begun)
        if self._looks:
            loop.call_later(min(LOOK_S, BODY_S_MAX), self._look, loop)


async def send_answer(send: Send, answer: HttpAnswer) -> None:
    """Send an answer as ASGI has it."""
    fields = *_head(answer.media_type, *answer.headers.items()), (b"content-length", b"%d" % len(answer.body))
    await send({"type": "http.response.start", "status": answer.status, "headers": fields})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


@lru_cache(HEADS_MAX)
def _head(media_type: str, *headers: tuple[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    """Return the head of an answer but for its length, as ASGI has it."""
    pairs = (("content-type", media_type), *headers)
    return tuple((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs)


async def _read(receive: Receive) -> bytes | HttpAnswer:
    """Return the body of a request, or what to say of one that is too large."""
    message = await receive()
    if not message.get("more_body", False):
        body = message.get("body", b"")
        return body if len(body) <= MESSAGE_BYTES_MAX else _no(413, "Request Entity Too Large")
    whole = bytearray(message.get("body", b""))
    while message.get("more_body", False):
        message = await receive()
        whole += message.get("body", b"")
        if len(whole) > MESSAGE_BYTES_MAX:
            return _no(413, "Request Entity Too Large")
    return bytes(whole)


def _no(status: int, title: str) -> HttpAnswer:
    problem = Problem(type="about:blank", title=title, status=status)
    return HttpAnswer(status, encode(problem), problems.MEDIA_TYPE_PROBLEM, {})
