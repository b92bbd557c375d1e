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


def append(connection: sa.Connection, row: AuditRow) -> None:
    """Add one row, in the caller's transaction: it stands if and only if the deed does."""
    connection.execute(
        _APPEND, {"at_ms": row.at_ms, "who": row.who, "what": row.what, "subject": row.subject}
    )


def latest(connection: sa.Connection, count: int) -> list[AuditRow]:
    """Return the last `count` rows, newest first."""
    rows = connection.execute(_LATEST, {"count": count})
    return [AuditRow(row.at_ms, row.who, row.what, row.subject) for row in rows]
