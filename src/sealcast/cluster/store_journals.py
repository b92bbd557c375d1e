"""Owns the queries on how far each replica's journal is in the database, and on rows kept aside."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.cluster.tables import cluster_aside, cluster_journals
from sealcast.storage.direct import Direct
from sealcast.storage.upsert import insert

_NUMBER = Direct(
    sa.select(cluster_journals.c.number).where(cluster_journals.c.journal == sa.bindparam("wanted"))
)
_NEW = insert(cluster_journals)
_RAISE = Direct(
    _NEW.on_conflict_do_update(
        index_elements=[cluster_journals.c.journal],
        set_={"number": _NEW.excluded.number, "at_ms": _NEW.excluded.at_ms},
    ),
    ("journal", "replica", "number", "at_ms"),
)
_ASIDE = insert(cluster_aside).on_conflict_do_nothing(
    index_elements=[cluster_aside.c.journal, cluster_aside.c.number]
)
_COUNT_ASIDE = sa.select(sa.func.count()).select_from(cluster_aside)
_JOURNALS = sa.select(cluster_journals).order_by(cluster_journals.c.replica, cluster_journals.c.journal)


@dataclass(frozen=True, slots=True)
class Aside:
    """A row of a journal that could not be recorded, and why; `body` is its JSON."""

    number: int
    body: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Journal:
    """How far a journal is in the database: its rows up to `number`, the last of them at `at_ms`."""

    journal: str
    replica: str
    number: int
    at_ms: int


def number(connection: sa.Connection, journal: str) -> int | None:
    """Return the number of the last row of a journal that is in the database; None if none is."""
    row = _NUMBER.first(connection, {"wanted": journal})
    return None if row is None else int(row[0])


def raise_number(connection: sa.Connection, journal: Journal) -> None:
    """Note how far a journal is in the database."""
    row = {"journal": journal.journal, "replica": journal.replica, "number": journal.number}
    _RAISE.change(connection, [{**row, "at_ms": journal.at_ms}])


def put_aside(
    connection: sa.Connection, journal: str, replica: str, rows: Sequence[Aside], now_ms: int
) -> None:
    """Keep rows that could not be recorded."""
    values = [
        {
            "journal": journal,
            "number": each.number,
            "replica": replica,
            "body": each.body,
            "reason": each.reason,
            "at_ms": now_ms,
        }
        for each in rows
    ]
    if values:
        connection.execute(_ASIDE, values)


def count_aside(connection: sa.Connection) -> int:
    """Return how many rows are kept aside."""
    return int(connection.execute(_COUNT_ASIDE).scalar_one())


def journals(connection: sa.Connection) -> list[Journal]:
    """Return all journals that brought anything, by replica."""
    return [Journal(*row) for row in connection.execute(_JOURNALS)]
