"""Owns the way of every signed request: authenticate (`authenticating`), decide once, record, answer.

```
signed, fresh, by whom ─► one unit of work, durable before the answer
  ┌───────────────────────────────┘
  └─ seen this jti? ─ no ─► operation ─► decision kept ─► answer: JSON, or sealed to the caller
                    └ yes ─► the same decision, nothing recorded
```
A newcomer is nobody yet: its keys come with its request, and only its invitation remembers it, so that
strangers leave nothing behind.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import (
    FencedError,
    LocalError,
    RefusedError,
    RemoteError,
    SealcastError,
    UsageError,
)
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.core.secret import Secret
from sealcast.keyserver import store_requests
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.store_requests import Decided
from sealcast.keyserver.values import refusal
from sealcast.messages import nonces, problems
from sealcast.messages.encoding import decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.problems import Problem
from sealcast.messages.sealedanswers import seal_answer
from sealcast.server.audience import Audience
from sealcast.server.authenticating import Asked, Authentication, why_no_longer
from sealcast.server.metrics import Metrics
from sealcast.server.newcomers import NEWCOMER_ROLE, ReadNewcomer, read_newcomer
from sealcast.server.principals import Principals
from sealcast.server.recent import Recent
from sealcast.storage.unitofwork import UnitOfWork

REMEMBERED_MS = 2 * nonces.NONCE_VALID_MS
"""How long a request is remembered: a repeat needs a valid nonce, so twice its life is more than enough."""

MINTED_MS = 100
"""How long a nonce is handed out: it names an instant, and all callers of that instant may have the same."""

PRUNE_EVERY_MS = 1_000
NOES = (RefusedError, RemoteError, UsageError)
"""What an operation says no with; any other error is a fault."""

_NOTHING = msgspec.Raw(b"null")
_log = logging.getLogger(__name__)
"""The standard library's: its tracebacks never show local variables, which may be keys."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What goes back to the caller; `no` is the name of the problem, if it is one."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str]
    no: str = ""


class _Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """A decision as the database keeps it: a no, a plain answer, or the epochs whose keys were given."""

    no: Problem | None = None
    answer: msgspec.Raw = _NOTHING
    epochs: list[int] = []


class _Item(NamedTuple):
    """A request on its way to be decided; `ahead` is what the handler's `ahead` brought."""

    handler: Handler
    asked: Asked
    ahead: msgspec.Struct | None


Give = Callable[[HttpAnswer], None]
"""Takes an answer, and raises nothing."""


class _Begun:
    """A request that is answered without a task: it takes what the unit of work brings."""

    __slots__ = ("_give", "_handler", "_pipeline", "asked")

    def __init__(self, pipeline: "Pipeline", handler: Handler, give: Give) -> None:
        self._pipeline, self._handler, self._give = pipeline, handler, give
        self.asked: Asked | None = None

    def done(self) -> bool:
        """Say that somebody waits: a peer that has gone makes no difference."""
        return False

    def set_result(self, decided: bytes | RefusedError) -> None:
        """Answer as was decided."""
        if self.asked is None:
            return
        try:
            answer = self._pipeline.answer_to(self._handler, self.asked, decided)
        except Exception as error:  # noqa: BLE001 - as in `Pipeline.answer`
            self.set_exception(error)
        else:
            self._pipeline.count(self._handler, answer)
            self._give(answer)

    def set_exception(self, error: BaseException) -> None:
        """Say no."""
        answer = self._pipeline.no_to(self._handler, error)
        self._pipeline.count(self._handler, answer)
        self._give(answer)


