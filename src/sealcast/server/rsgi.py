"""Owns the step between granian's own interface and applications as ASGI has them.

Granian takes a whole answer by its own interface (RSGI 1.5) in one call; by ASGI it is two awaited ones.
"""

from typing import Any

from sealcast.messages.encoding import MESSAGE_BYTES_MAX
from sealcast.server.front import Application, Front, Message


class Rsgi:
    """An ASGI application as granian calls it."""

    def __init__(self, app: Application) -> None:
        """`app` answers with all of a body at once: nothing of ours streams here."""
        self._app = app
        self._front = app if isinstance(app, Front) else None

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401 - as granian has them
        """Answer one request."""
        exchange = _Exchange(scope, protocol)
        handler = self._front.handler(scope.method, scope.path) if self._front is not None else None
        if self._front is not None and handler is not None:
            answer = await self._front.carry_out(handler, exchange.receive, exchange.addresses)
            headers = [("content-type", answer.media_type), *answer.headers.items()]
            protocol.response_bytes(answer.status, headers, answer.body)
            return
        await self._app(exchange.scope(), exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer."""

    __slots__ = ("_chunks", "_is_read", "_protocol", "_scope", "_start")

    def __init__(self, scope: Any, protocol: Any) -> None:  # noqa: ANN401 - granian's
        self._scope, self._protocol = scope, protocol
        self._is_read = False
        self._chunks: Any = None
        self._start: Message = {}

    def scope(self) -> Message:
        """Return what is asked, as ASGI has it."""
        asked = self._scope
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": asked.http_version,
            "method": asked.method,
            "scheme": asked.scheme,
            "path": asked.path,
            "raw_path": asked.path.encode(),
            "query_string": asked.query_string.encode("latin-1"),
            "root_path": "",
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _headers(asked)],
            **self.addresses(),
            "state": {},
            "extensions": {},
        }

    def addresses(self) -> Message:
        """Return both ends of the connection, as ASGI has them."""
        return {"client": _address(self._scope.client), "server": _address(self._scope.server)}

    async def receive(self) -> Message:
        """Return the body: at once if it says that it is small enough, else as it comes."""
        if self._is_read:
            await self._protocol.client_disconnect()
            return {"type": "http.disconnect"}
        if self._chunks is None:
            length = self._scope.headers.get("content-length", "")
            if length.isdigit() and int(length) <= MESSAGE_BYTES_MAX:
                self._is_read = True
                return {"type": "http.request", "body": await self._protocol(), "more_body": False}
            self._chunks = aiter(self._protocol)
        chunk = await anext(self._chunks, None)
        self._is_read = chunk is None
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message: Message) -> None:
        """Take a part of the answer, and answer with the last."""
        if message["type"] == "http.response.start":
            self._start = message
            return
        status = self._start["status"]
        headers = [tuple(part.decode("latin-1") for part in pair) for pair in self._start["headers"]]
        body = message.get("body", b"")
        if message.get("more_body", False):
            raise RuntimeError("answers of ours are whole")
        if body:
            self._protocol.response_bytes(status, headers, body)
        else:
            self._protocol.response_empty(status, headers)


def _headers(asked: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - granian's
    pairs: list[tuple[str, str]] = asked.headers.items()
    if asked.authority and "host" not in asked.headers:
        return [("host", asked.authority), *pairs]
    return pairs


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)
