"""Owns the queries on what changed since it was published last; the triggers of the schema write it."""

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.cluster.tables import cluster_changes

_HIGHEST = sa.select(sa.func.max(cluster_changes.c.number))
_OLDEST = (
    sa.select(cluster_changes.c.number, cluster_changes.c.name)
    .where(cluster_changes.c.kind == sa.bindparam("wanted"))
    .order_by(cluster_changes.c.number)
    .limit(sa.bindparam("count"))
)
_DONE = cluster_changes.delete().where(cluster_changes.c.number.in_(sa.bindparam("numbers", expanding=True)))
_WAITING = sa.select(sa.func.count()).select_from(cluster_changes)


@dataclass(frozen=True, slots=True)
class Change:
    """Something of that name has changed; `number` is another once it changes again."""

    number: int
    name: str


def highest(connection: sa.Connection) -> int:
    """Return the number of the newest change, 0 if nothing waits; numbers only rise."""
    return int(connection.execute(_HIGHEST).scalar() or 0)


def oldest(connection: sa.Connection, kind: str, count: int) -> list[Change]:
    """Return the oldest changes of that kind, at most `count`."""
    return [Change(*row) for row in connection.execute(_OLDEST, {"wanted": kind, "count": count})]


def done(connection: sa.Connection, numbers: Iterable[int]) -> None:
    """Forget changes that were published; what changed again since has another number, and stays."""
    wanted = list(numbers)
    if wanted:
        connection.execute(_DONE, {"numbers": wanted})


def waiting(connection: sa.Connection) -> int:
    """Count what is to be published."""
    return int(connection.execute(_WAITING).scalar_one())
