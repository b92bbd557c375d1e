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

from sealcast.cluster.sealing import RelayProof
from sealcast.core.errors import FormatError
from sealcast.messages import operations
from sealcast.messages.encoding import MESSAGE_BYTES_MAX, decode
from sealcast.messages.enrolment import CRL_PATH
from sealcast.messages.problems import MEDIA_TYPE_PROBLEM, Problem, problem_name
from sealcast.server.cluster.relaying import HEADER_RELAYED, Relay
from sealcast.server.pipeline import HttpAnswer
from sealcast.server.silence import BE_SILENT, UNHEARD, Silence

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
"""As ASGI 3 has them."""

MASTER_KNOWS_BETTER = frozenset(
    {"not-authenticated", "certificate-expired", "certificate-revoked", "not-subscribed", "unknown-channel"}
)
"""Noes of a replica that the master may answer with yes: what the replica knows may be out of date."""

CALLERS_FAULT, SERVERS_FAULT = 400, 500
"""Where HTTP's classes of noes begin."""

_POSTED = frozenset(operation.path for operation in operations.ALL)
_FETCHED = frozenset({CRL_PATH})
_RELAYED = HEADER_RELAYED.lower().encode()


class RelayingApp:
    """Gives requests to `inside` or to the master.

    `here` are the paths of operations that are carried out here. While `is_behind()`, the master is asked
    first also for the keys of `first_asked`, and what is here is the second choice. Where the master says so,
    the caller's connection ends by `silence`, without an answer.
    """

    def __init__(
        self,
        inside: Application,
        relay: Relay,
        *,
        here: Collection[str] = (),
        first_asked: str = "",
        is_behind: Callable[[], bool] = lambda: False,
        silence: Silence | None = None,
    ) -> None:
        self._inside, self._relay = inside, relay
        self._here, self._away = frozenset(here), _POSTED - frozenset(here)
        self._first_asked, self._is_behind = first_asked, is_behind
        self._silence = silence or Silence(is_on=False)

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
        path, headers, began_s = scope["path"], _headers(scope), asyncio.get_running_loop().time()
        is_relayed = bool(headers)
        if path not in self._away:
            asks_first = path == self._first_asked and not is_relayed and self._is_behind()
            if not asks_first or not self._relay.is_worth_asking:
                await self._carried_out(scope, receive, send, may_relay=not is_relayed)
                return
        body = await _read(receive)
        if body is None:
            await _send(send, self._relay.unavailable("the request did not come whole"))
            return
        answer = await self._relay.relay(path, body, headers)
        if path in self._away or answer.status < SERVERS_FAULT:
            await self._give(scope, send, answer, began_s)
        else:
            await self._carried_out(scope, _again(body), send, may_relay=False)

    async def _carried_out(self, scope: Message, receive: Receive, send: Send, *, may_relay: bool) -> None:
        """Let the application answer; of some noes the master is asked."""
        answered, began_s = _Answered(receive, send), asyncio.get_running_loop().time()
        await self._inside(scope, answered.receive, answered.send)
        if not answered.held:
            return
        if may_relay and answered.no in MASTER_KNOWS_BETTER:
            other = await self._relay.relay(scope["path"], bytes(answered.body), {})
            if other.status < SERVERS_FAULT:
                await self._give(scope, send, other, began_s)
                return
        for message in answered.held:
            await send(message)

    async def _give(self, scope: Message, send: Send, answer: HttpAnswer, began_s: float) -> None:
        """Give the master's answer to a request that began at `began_s`, or none if it says so."""
        if answer.status == BE_SILENT.status:
            await self._silence.fall(scope, began_s)
            answer = UNHEARD
        await _send(send, answer)


class _Answered:
    """An exchange whose no is held back until it is known whether it is the one; a yes passes at once."""

    __slots__ = ("_receive", "_send", "body", "held")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.body = bytearray()
        self.held: list[Message] = []

    async def receive(self) -> Message:
        """Give a part of the request, and keep its body."""
        message = await self._receive()
        self.body += message.get("body", b"")
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, or keep it."""
        if self.held or message.get("status", 0) >= CALLERS_FAULT:
            self.held.append(message)
        else:
            await self._send(message)

    @property
    def no(self) -> str:
        """The name of the problem that the answer is, "" if it is none."""
        begin = self.held[0]
        kinds = [value for name, value in begin.get("headers", ()) if bytes(name).lower() == b"content-type"]
        if not any(bytes(kind).startswith(MEDIA_TYPE_PROBLEM.encode()) for kind in kinds):
            return ""
        try:
            return problem_name(
                decode(b"".join(each.get("body", b"") for each in self.held[1:]), Problem).type
            )
        except FormatError:
            return ""


def _again(body: bytes) -> Receive:
    """Return what gives a request's body once more, and then that nothing else comes."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def is_relayed_by(proof: RelayProof, scope: Message, body: bytes) -> bool:
    """Whether a request was relayed by a server of the cluster; its caller cannot say so."""
    told = [bytes(value) for name, value in scope["headers"] if bytes(name).lower() == _RELAYED]
    return bool(told) and proof.is_for(scope["path"], body, told[0].decode("latin-1"))


def _headers(scope: Message) -> dict[str, str]:
    """Return what counts of a request's headers."""
    is_relayed = any(bytes(name).lower() == _RELAYED for name, _ in scope["headers"])
    return {HEADER_RELAYED.lower(): "1"} if is_relayed else {}


async def _read(receive: Receive) -> bytes | None:
    """Return a request's body; None for one that is too large or broken off."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > MESSAGE_BYTES_MAX:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _send(send: Send, answer: HttpAnswer) -> None:
    headers = {"Content-Type": answer.media_type, "Content-Length": str(len(answer.body)), **answer.headers}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
