"""Owns the HTTP application of a server that carries out few operations itself and relays the rest.

```
carried out here ──► the application ── a no that may be out of date? ──► relay ── no answer ──► that no
everything else  ──► relay
```
It stands before the application as ASGI has it: requests pass it, and what it relays never gets inside.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from sealcast.core.errors import FormatError
from sealcast.messages import operations
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, decode
from sealcast.messages.enrolment import CRL_PATH
from sealcast.messages.problems import MEDIA_TYPE_PROBLEM, Problem, problem_name
from sealcast.server.cluster.relaying import HEADER_RELAYED, Relay
from sealcast.server.front import BODY_S_MAX
from sealcast.server.pipeline import HttpAnswer

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""As ASGI 3 has them."""

MASTER_KNOWS_BETTER = frozenset(
    {"not-authenticated", "certificate-expired", "certificate-revoked", "not-subscribed", "unknown-channel"}
)
"""Noes of a replica that the master may answer with yes: what the replica knows may be out of date."""

_POSTED = frozenset(operation.path for operation in operations.ALL)
_FETCHED = frozenset({CRL_PATH})
_RELAYED = HEADER_RELAYED.lower().encode()


class RelayingApp:
    """Gives requests to `inside` or to the master.

    `here` are the paths of operations that are carried out here. While `is_behind()`, the master is asked
    first also for the keys of `first_asked`, and what is here is the second choice.
    """

    def __init__(
        self,
        inside: Application,
        relay: Relay,
        *,
        here: Collection[str] = (),
        first_asked: str = "",
        is_behind: Callable[[], bool] = lambda: False,
    ) -> None:
        self._inside, self._relay = inside, relay
        self._here, self._away = frozenset(here), _POSTED - frozenset(here)
        self._first_asked, self._is_behind = first_asked, is_behind

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inside(scope, receive, send)
            return
        path, method = scope["path"], scope["method"]
        if method == "GET" and path in _FETCHED:
            await _send(send, await self._relay.relay(path, None, _headers(scope)))
        elif method != "POST" or (path not in self._here and path not in self._away):
            await self._inside(scope, receive, send)
        else:
            await self._posted(scope, receive, send)

    async def _posted(self, scope: Message, receive: Receive, send: Send) -> None:
        body = await _read(receive)
        if body is None:
            await _send(send, self._relay.unavailable("the request did not come whole, or in time"))
            return
        path, headers = scope["path"], _headers(scope)
        if path in self._away:
            await _send(send, await self._relay.relay(path, body, headers))
            return
        is_relayed = HEADER_RELAYED.lower() in headers
        if path == self._first_asked and not is_relayed and self._is_behind() and self._relay.is_worth_asking:
            answer = await self._relay.relay(path, body, headers)
            if answer.status < 500:
                await _send(send, answer)
                return
        await self._carried_out(scope, body, send, may_relay=not is_relayed)

    async def _carried_out(self, scope: Message, body: bytes, send: Send, *, may_relay: bool) -> None:
        """Let the application answer; of some noes the master is asked."""
        answered = _Answered(body)
        await self._inside(scope, answered.receive, answered.send)
        if may_relay and answered.no in MASTER_KNOWS_BETTER:
            other = await self._relay.relay(scope["path"], body, {})
            if other.status < 500:
                await _send(send, other)
                return
        for message in answered.sent:
            await send(message)


class _Answered:
    """An answer that is held back until it is known whether it is the one."""

    __slots__ = ("_body", "sent")

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """Give the request's body, as it was read before."""
        if self._body is None:
            return {"type": "http.disconnect"}
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep a part of the answer."""
        self.sent.append(message)

    @property
    def no(self) -> str:
        """The name of the problem that the answer is, "" if it is none."""
        begin = self.sent[0] if self.sent else {}
        if begin.get("status", 200) < 400:
            return ""
        kinds = [value for name, value in begin.get("headers", ()) if bytes(name).lower() == b"content-type"]
        if not any(bytes(kind).startswith(MEDIA_TYPE_PROBLEM.encode()) for kind in kinds):
            return ""
        try:
            return problem_name(
                decode(b"".join(each.get("body", b"") for each in self.sent[1:]), Problem).type
            )
        except FormatError:
            return ""


def _headers(scope: Message) -> dict[str, str]:
    """Return what counts of a request's headers."""
    is_relayed = any(bytes(name).lower() == _RELAYED for name, _ in scope["headers"])
    return {HEADER_RELAYED.lower(): "1"} if is_relayed else {}


async def _read(receive: Receive) -> bytes | None:
    """Return a request's body; None for one that is too large, slow or broken off."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                body += message.get("body", b"")
                if len(body) > MESSAGE_BYTES_MAX:
                    return None
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return None


async def _send(send: Send, answer: HttpAnswer) -> None:
    headers = {"Content-Type": answer.media_type, "Content-Length": str(len(answer.body)), **answer.headers}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
