"""Owns what an operation is given and what it gives back: the caller, the transaction and the time."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import SealcastError
from sealcast.core.ids import Epoch
from sealcast.keyserver.store_certificates import Standing
from sealcast.messages.jwk import Jwk
from sealcast.messages.operation import Operation
from sealcast.storage import audit


@dataclass(frozen=True, slots=True)
class Principal:
    """A party that may call: `signing` verifies its requests, `kek` is what answers are sealed to.

    `standing` is that of its certificates; None for a party that is not certified.
    """

    id: str
    role: str
    signing: Jwk
    kek: Jwk
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request in its transaction; `now` is monotonic ns, `wall_ms` the wall clock.

    `ahead` is what the handler's `ahead` brought, if it has one; `token` the request as it was signed.
    """

    connection: sa.Connection
    caller: Principal
    now: int
    wall_ms: int
    ahead: msgspec.Struct | None = None
    token: bytes = b""

    def record(self, what: str, subject: str) -> None:
        """Add what the caller did to the audit table."""
        audit.append(self.connection, audit.AuditRow(self.wall_ms, self.caller.id, what, subject))


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, maybe in JSON already, and the epochs whose keys it holds: of these a repeat is answered."""

    answer: msgspec.Struct | msgspec.Raw
    epochs: tuple[Epoch, ...] = ()


@dataclass(frozen=True, slots=True)
class Handler:
    """How one operation is carried out; both functions take the decoded request.

    `repeat` answers a request that was decided before, where the answer holds keys and is not kept: it is
    given the epochs of the first answer and records nothing.

    `ahead` asks other servers, before the transaction begins and again for a repeat: what it has them do may
    be done twice. It raises RefusedError for a no.

    `together` carries out many requests at once, where that is cheaper: for each what `carry_out` returns or
    raises. Another error, which it raises itself, undoes them all.
    """

    operation: Operation
    carry_out: Callable[[Call, Any], Reply]
    repeat: Callable[[Call, Any, tuple[Epoch, ...]], Reply] | None = None
    ahead: Callable[[Principal, Any], Awaitable[msgspec.Struct]] | None = None
    together: Callable[[Sequence[tuple[Call, Any]]], Sequence[Reply | SealcastError]] | None = None
