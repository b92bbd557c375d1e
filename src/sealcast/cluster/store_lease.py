"""Owns the queries on the lease: who is master, and that whoever writes still is.

On PostgreSQL instants are by the database's clock, and a transaction that checked the term holds back those
who would take the lease until it ends. SQLite has one master's process, and the wall clock that is given.
"""

import sqlalchemy as sa

from sealcast.cluster import store_standby
from sealcast.cluster.lease import Lease, next_version
from sealcast.cluster.tables import cluster_lease
from sealcast.core.errors import FencedError
from sealcast.storage.direct import Direct
from sealcast.storage.upsert import insert

ROW = 1
"""The lease's only row."""

_MADE = insert(cluster_lease).on_conflict_do_nothing(index_elements=[cluster_lease.c.id])
_ONE = cluster_lease.c.id == ROW
_READ = sa.select(cluster_lease).where(_ONE)
_LOCK = _READ.with_for_update()
_TERM = sa.select(cluster_lease.c.term).where(_ONE)
_CHECK = Direct(_TERM.with_for_update(read=True))
_VERSION = sa.select(cluster_lease.c.version).where(_ONE)
_TAKE = (
    cluster_lease.update()
    .where(_ONE)
    .values(
        term=cluster_lease.c.term + 1,
        holder=sa.bindparam("name"),
        urls=sa.bindparam("addresses"),
        expires_at_ms=sa.bindparam("until_ms"),
    )
)
_OURS = sa.and_(_ONE, cluster_lease.c.term == sa.bindparam("ours"))
_RENEW = (
    cluster_lease.update()
    .where(_OURS)
    .values(expires_at_ms=sa.bindparam("until_ms"), urls=sa.bindparam("addresses"))
)
_GIVE_UP = cluster_lease.update().where(_OURS).values(expires_at_ms=0)
_RAISE = (
    cluster_lease.update()
    .where(_OURS)
    .values(version=sa.bindparam("raised"), whole_to=sa.bindparam("sequence"))
)
_CLOCK = sa.text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


def read(connection: sa.Connection) -> Lease | None:
    """Return the lease as it stands, None before there was any master."""
    row = connection.execute(_READ).one_or_none()
    return None if row is None else _lease(row)


def now_ms(connection: sa.Connection, wall_ms: int) -> int:
    """Return what time it is by the clock that leases go by: the database's, or `wall_ms` on SQLite."""
    if connection.dialect.name != "postgresql":
        return wall_ms
    return int(connection.execute(_CLOCK).scalar_one())


def take(
    connection: sa.Connection,
    name: str,
    urls: tuple[str, ...],
    lease_ms: int,
    wall_ms: int,
    *,
    reaches_bus: bool,
) -> Lease | None:
    """Take the lease if it is free, with the next term; None if another holds it.

    Nor does a server take it that does not reach the bus, while another stands by that does.
    """
    known, now = read(connection), now_ms(connection, wall_ms)
    if known is not None and not known.is_free_for(name, now):
        return None
    if not reaches_bus and store_standby.others(connection, name, now, lease_ms):
        return None
    if known is None:
        empty = {
            "id": ROW,
            "term": 0,
            "version": 0,
            "holder": "",
            "urls": "",
            "expires_at_ms": 0,
            "whole_to": 0,
        }
        connection.execute(_MADE, empty)
    row = _lease(connection.execute(_LOCK).one())
    now = now_ms(connection, wall_ms)
    if not row.is_free_for(name, now):
        return None
    store_standby.forget(connection, name)
    connection.execute(_TAKE, {"name": name, "addresses": " ".join(urls), "until_ms": now + lease_ms})
    return read(connection)


def check(connection: sa.Connection, term: int) -> None:
    """Raise FencedError unless the term is ours still; it stays so until this transaction ends."""
    row = _CHECK.first(connection, {})
    if row is None or row[0] != term:
        raise FencedError("another master has taken over: this one writes nothing any more")


def renew(connection: sa.Connection, term: int, urls: tuple[str, ...], lease_ms: int, wall_ms: int) -> None:
    """Hold the lease for `lease_ms` more; raises FencedError if another has taken it."""
    until_ms = now_ms(connection, wall_ms) + lease_ms
    changed = connection.execute(_RENEW, {"ours": term, "addresses": " ".join(urls), "until_ms": until_ms})
    if changed.rowcount == 0:
        raise FencedError("another master has taken over: the lease is not renewed")


def give_up(connection: sa.Connection, term: int) -> None:
    """Let anybody take the lease at once, if it is ours."""
    connection.execute(_GIVE_UP, {"ours": term})


def yield_to_another(connection: sa.Connection, term: int, name: str, lease_ms: int, wall_ms: int) -> bool:
    """Give the lease up if another server stands by and reaches the bus; return whether that was so."""
    if not store_standby.others(connection, name, now_ms(connection, wall_ms), lease_ms):
        return False
    give_up(connection, term)
    return True


def raise_version(connection: sa.Connection, term: int, wall_ms: int, whole_to: int) -> int:
    """Return the version of a round of publication; raises FencedError if the term is not ours.

    `whole_to` is the sequence up to which all that was published stands on the bus, 0 if it does not.
    """
    version = next_version(int(connection.execute(_VERSION).scalar() or 0), wall_ms)
    if connection.execute(_RAISE, {"ours": term, "raised": version, "sequence": whole_to}).rowcount == 0:
        raise FencedError("another master has taken over: this one publishes nothing any more")
    return version


def _lease(row: "sa.Row[tuple[object, ...]]") -> Lease:
    return Lease(row.term, row.version, row.holder, tuple(row.urls.split()), row.expires_at_ms, row.whole_to)
