"""Owns the queries on assignments: which tariff a channel, or one device on it, has from an instant on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.billing.tables import assignments as table
from sealcast.billing.timeline import Assignment
from sealcast.storage.upsert import new_number

ALL_DEVICES = ""
"""What stands in `device` of an assignment to a channel, for all devices that have no other."""

_ALL = sa.select(table).order_by(table.c.channel, table.c.from_ms, table.c.number)
_OF_CHANNELS = _ALL.where(table.c.channel.in_(sa.bindparam("channels", expanding=True)))
_OF_DEVICES = _OF_CHANNELS.where(table.c.device.in_(sa.bindparam("devices", expanding=True)))
_CHANNELS = sa.select(table.c.channel).distinct().order_by(table.c.channel)
_LAST = (
    sa.select(table.c.tariff)
    .where(
        table.c.channel == sa.bindparam("channel_number"),
        table.c.device == sa.bindparam("device_id"),
        table.c.from_ms <= sa.bindparam("instant_ms"),
    )
    .order_by(table.c.from_ms.desc())
    .limit(1)
)
_BEGINS = sa.select(
    sa.exists().where(
        table.c.channel == sa.bindparam("channel_number"),
        table.c.device == sa.bindparam("device_id"),
        table.c.from_ms == sa.bindparam("instant_ms"),
    )
)
_OF_TARIFF = sa.select(table.c.channel, table.c.device).where(table.c.tariff == sa.bindparam("name"))


@dataclass(frozen=True, slots=True)
class StoredAssignment:
    """An assignment as it is listed: by `number`, in the order in which they were made."""

    number: int
    channel: int
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which assignments to list; None: of any. `device` '' are those of whole channels."""

    channel: int | None = None
    device: str | None = None
    tariff: str | None = None


def assignments(
    connection: sa.Connection, channels: Iterable[int], devices: Iterable[str] | None = None
) -> Mapping[int, tuple[Assignment, ...]]:
    """Return all assignments of each channel, in order of time; with `devices` none of other devices."""
    wanted = {"channels": sorted(set(channels))}
    if devices is None:
        rows = connection.execute(_OF_CHANNELS, wanted)
    else:
        rows = connection.execute(_OF_DEVICES, {**wanted, "devices": sorted({*devices, ALL_DEVICES})})
    found: dict[int, list[Assignment]] = {channel: [] for channel in wanted["channels"]}
    for row in rows:
        found[row.channel].append(_assignment(row))
    return {channel: tuple(each) for channel, each in found.items()}


def channels(connection: sa.Connection) -> tuple[int, ...]:
    """Return the channels that ever had a tariff, live or removed."""
    return tuple(connection.execute(_CHANNELS).scalars())


def page(connection: sa.Connection, wanted: Wanted, after: int, count: int) -> list[StoredAssignment]:
    """Return at most `count` assignments above number `after`, in the order in which they were made."""
    query = sa.select(table).where(table.c.number > after).order_by(table.c.number).limit(count)
    for column, value in (
        (table.c.channel, wanted.channel),
        (table.c.device, wanted.device),
        (table.c.tariff, wanted.tariff),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = connection.execute(query)
    return [StoredAssignment(row.number, row.channel, _assignment(row)) for row in rows]


def subjects_of(connection: sa.Connection, tariff: str) -> set[tuple[int, str | None]]:
    """Return the (channel, device) pairs that ever were assigned a tariff; device None: the channel."""
    rows = connection.execute(_OF_TARIFF, {"name": tariff})
    return {(row.channel, row.device or None) for row in rows}


def begins_at(connection: sa.Connection, channel: int, device: str | None, instant_ms: int) -> bool:
    """Whether an assignment of a channel, or of a device on it, begins at an instant."""
    return bool(connection.execute(_BEGINS, _at(channel, device, instant_ms)).scalar_one())


def tariff_at(connection: sa.Connection, channel: int, device: str | None, instant_ms: int) -> str | None:
    """Return what a channel, or a device on it of its own, is assigned at an instant."""
    tariff: str | None = connection.execute(_LAST, _at(channel, device, instant_ms)).scalar()
    return tariff


def add(connection: sa.Connection, channel: int, assignment: Assignment, now_ms: int) -> int:
    """Store an assignment and return its number.

    No other of its channel and device may begin at the same instant.
    """
    values = {
        "channel": channel,
        "device": assignment.device or ALL_DEVICES,
        "tariff": assignment.tariff,
        "from_ms": assignment.from_ms,
        "added_at_ms": now_ms,
    }
    return new_number(connection.execute(table.insert(), values))


def _at(channel: int, device: str | None, instant_ms: int) -> dict[str, object]:
    return {"channel_number": channel, "device_id": device or ALL_DEVICES, "instant_ms": instant_ms}


def _assignment(row: sa.Row[tuple[object, ...]]) -> Assignment:
    return Assignment(row.from_ms, row.tariff, row.device or None)
