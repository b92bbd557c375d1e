"""Owns the queries on a replica's journal: rows in the order of their commits, until the bus has taken them.

Rows are numbered without gaps. Each start of the replica begins a journal of a new name, so that a database
that was restored from a backup never gives a number of a journal twice to different rows:

```
cluster_journals   name, number: the rows above it are this journal's, up to the number of the next one
cluster_outbox     number, body
```
"""

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from sealcast.cluster.tables import cluster_journals, cluster_outbox
from sealcast.messages.cluster import GrantedRow, JournalBatch, ReceptionRow
from sealcast.storage.direct import Direct

Row = GrantedRow | ReceptionRow

_ADD = Direct(cluster_outbox.insert(), ("body",))
_HIGHEST = sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'cluster_outbox'")
_JOURNALS = sa.select(
    cluster_journals.c.journal, cluster_journals.c.replica, cluster_journals.c.number
).order_by(cluster_journals.c.number, cluster_journals.c.at_ms)
_BEGIN = cluster_journals.insert()
_DROP_JOURNAL = cluster_journals.delete().where(cluster_journals.c.journal == sa.bindparam("called"))
_NEXT = (
    sa.select(cluster_outbox.c.number, cluster_outbox.c.body)
    .order_by(cluster_outbox.c.number)
    .limit(sa.bindparam("count"))
)
_DEPTH = sa.select(sa.func.count()).select_from(cluster_outbox)
_DONE = cluster_outbox.delete().where(cluster_outbox.c.number <= sa.bindparam("last"))
_decoder = msgspec.json.Decoder(Row)


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal: the rows numbered above `after`, up to the next one's."""

    name: str
    replica: str
    after: int


def add(connection: sa.Connection, row: Row) -> None:
    """Put a row into the journal, in the caller's unit of work: about 15 µs."""
    _ADD.change(connection, [{"body": msgspec.json.encode(row)}])


def begin(connection: sa.Connection, name: str, replica: str, now_ms: int) -> None:
    """Begin the journal of a run; earlier ones of which no row is left are forgotten."""
    highest = int(connection.execute(_HIGHEST).scalar() or 0)
    waiting = connection.execute(_NEXT, {"count": 1}).first()
    lowest = highest + 1 if waiting is None else waiting.number
    known = journals(connection)
    ends = [*(journal.after for journal in known[1:]), highest]
    for journal, last in zip(known, ends, strict=False):
        if last < lowest or last == journal.after:
            connection.execute(_DROP_JOURNAL, {"called": journal.name})
    row = {"journal": name, "replica": replica, "number": highest, "at_ms": now_ms}
    connection.execute(_BEGIN, row)


def journals(connection: sa.Connection) -> list[Journal]:
    """Return the journals of which rows may wait, the oldest first."""
    return [Journal(row.journal, row.replica, row.number) for row in connection.execute(_JOURNALS)]


def batch(connection: sa.Connection, rows_max: int, bytes_max: int) -> JournalBatch | None:
    """Return the first rows that wait, of one journal; None if there are none."""
    found = list(connection.execute(_NEXT, {"count": rows_max}))
    if not found:
        return None
    first = found[0].number
    known = journals(connection)
    at = max(index for index, journal in enumerate(known) if journal.after < first)
    last = known[at + 1].after if at + 1 < len(known) else first + rows_max
    rows: list[Row] = []
    room = bytes_max
    for row in found:
        room -= len(row.body) + 1
        if row.number != first + len(rows) or row.number > last or (rows and room < 0):
            break
        rows.append(_decoder.decode(row.body))
    return JournalBatch(replica=known[at].replica, journal=known[at].name, first=first, rows=rows)


def done(connection: sa.Connection, last: int) -> None:
    """Forget the rows up to `last`: the bus has taken them."""
    connection.execute(_DONE, {"last": last})


def depth(connection: sa.Connection) -> int:
    """Return how many rows wait."""
    return int(connection.execute(_DEPTH).scalar_one())
