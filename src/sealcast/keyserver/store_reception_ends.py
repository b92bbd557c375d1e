"""Owns the queries on the outbox of receptions that ended here, for a reception manager that stands apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.keyserver.tables import reception_ends
from sealcast.messages.subscribing import EndRow

KEPT_MS = 24 * 3_600_000
"""How long a row stays after it was acknowledged, for whoever looks into a quarrel."""

PRUNED_AT_ONCE_MAX = 1_000

_ADD = reception_ends.insert()
_WAITING = (
    sa.select(
        reception_ends.c.number, reception_ends.c.device, reception_ends.c.channel, reception_ends.c.reason
    )
    .where(reception_ends.c.done_at_ms.is_(None))
    .order_by(reception_ends.c.number)
    .limit(sa.bindparam("count"))
)
_IS_WAITING = (
    sa.select(sa.literal(1))
    .where(
        reception_ends.c.done_at_ms.is_(None),
        reception_ends.c.device == sa.bindparam("whose"),
        reception_ends.c.channel == sa.bindparam("of_channel"),
        reception_ends.c.reason == sa.bindparam("why"),
    )
    .limit(1)
)
_DONE = (
    reception_ends.update()
    .where(reception_ends.c.number == sa.bindparam("wanted"))
    .values(done_at_ms=sa.bindparam("now_ms"))
)
_OLD = (
    sa.select(reception_ends.c.number)
    .where(reception_ends.c.done_at_ms < sa.bindparam("before_ms"))
    .limit(PRUNED_AT_ONCE_MAX)
)
_PRUNE = reception_ends.delete().where(reception_ends.c.number.in_(_OLD))


@dataclass(frozen=True, slots=True)
class Waiting:
    """An end that the reception manager has not acknowledged."""

    number: int
    end: EndRow


def add(connection: sa.Connection, ends: Sequence[EndRow], now_ms: int) -> None:
    """Note ends that are to be told."""
    rows = [
        {"device": end.device, "channel": end.channel, "reason": end.reason, "at_ms": now_ms} for end in ends
    ]
    if rows:
        connection.execute(_ADD, rows)


def waiting(connection: sa.Connection, count: int) -> list[Waiting]:
    """Return the first ends that are to be told, in the order in which they came."""
    rows = connection.execute(_WAITING, {"count": count})
    return [
        Waiting(row.number, EndRow(device=row.device, channel=row.channel, reason=row.reason)) for row in rows
    ]


def is_waiting(connection: sa.Connection, end: EndRow) -> bool:
    """Return whether the same end of a device on a channel is to be told already."""
    fields = {"whose": end.device, "of_channel": end.channel, "why": end.reason}
    return connection.execute(_IS_WAITING, fields).first() is not None


def done(connection: sa.Connection, told: Sequence[Waiting], now_ms: int) -> None:
    """Note that ends were acknowledged, and forget some of those that were long ago."""
    if told:
        connection.execute(_DONE, [{"wanted": each.number, "now_ms": now_ms} for each in told])
    connection.execute(_PRUNE, {"before_ms": now_ms - KEPT_MS})
