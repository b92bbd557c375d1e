"""Owns the messages about the audit log: who did what to whom, and when."""

import msgspec

from sealcast.messages.requests import Request

AUDIT_PAGE_MAX = 1_000
"""Rows asked for at once; an answer may hold fewer."""


class AuditListRequest(Request, frozen=True, kw_only=True):
    """Operator: rows of the audit log, the newest first, or with `after` the oldest of those behind it.

    `before` and `after` are numbers of rows. `who` is a party's id, `what` the beginning of a deed's name,
    `subject` a word of what it was done to.
    """

    before: int | None = None
    after: int | None = None
    who: str | None = None
    what: str | None = None
    subject: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    limit: int = 100


class AuditLogRow(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, by the key server's clock."""

    number: int
    at: str
    who: str
    what: str
    subject: str


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit log; `more` if the log has more of them."""

    rows: list[AuditLogRow]
    more: bool = False
