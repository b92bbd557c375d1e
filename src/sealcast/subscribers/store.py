"""Owns the allow list: which device may have the keys of which channel, since when and until when."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber
from sealcast.storage.direct import Direct
from sealcast.storage.manyrows import finding
from sealcast.storage.upsert import insert
from sealcast.subscribers.tables import subscriptions

REMOVED = "removed"
"""How a subscription ended, in `subscriptions.ended_by`, that an operator ended on its channel."""

_LIVE = subscriptions.c.removed_at_ms.is_(None)
_IS_LISTED = Direct(
    sa.select(sa.literal(1)).where(
        subscriptions.c.channel == sa.bindparam("channel_number"),
        subscriptions.c.device == sa.bindparam("device_id"),
        _LIVE,
    )
)
_LISTED = finding((subscriptions.c.channel, subscriptions.c.device), _LIVE)
_ADD = (
    insert(subscriptions)
    .on_conflict_do_nothing(
        index_elements=[subscriptions.c.channel, subscriptions.c.device], index_where=_LIVE
    )
    .execution_options(preserve_rowcount=True)
)
"""The database itself keeps a device from standing on a list twice, whoever asks at the same time."""

_REMOVE = (
    subscriptions.update()
    .where(
        subscriptions.c.channel == sa.bindparam("channel_number"),
        subscriptions.c.device == sa.bindparam("device_id"),
        _LIVE,
    )
    .values(
        removed_at_ms=sa.bindparam("now_ms"),
        ended_by=sa.bindparam("reason"),
        fence_epoch=sa.bindparam("fence"),
    )
)
_REMOVE_ALL = (
    subscriptions.update()
    .where(subscriptions.c.channel == sa.bindparam("channel_number"), _LIVE)
    .values(removed_at_ms=sa.bindparam("now_ms"), ended_by="channel-removed")
)
_PAGE = (
    sa.select(
        subscriptions.c.channel,
        subscriptions.c.device,
        subscriptions.c.added_at_ms,
        subscriptions.c.user,
        subscriptions.c.kek,
    )
    .where(
        _LIVE,
        sa.tuple_(subscriptions.c.channel, subscriptions.c.device)
        > sa.tuple_(sa.bindparam("channel_number"), sa.bindparam("device_id")),
    )
    .order_by(subscriptions.c.channel, subscriptions.c.device)
    .limit(sa.bindparam("count"))
)
_PAGE_OF_CHANNEL = _PAGE.where(subscriptions.c.channel == sa.bindparam("channel_number"))
_LAST_END = (
    sa.select(subscriptions.c.ended_by, subscriptions.c.removed_at_ms)
    .where(
        subscriptions.c.device == sa.bindparam("device_id"),
        subscriptions.c.channel == sa.bindparam("channel_number"),
    )
    .order_by(subscriptions.c.id.desc())
    .limit(1)
)
_COUNT = (
    sa.select(sa.func.count())
    .select_from(subscriptions)
    .where(_LIVE, subscriptions.c.channel == sa.bindparam("channel_number"))
)


Place = tuple[int, str]
"""Where a page begins: behind this channel and device. Channels count from 1."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A device on a channel's allow list, since `added_at_ms`; `kek` names its KEK (`kek_reference`)."""

    channel: ChannelNumber
    device: str
    added_at_ms: int
    user: str = ""
    kek: str = ""


def is_listed(connection: sa.Connection, channel: ChannelNumber, device: str) -> bool:
    """Return whether a device is on the allow list of a channel."""
    return _IS_LISTED.first(connection, {"channel_number": channel, "device_id": device}) is not None


def listed(
    connection: sa.Connection, pairs: Sequence[tuple[ChannelNumber, str]]
) -> set[tuple[ChannelNumber, str]]:
    """Return those of `pairs` of channel and device that are on the channel's allow list."""
    return set(_LISTED.all(connection, pairs))


def add(connection: sa.Connection, subscription: Subscription) -> bool:
    """Put a device on the list; False if it stands there already."""
    inserted = connection.execute(
        _ADD,
        {
            "channel": subscription.channel,
            "device": subscription.device,
            "added_at_ms": subscription.added_at_ms,
            "user": subscription.user,
            "kek": subscription.kek,
        },
    )
    return inserted.rowcount > 0


def remove(
    connection: sa.Connection,
    channel: ChannelNumber,
    device: str,
    now_ms: int,
    *,
    ended_by: str,
    fence_epoch: int,
) -> bool:
    """End a device's subscription; False if it has none. `fence_epoch` is the first that it cannot have."""
    parameters = {"channel_number": channel, "device_id": device, "now_ms": now_ms}
    ended = connection.execute(_REMOVE, {**parameters, "reason": ended_by, "fence": fence_epoch})
    return ended.rowcount > 0


def was_removed(connection: sa.Connection, channel: ChannelNumber, device: str, since_ms: int) -> bool:
    """Return whether the last of a device on a channel is that an operator took it off, since `since_ms`."""
    found = connection.execute(_LAST_END, {"channel_number": channel, "device_id": device}).first()
    return found is not None and found.ended_by == REMOVED and found.removed_at_ms >= since_ms


def remove_all(connection: sa.Connection, channel: ChannelNumber, now_ms: int) -> None:
    """End all subscriptions of a channel that is removed."""
    connection.execute(_REMOVE_ALL, {"channel_number": channel, "now_ms": now_ms})


def page(connection: sa.Connection, after: Place, count: int) -> list[Subscription]:
    """Return at most `count` live subscriptions, by channel and device, behind `after`."""
    return _read(connection, _PAGE, after, count)


def page_of_channel(connection: sa.Connection, after: Place, count: int) -> list[Subscription]:
    """Do as `page` for the channel of `after` alone."""
    return _read(connection, _PAGE_OF_CHANNEL, after, count)


def count(connection: sa.Connection, channel: ChannelNumber) -> int:
    """Return how many devices are on the list of a channel."""
    return int(connection.execute(_COUNT, {"channel_number": channel}).scalar_one())


def _read(connection: sa.Connection, query: sa.Select[Any], after: Place, count: int) -> list[Subscription]:
    parameters = {"channel_number": after[0], "device_id": after[1], "count": count}
    rows = connection.execute(query, parameters)
    return [Subscription(ChannelNumber(row.channel), *row[1:]) for row in rows]
