"""Decides on erasure statements: reads what a device signed, and judges it by the facts on record.

```
token ─► read ─► Statement, or what is wrong with it ─┐
         records of withdrawals ──────────────────────┴─► judge ─► valid | repeat | an offence
```
An offence is `bad` (no statement of this withdrawal), `foreign` (another device's, or operator's), `stale`
(of a withdrawal that a later one replaced) or `replayed` (sent before, and the device has come back since).
"""

from dataclasses import dataclass
from typing import Literal

from sealcast.core.errors import FormatError, RemoteError
from sealcast.core.ids import KeyId
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.jwk import Jwk
from sealcast.messages.subscribing import ALL_CHANNELS, ErasureStatement, OffenceKind

INDEX_MAX = (1 << 48) - 1
"""The highest SRTP packet index (RFC 3711 §3.3.1)."""

DETAIL_CHARS_MAX = 200
"""A line in a list of offenders."""

CHANNEL_DIGITS_MAX = 10
"""Digits of a u32."""


@dataclass(frozen=True, slots=True)
class StatementRead:
    """A token as far as it could be believed: the statement, or the kind of what is wrong and its line."""

    statement: ErasureStatement | None
    erased: frozenset[KeyId] = frozenset()
    fault: OffenceKind = "bad"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A withdrawal on record: begun with a nonce and a counter, open until a statement closed it."""

    number: int
    device: str
    scope: str
    counter: int
    is_superseded: bool
    is_closed: bool
    receipt: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What a statement is judged by.

    `same` is the withdrawal of this device that this very token closed, `began` the one that its nonce was
    given for, whoever's it is. `is_back` says that the device has subscribed anew since `same` was closed.
    """

    operator: str
    device: str
    read: StatementRead
    same: Withdrawal | None
    began: Withdrawal | None
    is_back: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a statement; `detail` says in a few words what is wrong with an offence."""

    kind: Literal["valid", "repeat"] | OffenceKind
    detail: str = ""


def read_statement(token: str, device: str, signing: Jwk) -> StatementRead:
    """Verify a token under the signing key of the device that sent it, and read it; raises nothing."""
    try:
        named = jose.peek(token).kid
        if named != device:
            return StatementRead(None, fault="foreign", detail="it is signed in another's name")
        statement = decode(jose.verify(token, signing, typ=jose.TYP_ERASURE), ErasureStatement)
        erased = frozenset(KeyId.parse(text) for text in statement.erased)
        _check_content(statement, erased)
    except RemoteError as error:
        return StatementRead(None, detail=_line(str(error)))
    return StatementRead(statement, erased)


def judge(facts: Facts) -> Verdict:
    """Return what a statement is worth. It is closed by the first rule that speaks.

    1. the very token that closed a withdrawal: the same receipt again, unless the device has come back;
    2. not signed by the device, or not a statement; in another's name; for another operator;
    3. a nonce that was given to nobody, or to another device;
    4. a nonce that was used, or that a later withdrawal replaced;
    5. another counter or scope than the nonce was given for.
    """
    statement = facts.read.statement
    if facts.same is not None and facts.is_back:
        return Verdict("replayed", "it has closed an earlier subscription")
    if facts.same is not None:
        return Verdict("repeat")
    if statement is None:
        return Verdict(facts.read.fault, facts.read.detail)
    if (statement.operator, statement.device) != (facts.operator, facts.device):
        return Verdict("foreign", "it is another device's, or for another operator")
    if facts.began is None:
        return Verdict("bad", "its nonce was given to nobody")
    return _judge_withdrawal(statement, facts.began, facts.device)


def _judge_withdrawal(statement: ErasureStatement, began: Withdrawal, device: str) -> Verdict:
    """Judge a statement of `device` by the withdrawal that its nonce belongs to."""
    if began.device != device:
        return Verdict("foreign", "its nonce was given to another device")
    if began.is_closed:
        return Verdict("replayed", "its nonce was used for another statement")
    if began.is_superseded:
        return Verdict("stale", "a later withdrawal took its place")
    if statement.counter != began.counter:
        kind: OffenceKind = "stale" if statement.counter < began.counter else "bad"
        return Verdict(kind, f"its counter is not {began.counter}")
    if statement.scope != began.scope:
        return Verdict("bad", "it is for other channels than were to be withdrawn from")
    return Verdict("valid")


def _check_content(statement: ErasureStatement, erased: frozenset[KeyId]) -> None:
    """Check that a statement says nothing beyond its scope; raises FormatError."""
    scope = statement.scope
    is_all = scope == ALL_CHANNELS
    if not is_all and not _is_number(scope):
        raise FormatError("its scope is neither a channel's number nor all")
    if statement.kek_erased != is_all:
        raise FormatError("the KEK goes with the last channel, and only then")
    if not is_all and any(key_id.channel != int(scope) for key_id in erased):
        raise FormatError("it names keys of other channels than its own")
    for channel, index in statement.last_index.items():
        if not _is_number(channel) or (not is_all and channel != scope) or not 0 <= index <= INDEX_MAX:
            raise FormatError("its packet indices are none, or of other channels")


def _line(text: str) -> str:
    """Return what is wrong as one short line that is safe to print: parts of it may be the device's."""
    return "".join(char if char.isprintable() else " " for char in text)[:DETAIL_CHARS_MAX]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= CHANNEL_DIGITS_MAX and text == str(int(text))
