"""Owns the queries on evidence: requests for keys as devices signed them."""

from collections.abc import Iterable

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver.tables import evidence

PRUNED_AT_ONCE_MAX = 2_000
"""Old requests dropped in one go: a few ms, so that nobody waits for the broom."""

_KEEP = evidence.insert()
_OLD = (
    sa.select(evidence.c.number)
    .where(evidence.c.asked_at_ms < sa.bindparam("before_ms"))
    .limit(PRUNED_AT_ONCE_MAX)
)
_PRUNE = evidence.delete().where(evidence.c.number.in_(_OLD))


def keep(
    connection: sa.Connection,
    device: str,
    channel: ChannelNumber,
    epochs: Iterable[Epoch],
    *,
    token: str,
    now_ms: int,
) -> None:
    """Keep the request by which a device was granted the keys of `epochs`."""
    row = {
        "device": device,
        "channel": channel,
        "epochs": " ".join(str(epoch) for epoch in sorted(epochs)),
        "token": token,
        "asked_at_ms": now_ms,
    }
    connection.execute(_KEEP, row)


def prune(connection: sa.Connection, before_ms: int) -> int:
    """Drop requests older than `before_ms`, at most `PRUNED_AT_ONCE_MAX`; return how many."""
    return connection.execute(_PRUNE, {"before_ms": before_ms}).rowcount