class Pipeline:
    """Takes signed requests to their handlers and answers back."""

    def __init__(
        self,
        *,
        operator: str,
        nonce_key: Secret,
        signing: Jwk,
        kek: Jwk,
        principals: Principals,
        unit_of_work: UnitOfWork,
        clock: Clock,
        metrics: Metrics,
        read_newcomer: ReadNewcomer = read_newcomer,
        escrow: str | None = None,
    ) -> None:
        """`read_newcomer` reads what somebody unknown signs; `escrow` is an escrow's id."""
        self._callers = Authentication(
            audience=Audience(operator, escrow),
            nonce_key=nonce_key,
            kek=kek,
            principals=principals,
            unit_of_work=unit_of_work,
            clock=clock,
            read_newcomer=read_newcomer,
        )
        self._nonce_key = nonce_key
        self._signing = signing
        self._principals = principals
        self._unit_of_work = unit_of_work
        self._clock = clock
        self._metrics = metrics
        self._prune_at_ms = 0
        self._minted, self._minted_ms = "", -MINTED_MS
        self._recent: Recent[_Kept] = Recent(REMEMBERED_MS)

    def nonce_headers(self) -> dict[str, str]:
        """Return the header with a fresh nonce."""
        wall_ms = self._wall_ms()
        if not 0 <= wall_ms - self._minted_ms < MINTED_MS:
            self._minted, self._minted_ms = nonces.mint_nonce(self._nonce_key, wall_ms), wall_ms
        return {problems.HEADER_NONCE: self._minted}

    async def answer(self, handler: Handler, body: bytes) -> HttpAnswer:
        """Answer one request; whatever happens, the answer is ours and says nothing of our insides."""
        try:
            answer = await self._answer(handler, body)
        except Exception as error:  # noqa: BLE001 - the caller gets an answer, the log the fault
            answer = self.no_to(handler, error)
        self.count(handler, answer)
        return answer

    def begin(self, handler: Handler, body: bytes, give: Give) -> bool:
        """Do as `answer` without a task, for a request that is decided together with others.

        `give` is called with the answer in the running loop, maybe at once. False for what takes a wait
        besides: then nothing was done, and `answer` is to be called.
        """
        if handler.together is None or handler.ahead is not None:
            return False
        begun = _Begun(self, handler, give)
        try:
            asked = begun.asked = self._callers.authenticate_remembered(handler.operation, body)
            if asked is None:
                return False
            item = _Item(handler, asked, None)
            self._unit_of_work.begin_together(self._decide_all, item, begun)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            begun.set_exception(error)
        return True

    def no_to(self, handler: Handler, error: BaseException) -> HttpAnswer:
        """Return what a caller is told of an error; what is our fault is logged."""
        if isinstance(error, RefusedError):
            return self.refuse(error)
        if isinstance(error, FencedError):
            return self.refuse(RefusedError("busy", str(error), 503, retry_after_s=1.0))
        _log.error("%s failed", handler.operation.name, exc_info=error)
        return self.refuse(refusal("internal", "the key server has a fault; its log says more"))

    def count(self, handler: Handler, answer: HttpAnswer) -> None:
        """Count an answer that goes out."""
        self._metrics.count_request(handler.operation.name, answer.no or "ok")

    def refuse(self, no: RefusedError, caller: Principal | None = None) -> HttpAnswer:
        """Return a no as problem details (RFC 9457)."""
        headers = self._headers(caller)
        if no.retry_after_s is not None:
            headers["Retry-After"] = str(max(1, round(no.retry_after_s)))
        problem = problems.problem(no.type, no.detail)
        return HttpAnswer(problem.status, encode(problem), problems.MEDIA_TYPE_PROBLEM, headers, no.type)

    async def _answer(self, handler: Handler, body: bytes) -> HttpAnswer:
        asked = await self._callers.authenticate(handler.operation, body)
        ahead = None if handler.ahead is None else await handler.ahead(asked.caller, asked.request)
        item = _Item(handler, asked, ahead)
        if handler.together is None:
            decided = await self._unit_of_work.run(partial(self._decide, item))
        else:
            decided = await self._unit_of_work.run_together(self._decide_all, item)
        return self.answer_to(handler, asked, decided)

    def answer_to(self, handler: Handler, asked: Asked, decided: bytes | RefusedError) -> HttpAnswer:
        """Return the answer that carries a decision to the caller, sealed if it is to be."""
        if isinstance(decided, RefusedError):
            return self.refuse(decided, asked.caller)
        headers = self._headers(asked.caller)
        if not handler.operation.sealed:
            return HttpAnswer(200, decided, problems.MEDIA_TYPE_JSON, headers)
        caller = asked.caller
        sealed = seal_answer(decided, caller.kek, kid=caller.id, signing=self._signing)
        return HttpAnswer(200, sealed.encode(), problems.MEDIA_TYPE_JOSE, headers)

    def _decide(self, item: _Item, connection: sa.Connection) -> bytes | RefusedError:
        """Decide in the writer's thread: carry out and keep the decision, or find the one that was kept."""
        handler, asked, _ = item
        call = self._call(item, connection, self._clock.monotonic_ns(), self._wall_ms())
        answer = self._decided_before(handler, call, asked)
        if answer is not None:
            return answer
        outcome: Reply | SealcastError
        try:
            outcome = handler.carry_out(call, asked.request)
        except NOES as no:
            outcome = no
        return self._settle(handler, call, asked, outcome)

    def _decide_all(
        self, connection: sa.Connection, items: Sequence[_Item]
    ) -> Sequence[bytes | RefusedError]:
        """Decide on many requests of one kind; one that stands there twice is decided once."""
        now, wall_ms = self._clock.monotonic_ns(), self._wall_ms()
        answers: dict[int, bytes | RefusedError] = {}
        fresh: dict[tuple[str, str], tuple[int, Call]] = {}
        for place, item in enumerate(items):
            asked = item.asked
            call = self._call(item, connection, now, wall_ms)
            answer = self._decided_before(item.handler, call, asked)
            if answer is not None:
                answers[place] = answer
            else:
                fresh.setdefault((asked.caller.id, asked.request.jti), (place, call))
        handler = items[0].handler
        if handler.together is None or any(item.handler is not handler for item in items):
            raise LocalError("requests that are decided together are for one handler")
        if fresh:
            outcomes = handler.together([(call, items[at].asked.request) for at, call in fresh.values()])
            for (place, call), outcome in zip(fresh.values(), outcomes, strict=True):
                answers[place] = self._settle(handler, call, items[place].asked, outcome)
        return [
            answers[place] if place in answers else self._decide(item, connection)
            for place, item in enumerate(items)
        ]

    def _call(self, item: _Item, connection: sa.Connection, now: int, wall_ms: int) -> Call:
        return Call(connection, item.asked.caller, now, wall_ms, item.ahead, item.asked.token)

    def _decided_before(self, handler: Handler, call: Call, asked: Asked) -> bytes | RefusedError | None:
        """Return the answer to a request that was decided, or whose caller is not who it was; else None."""
        if asked.caller.role == NEWCOMER_ROLE:
            return None
        no = why_no_longer(
            self._principals.current(call.connection, asked.caller), asked.caller, call.wall_ms
        )
        if no is not None:
            return no
        earlier = self._earlier(handler, call, asked)
        return None if earlier is None else _again(handler, call, asked, earlier)

    def _settle(
        self, handler: Handler, call: Call, asked: Asked, outcome: Reply | SealcastError
    ) -> bytes | RefusedError:
        """Keep a decision, and return its answer."""
        answer: bytes | RefusedError
        if isinstance(outcome, Reply):
            answer, kept = _encoded(handler, outcome)
        elif isinstance(outcome, RefusedError):
            answer, kept = outcome, _Kept(no=problems.problem(outcome.type, outcome.detail))
        else:
            answer = refusal("bad-request", str(outcome))
            kept = _Kept(no=problems.problem("bad-request", str(outcome)))
        if asked.caller.role != NEWCOMER_ROLE:
            self._keep(handler, call, asked, kept)
        return answer

    def _earlier(self, handler: Handler, call: Call, asked: Asked) -> tuple[bytes, _Kept] | None:
        """Return the digest of an earlier request of that id, and what was decided."""
        if not handler.operation.is_remembered:
            if handler.repeat is None:
                return None
            return self._recent.find(asked.caller.id, asked.request.jti, call.wall_ms)
        found = store_requests.find(call.connection, asked.caller.id, asked.request.jti)
        return None if found is None else (found.digest, decode(found.decision, _Kept))

    def _keep(self, handler: Handler, call: Call, asked: Asked, kept: _Kept) -> None:
        """Keep a decision: in the database, or where doing it twice does the same for a while in memory."""
        if handler.operation.is_remembered:
            decided = Decided(asked.digest, encode(kept))
            store_requests.remember(
                call.connection, asked.caller.id, asked.request.jti, decided, call.wall_ms
            )
            self._prune(call)
        elif handler.repeat is not None:
            self._recent.keep(asked.caller.id, asked.request.jti, asked.digest, kept)

    def _prune(self, call: Call) -> None:
        """Forget old requests now and then, a bounded number at a time."""
        if not self._prune_at_ms - PRUNE_EVERY_MS <= call.wall_ms < self._prune_at_ms:
            self._prune_at_ms = call.wall_ms + PRUNE_EVERY_MS
            store_requests.prune(call.connection, call.wall_ms - REMEMBERED_MS)

    def _headers(self, caller: Principal | None) -> dict[str, str]:
        """Return a fresh nonce, and for a certified caller how long its certificate is still good for."""
        headers = self.nonce_headers()
        if caller is not None and caller.standing is not None:
            remaining_ms = max(0, caller.standing.expires_at_ms - self._wall_ms())
            headers[problems.HEADER_CERTIFICATE] = str(remaining_ms // 1_000)
        return headers

    def _wall_ms(self) -> int:
        return self._clock.wall_ns() // NS_PER_MS


def _encoded(handler: Handler, reply: Reply) -> tuple[bytes, _Kept]:
    """Return the answer's JSON and what is kept of it: never a key."""
    answer = encode(reply.answer)
    if handler.operation.sealed:
        return answer, _Kept(epochs=list(reply.epochs))
    return answer, _Kept(answer=msgspec.Raw(answer))


def _again(handler: Handler, call: Call, asked: Asked, earlier: tuple[bytes, _Kept]) -> bytes | RefusedError:
    """Return the earlier decision once more; the refusal `jti-reused` if the request is another."""
    digest, kept = earlier
    if digest != asked.digest:
        return refusal("jti-reused", "this jti was used for another request; take a new one")
    if kept.no is not None:
        return refusal(problems.problem_name(kept.no.type), kept.no.detail)
    if handler.repeat is None:
        return bytes(kept.answer)
    try:
        return encode(handler.repeat(call, asked.request, tuple(Epoch(e) for e in kept.epochs)).answer)
    except RefusedError as no:
        return no
