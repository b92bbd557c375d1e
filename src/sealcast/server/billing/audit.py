"""Owns the audit: what bills rest on is verified again, one bounded piece after another.

| piece      | what is verified                                                                            |
|------------|---------------------------------------------------------------------------------------------|
| grants     | its epoch was leased and published; its device was subscribed then, and below its fence     |
| evidence   | the signature under the device's key, for that channel; its epochs were granted             |
| erasures   | the statement's signature and digest; it names each key that counts as destroyed            |
| air        | the parts on record of an epoch add up to the totals that its senders reported              |
| invoices   | SHA-256, numbers without a gap, lines and sums as in the tables, the ledger's entry         |
| statements | SHA-256, numbers without a gap                                                              |
| ledger     | the postings of each entry add up to nothing                                                |
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import sqlalchemy as sa

from sealcast.keyserver.values import refusal
from sealcast.messages.charging import AuditAnswer, Finding
from sealcast.messages.jwk import Jwk

FINDINGS_MAX = 200
"""Told of one piece: they fit into a message, and whoever has so many has one cause."""

PLACE_CHARS_MAX = 400
"""Of `after`: a longer text is not ours."""

NUMBER_DIGITS_MAX = 18
"""Of a row's number: what SQLite takes."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit reads: the database, whose operator it is, and the keys that devices sign with."""

    connection: sa.Connection
    operator: str
    signing_keys: Callable[[sa.Connection, str], tuple[Jwk, ...]]


@dataclass(slots=True)
class Piece:
    """What came of one piece: how much was checked of what, what is wrong, where the next begins, if any."""

    checked: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    next: str | None = None

    def count(self, kind: str, count: int = 1) -> None:
        """Note that so many things of a kind were checked."""
        self.checked[kind] = self.checked.get(kind, 0) + count

    def find(self, kind: str, subject: str, detail: str) -> None:
        """Note that something is not as it has to be."""
        self.findings.append(Finding(kind=kind, subject=subject, detail=detail))


Check = Callable[[Audited, str], Piece]


def audit_piece(audited: Audited, checks: dict[str, Check], after: str) -> AuditAnswer:
    """Verify the next piece behind a place, '' for the first; raises a refusal for a place that is none."""
    names = list(checks)
    name, _, place = after.partition(" ")
    name = name or names[0]
    if name not in checks or len(after) > PLACE_CHARS_MAX:
        raise refusal("bad-request", "after is not what an answer gave as next")
    piece = checks[name](audited, place)
    following = names[names.index(name) + 1 :]
    behind = following[0] if following else None
    next_ = behind if piece.next is None else f"{name} {piece.next}"
    told = piece.findings[:FINDINGS_MAX]
    if len(piece.findings) > len(told):
        more = f"{len(piece.findings) - len(told)} more of the same"
        told.append(Finding(kind=told[-1].kind, subject="", detail=more))
    return AuditAnswer(checked=piece.checked, findings=told, next=next_)


def number_in(place: str) -> int:
    """Return the number that a place is, 0 for the beginning; raises a refusal for what is none."""
    if place and not (place.isascii() and place.isdigit() and len(place) <= NUMBER_DIGITS_MAX):
        raise refusal("bad-request", "after is not what an answer gave as next")
    return int(place or "0")
