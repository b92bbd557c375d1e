"""Owns the short way of an HTTP request to its operation: path, bounded body, answer; the rest goes inside.

```
POST, a path of the table ──► body ──► pipeline ──► answer
anything else             ──► the framework: documents, health, metrics, and every no that is about HTTP
```
The framework takes about 0.2 ms for a request, more than a grant takes in all. Key requests need not even
the task that ASGI takes for each (`begin`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

from sealcast.keyserver.calls import Handler
from sealcast.messages import problems
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, encode
from sealcast.messages.problems import Problem
from sealcast.server.pipeline import Give, HttpAnswer
from sealcast.server.silence import Silence

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

    def begin(self, handler: Handler, body: bytes, give: Give) -> bool:
        """Do the same through `give`, without a task; False where there is no such way."""
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

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        handler = self.handler(scope.get("method", ""), scope.get("path", ""))
        if handler is None:
            await self._inside(scope, receive, send)
        else:
            await send_answer(send, await self.carry_out(handler, receive, lambda: scope))

    def begin(self, method: str, path: str, body: bytes, give: Give) -> bool:
        """Have a request answered through `give` without a task; False for one that goes the other way."""
        handler = self.handler(method, path)
        return handler is not None and self._pipeline.begin(handler, body, give)

    def handler(self, method: str, path: str) -> Handler | None:
        """Return who carries a request out, None if that is not for us."""
        return self._handlers.get(path) if method == "POST" else None

    async def carry_out(
        self, handler: Handler, receive: Receive, addresses: Callable[[], Message]
    ) -> HttpAnswer:
        """Return the answer to a request; `addresses` gives `client` and `server` as ASGI has them."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        body = await _read(receive)
        answer = body if isinstance(body, HttpAnswer) else await self._pipeline.answer(handler, body)
        if self._silence.is_for(answer):
            return await self._silence.keep(addresses(), body if isinstance(body, bytes) else b"", began_s)
        return answer


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
