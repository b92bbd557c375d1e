"""Owns the queries on who stands by: servers that could be master, with when they reached the bus last.

A master that lacks the bus gives the lease up only to one of these, and whoever lacks it leaves the lease to
them. Instants are by the clock that leases go by (`store_lease.now_ms`).
"""

import sqlalchemy as sa

from sealcast.cluster.lease import WORDS
from sealcast.cluster.tables import cluster_standby
from sealcast.storage.upsert import insert

_SAY = insert(cluster_standby)
_SET = _SAY.on_conflict_do_update(
    index_elements=[cluster_standby.c.name], set_={"reached_at_ms": _SAY.excluded.reached_at_ms}
)
_OTHERS = sa.select(cluster_standby.c.name).where(
    cluster_standby.c.name != sa.bindparam("called"),
    cluster_standby.c.reached_at_ms > sa.bindparam("since_ms"),
)
_FORGET = cluster_standby.delete().where(cluster_standby.c.name == sa.bindparam("called"))


def note(connection: sa.Connection, name: str, now_ms: int) -> None:
    """Note that the server of that name stands by and reached the bus just now."""
    connection.execute(_SET, {"name": name, "reached_at_ms": now_ms})


def others(connection: sa.Connection, name: str, now_ms: int, lease_ms: int) -> bool:
    """Whether a server of another name has said within `lease_ms` / WORDS that it reaches the bus."""
    since_ms = now_ms - lease_ms // WORDS
    return connection.execute(_OTHERS, {"called": name, "since_ms": since_ms}).first() is not None


def forget(connection: sa.Connection, name: str) -> None:
    """Forget that a server stands by: it is master now."""
    connection.execute(_FORGET, {"called": name})
