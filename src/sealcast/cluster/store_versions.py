"""Owns the queries on which entries a replica has taken over; it takes none that is not newer."""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.cluster.tables import cluster_versions
from sealcast.messages.cluster import EntryBody, Kind
from sealcast.storage.upsert import insert

BEAT_NAME = ""
"""There is one master, so its beat needs no name here."""

_VERSION = sa.select(cluster_versions.c.version).where(
    cluster_versions.c.kind == sa.bindparam("of_kind"), cluster_versions.c.name == sa.bindparam("called")
)
_HIGHEST = sa.select(sa.func.max(cluster_versions.c.version))
_INSERT = insert(cluster_versions)
_SET = _INSERT.on_conflict_do_update(
    index_elements=[cluster_versions.c.kind, cluster_versions.c.name],
    set_={"version": _INSERT.excluded.version, "at_ms": _INSERT.excluded.at_ms},
)


def version_of(connection: sa.Connection, kind: Kind, name: str) -> int:
    """Return the version of the newest entry of that name that was taken over, 0 if there was none."""
    return int(connection.execute(_VERSION, {"of_kind": kind, "called": name}).scalar() or 0)


def highest(connection: sa.Connection) -> int:
    """Return the highest version of all."""
    return int(connection.execute(_HIGHEST).scalar() or 0)


def note(connection: sa.Connection, entries: Sequence[EntryBody]) -> None:
    """Note that entries were taken over, in the unit of work in which they were."""
    rows = [
        {"kind": each.kind, "name": place_of(each)[1], "version": each.version, "at_ms": each.at_ms}
        for each in entries
    ]
    if rows:
        connection.execute(_SET, rows)


def place_of(entry: EntryBody) -> tuple[Kind, str]:
    """Return what an entry is of: the newest of each place counts."""
    return entry.kind, BEAT_NAME if entry.kind == "beat" else entry.name
