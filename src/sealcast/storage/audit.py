"""Owns the audit table: who did what to whom, and when; triggers refuse any change of a row."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.storage.tables import metadata

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)

_APPEND = audit.insert()
_LATEST = sa.select(audit).order_by(audit.c.id.desc()).limit(sa.bindparam("count"))


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One thing that was done; `at_ms` by the key server's wall clock."""

    at_ms: int
    who: str
    what: str
    subject: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: numbers between `after` and `before`, one caller, deeds that begin with `what`, and so on.

    `subject` is a word of what it was done to, between spaces; instants count from `since_ms` to before
    `until_ms`.
    """

    before: int | None = None
    after: int | None = None
    who: str | None = None
    what: str | None = None
    subject: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class NumberedRow:
    """A row with its number, which rises."""

    number: int
    row: AuditRow


def append(connection: sa.Connection, row: AuditRow) -> None:
    """Add one row, in the caller's transaction: it stands if and only if the deed does."""
    connection.execute(
        _APPEND, {"at_ms": row.at_ms, "who": row.who, "what": row.what, "subject": row.subject}
    )


def latest(connection: sa.Connection, count: int) -> list[AuditRow]:
    """Return the last `count` rows, newest first."""
    rows = connection.execute(_LATEST, {"count": count})
    return [AuditRow(row.at_ms, row.who, row.what, row.subject) for row in rows]


def page(connection: sa.Connection, wanted: Wanted, limit: int) -> list[NumberedRow]:
    """Return at most `limit` rows: the newest first, or the oldest first if `wanted.after` is given."""
    order = audit.c.id.desc() if wanted.after is None else audit.c.id
    rows = connection.execute(sa.select(audit).where(*_conditions(wanted)).order_by(order).limit(limit))
    return [NumberedRow(row.id, AuditRow(row.at_ms, row.who, row.what, row.subject)) for row in rows]


def _conditions(wanted: Wanted) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = []
    if wanted.before is not None:
        found.append(audit.c.id < wanted.before)
    if wanted.after is not None:
        found.append(audit.c.id > wanted.after)
    if wanted.who is not None:
        found.append(audit.c.who == wanted.who)
    if wanted.what is not None:
        found.append(audit.c.what.startswith(wanted.what, autoescape=True))
    if wanted.subject is not None:
        words = sa.literal(" ") + audit.c.subject + sa.literal(" ")
        found.append(words.contains(f" {wanted.subject} ", autoescape=True))
    if wanted.since_ms is not None:
        found.append(audit.c.at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        found.append(audit.c.at_ms < wanted.until_ms)
    return found
