"""Owns the queries on channels and their senders."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber
from sealcast.keyserver.tables import channel_senders, channels
from sealcast.messages.channels import ChannelData, channel_data, channel_spec
from sealcast.storage.upsert import new_number

_LIVE = channels.c.removed_at_ms.is_(None)
_SENDERS = sa.select(channel_senders.c.channel, channel_senders.c.sender).order_by(channel_senders.c.sender)
_BY_NAME = sa.select(channels).where(_LIVE, channels.c.name == sa.bindparam("wanted"))
_BY_NUMBER = sa.select(channels).where(_LIVE, channels.c.number == sa.bindparam("wanted"))
_ALL = sa.select(channels).where(_LIVE).order_by(channels.c.name)
_NEXT_EPOCH = sa.select(channels.c.next_epoch).where(channels.c.number == sa.bindparam("wanted"))
_SET_NEXT_EPOCH = (
    channels.update()
    .where(channels.c.number == sa.bindparam("wanted"))
    .values(next_epoch=sa.bindparam("epoch"))
)
_IS_OPEN = sa.select(channels.c.open).where(channels.c.number == sa.bindparam("wanted"))
_SET_OPEN = (
    channels.update().where(channels.c.number == sa.bindparam("wanted")).values(open=sa.bindparam("is_open"))
)
_REMOVE = (
    channels.update()
    .where(channels.c.number == sa.bindparam("wanted"))
    .values(removed_at_ms=sa.bindparam("now_ms"))
)
_REMOVE_SENDER = channel_senders.delete().where(
    channel_senders.c.channel == sa.bindparam("wanted"), channel_senders.c.sender == sa.bindparam("name")
)
_SPEC_FIELDS = tuple(field for field in ChannelData.__struct_fields__)
FIRST_EPOCH = 1
"""Epoch 0 is never given: in requests it stands for "none"."""


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A live channel, and the senders that may lease it (none: nobody may)."""

    spec: ChannelSpec
    senders: tuple[str, ...]


def add(connection: sa.Connection, spec: ChannelSpec, senders: tuple[str, ...], now_ms: int) -> ChannelNumber:
    """Store a new channel and return its number, which no channel ever had or will have."""
    values = {name: getattr(channel_data(spec), name) for name in _SPEC_FIELDS if name != "number"}
    inserted = connection.execute(
        channels.insert(), {**values, "next_epoch": FIRST_EPOCH, "added_at_ms": now_ms}
    )
    number = ChannelNumber(new_number(inserted))
    if senders:
        rows = [{"channel": number, "sender": sender} for sender in senders]
        connection.execute(channel_senders.insert(), rows)
    return number


def add_sender(connection: sa.Connection, number: ChannelNumber, sender: str) -> None:
    """Let a sender lease a channel; it must not stand on its list."""
    connection.execute(channel_senders.insert(), {"channel": number, "sender": sender})


def remove_sender(connection: sa.Connection, number: ChannelNumber, sender: str) -> None:
    """Take a sender off a channel's list, if it stands there."""
    connection.execute(_REMOVE_SENDER, {"wanted": number, "name": sender})


def find(connection: sa.Connection, channel: str) -> StoredChannel | None:
    """Return the live channel of that name, or of that number if it is one."""
    query, wanted = (_BY_NUMBER, int(channel)) if _is_number(channel) else (_BY_NAME, channel)
    row = connection.execute(query, {"wanted": wanted}).one_or_none()
    if row is None:
        return None
    senders = connection.execute(_SENDERS.where(channel_senders.c.channel == row.number))
    return StoredChannel(_spec(row), tuple(sender for _, sender in senders))


def number_of_any(connection: sa.Connection, channel: str) -> ChannelNumber | None:
    """Return the number of the newest channel of that name or number, live or removed."""
    if _is_number(channel):
        query = sa.select(channels.c.number).where(channels.c.number == int(channel))
    else:
        query = sa.select(channels.c.number).where(channels.c.name == channel)
    number = connection.execute(query.order_by(channels.c.number.desc()).limit(1)).scalar()
    return None if number is None else ChannelNumber(number)


def live(connection: sa.Connection) -> list[StoredChannel]:
    """Return all live channels, by name."""
    senders: dict[int, list[str]] = {}
    for number, sender in connection.execute(_SENDERS):
        senders.setdefault(number, []).append(sender)
    rows = connection.execute(_ALL)
    return [StoredChannel(_spec(row), tuple(senders.get(row.number, ()))) for row in rows]


def remove(connection: sa.Connection, number: ChannelNumber, now_ms: int) -> None:
    """Mark a channel removed; its name becomes free, its number does not."""
    connection.execute(_REMOVE, {"wanted": number, "now_ms": now_ms})


def is_open(connection: sa.Connection, number: ChannelNumber) -> bool:
    """Return whether devices may subscribe to a channel themselves."""
    return bool(connection.execute(_IS_OPEN, {"wanted": number}).scalar())


def set_open(connection: sa.Connection, number: ChannelNumber, *, is_open: bool) -> None:
    """Let devices subscribe to a channel themselves, or no more."""
    connection.execute(_SET_OPEN, {"wanted": number, "is_open": is_open})


def next_epoch(connection: sa.Connection, number: ChannelNumber) -> int:
    """Return the first epoch that was never given on a channel."""
    return int(connection.execute(_NEXT_EPOCH, {"wanted": number}).scalar_one())


def set_next_epoch(connection: sa.Connection, number: ChannelNumber, epoch: int) -> None:
    """Note that all epochs below `epoch` have been given."""
    connection.execute(_SET_NEXT_EPOCH, {"wanted": number, "epoch": epoch})


def _spec(row: sa.Row[tuple[object, ...]]) -> ChannelSpec:
    return channel_spec(ChannelData(**{name: getattr(row, name) for name in _SPEC_FIELDS}))


def _is_number(channel: str) -> bool:
    return channel.isascii() and channel.isdigit() and len(channel) <= 10
