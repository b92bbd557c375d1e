"""Owns the queries on fences: those that senders have not reached yet, and what a device was granted."""

from collections.abc import Iterable

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver.tables import fences, grants
from sealcast.keyserver.values import Fence

_AHEAD = sa.and_(fences.c.channel == sa.bindparam("wanted"), fences.c.reached_at_ms.is_(None))
_UNREACHED = (
    sa.select(fences.c.epoch, fences.c.is_urgent, fences.c.window_ms, fences.c.is_commanded)
    .where(_AHEAD)
    .order_by(fences.c.number)
)
_ADD = fences.insert()
_REACH = (
    fences.update()
    .where(_AHEAD, fences.c.epoch <= sa.bindparam("on_air"))
    .values(reached_at_ms=sa.bindparam("now_ms"))
)
_HURRY = fences.update().where(_AHEAD).values(is_urgent=True)
_CHAINS = (
    sa.select(grants.c.until_epoch)
    .where(
        grants.c.device == sa.bindparam("holder"),
        grants.c.channel == sa.bindparam("wanted"),
        grants.c.until_epoch.in_(sa.bindparam("ends", expanding=True)),
    )
    .distinct()
)
_HIGHEST_GRANTED = sa.select(sa.func.max(grants.c.epoch)).where(
    grants.c.device == sa.bindparam("holder"), grants.c.channel == sa.bindparam("wanted")
)


def unreached(connection: sa.Connection, channel: ChannelNumber) -> tuple[Fence, ...]:
    """Return the fences ahead of what is on air, the oldest first."""
    rows = connection.execute(_UNREACHED, {"wanted": channel})
    return tuple(Fence(Epoch(row.epoch), row.is_urgent, row.window_ms, row.is_commanded) for row in rows)


def add(connection: sa.Connection, channel: ChannelNumber, fence: Fence, now_ms: int) -> None:
    """Set a fence."""
    connection.execute(
        _ADD,
        {
            "channel": channel,
            "epoch": fence.epoch,
            "is_urgent": fence.is_urgent,
            "window_ms": fence.window_ms,
            "is_commanded": fence.is_commanded,
            "set_at_ms": now_ms,
        },
    )


def reach(connection: sa.Connection, channel: ChannelNumber, epoch: Epoch, now_ms: int) -> None:
    """Note that `epoch` is on air: fences up to it are behind."""
    connection.execute(_REACH, {"wanted": channel, "on_air": epoch, "now_ms": now_ms})


def hurry(connection: sa.Connection, channel: ChannelNumber) -> None:
    """Make the fences urgent that are not reached."""
    connection.execute(_HURRY, {"wanted": channel})


def chains_of(
    connection: sa.Connection, device: str, channel: ChannelNumber, ends: Iterable[Epoch]
) -> frozenset[Epoch]:
    """Return those chains, named by their next fresh start, of which a device was given any key."""
    wanted = sorted(set(ends))
    if not wanted:
        return frozenset()
    asked = {"holder": device, "wanted": channel, "ends": wanted}
    return frozenset(Epoch(end) for end in connection.execute(_CHAINS, asked).scalars())


def highest_granted(connection: sa.Connection, device: str, channel: ChannelNumber) -> int | None:
    """Return the highest epoch of a channel of which a device was given the key."""
    return connection.execute(_HIGHEST_GRANTED, {"holder": device, "wanted": channel}).scalar()
