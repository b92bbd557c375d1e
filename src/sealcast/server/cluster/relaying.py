"""Owns relaying: a request that this server does not carry out goes to the master, and its answer back.

```
caller ──► this server ── body unchanged, Sealcast-Relayed: PROOF ──► the master
caller ◄── answer, nonce, rest of the certificate, Retry-After ◄──┘
```
A request is relayed once: whoever is not the master answers a relayed one with 503. So two servers that take
each other for the master do no harm, and neither does asking one that was the master a moment ago. The
proof says that a server of the cluster asks: the master may tell it to be silent towards the caller.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

import structlog

from sealcast.client.forwarding import Forwarded, Forwarder
from sealcast.core.errors import UnreachableError
from sealcast.messages.encoding import encode
from sealcast.messages.problems import MEDIA_TYPE_JOSE, MEDIA_TYPE_PROBLEM, STATUS_OF, problem
from sealcast.server.pipeline import HttpAnswer

HEADER_RELAYED = "Sealcast-Relayed"
"""With a request that another server relayed, whatever its value; nobody relays it again."""

RELAY_S_MAX = 4.5
"""For one relayed request, whoever is asked: below what a caller waits for one answer (`client.limits`)."""

ATTEMPT_S_MAX = 3.0
"""For one server's answer, so that another may be asked within the time."""

RELAYED_AT_ONCE_MAX = 256
"""Requests on their way to the master; of more, those that come now are told to come again."""

REST_S = 1.0
"""How long a server that did not answer is asked after all others, so that not everybody waits for it."""

RETRY_AFTER_S = 1
SERVERS_MAX = 16
"""Addresses tried for one request: more would not fit into its time."""

_UNAVAILABLE = int(STATUS_OF["busy"])
log = structlog.get_logger("sealcast.server")


class Relay:
    """Relays to whichever of `candidates()` is the master, in their order; `own` addresses are left out.

    `on_relayed` is told the outcome of each request: `ok`, or `unanswered`.
    """

    def __init__(
        self,
        ca_pem: str,
        candidates: Callable[[], Iterable[str]],
        *,
        own: Callable[[], Iterable[str]] = tuple,
        prove: Callable[[str, bytes], str] = lambda _path, _body: "1",
        nonce: Callable[[], dict[str, str]] = dict,
        on_relayed: Callable[[str], None] | None = None,
    ) -> None:
        """`prove` makes the proof for a path and a body (`cluster.sealing`).

        `nonce` gives the header of a fresh one, for answers that are this server's own.
        """
        self._forwarder = Forwarder(ca_pem)
        self._candidates, self._own = candidates, own
        self._prove, self._nonce = prove, nonce
        self._on_relayed = on_relayed
        self._under_way = 0
        self._rests_until_s: dict[str, float] = {}
        self._is_mute = False

    async def relay(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> HttpAnswer:
        """Return the master's answer to a request, or 503 with Retry-After if none comes.

        `headers` are those of the request, by lower-case names; `body` is None for what is fetched by GET.
        """
        if HEADER_RELAYED.lower() in headers:
            return self.unavailable("this server is not the master; ask again in a second")
        if self._under_way >= RELAYED_AT_ONCE_MAX:
            return self.unavailable("too many requests wait for the master; ask again in a second")
        self._under_way += 1
        try:
            answer = await self._ask(path, body)
        finally:
            self._under_way -= 1
        self._note("unanswered" if answer is None else "ok")
        return answer or self.unavailable("no master answers; ask again in a second")

    def unavailable(self, detail: str) -> HttpAnswer:
        """Return the answer that the caller should come again, or ask another server."""
        no = problem("busy", detail)
        headers = {**self._nonce(), "Retry-After": str(RETRY_AFTER_S)}
        return HttpAnswer(no.status, encode(no), MEDIA_TYPE_PROBLEM, headers, "busy")

    @property
    def is_worth_asking(self) -> bool:
        """Whether some server that may be the master has not just failed to answer."""
        now_s = asyncio.get_running_loop().time()
        return any(self._rests_until_s.get(each, 0.0) <= now_s for each in self._servers())

    async def close(self) -> None:
        """Close the connections."""
        await self._forwarder.close()

    async def _ask(self, path: str, body: bytes | None) -> HttpAnswer | None:
        """Ask one server after another; the last 503 counts if none says anything else."""
        loop = asyncio.get_running_loop()
        until_s, busy = loop.time() + RELAY_S_MAX, None
        headers = {HEADER_RELAYED: "1" if body is None else self._prove(path, body)}
        if body is not None:
            headers["Content-Type"] = MEDIA_TYPE_JOSE
        for server in self._in_turn(loop.time()):
            within_s = min(ATTEMPT_S_MAX, until_s - loop.time())
            if within_s <= 0:
                break
            try:
                found = await self._forwarder.forward(server, path, body, headers, within_s)
            except UnreachableError as error:
                self._rests_until_s[server] = loop.time() + REST_S
                log.debug("a server did not answer a relayed request", reason=str(error))
                continue
            if found.status != _UNAVAILABLE:
                self._rests_until_s.pop(server, None)
                return _answer(found)
            # It may be no master any more, or have too much to do: another may know better.
            self._rests_until_s[server] = loop.time() + REST_S
            busy = _answer(found)
        return busy

    def _servers(self) -> list[str]:
        own = set(self._own())
        return [each for each in dict.fromkeys(self._candidates()) if each not in own][:SERVERS_MAX]

    def _in_turn(self, now_s: float) -> list[str]:
        """Return the servers to ask, those that failed lately at the end."""
        servers = self._servers()
        self._rests_until_s = {each: at for each, at in self._rests_until_s.items() if each in servers}
        return sorted(servers, key=lambda each: self._rests_until_s.get(each, 0.0) > now_s)

    def _note(self, outcome: str) -> None:
        if self._on_relayed is not None:
            self._on_relayed(outcome)
        if (outcome != "ok") != self._is_mute:
            self._is_mute = not self._is_mute
            log.warning("no master answers" if self._is_mute else "a master answers again")


def _answer(found: Forwarded) -> HttpAnswer:
    return HttpAnswer(found.status, found.body, found.media_type, found.headers)
