"""Owns the queries on receptions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.reception.book import Pair, Seat
from sealcast.reception.service import Reception
from sealcast.reception.tables import receptions
from sealcast.storage.among import among_pairs, listed
from sealcast.storage.direct import Direct
from sealcast.storage.upsert import new_number

_COLUMNS = tuple(receptions.c[name] for name in Reception.__dataclass_fields__)
_LIVE = receptions.c.ended_at_ms.is_(None)
_LAST = (
    sa.select(*_COLUMNS)
    .where(
        receptions.c.device == sa.bindparam("of_device"), receptions.c.channel == sa.bindparam("of_channel")
    )
    .order_by(receptions.c.number.desc())
    .limit(1)
)
_OF_NUMBER = sa.select(*_COLUMNS).where(receptions.c.number == sa.bindparam("wanted"))
_BEGIN = receptions.insert()
_SAVE = Direct(
    receptions.update()
    .where(
        receptions.c.number == sa.bindparam("wanted"),
        receptions.c.device == sa.bindparam("of_device"),
        receptions.c.channel == sa.bindparam("of_channel"),
        _LIVE,
    )
    .values(
        {name: sa.bindparam(f"new_{name}") for name in ("seen_ms", "first_epoch", "last_epoch", "packets")}
    )
)
_ENDED = ("seen_ms", "first_epoch", "last_epoch", "packets", "last_index", "ended_at_ms", "reason")
_END = (
    receptions.update()
    .where(receptions.c.number == sa.bindparam("wanted"), _LIVE)
    .values({name: sa.bindparam(f"new_{name}") for name in _ENDED})
)
_LIVE_BEHIND = (
    sa.select(*_COLUMNS)
    .where(_LIVE, receptions.c.number > sa.bindparam("behind"))
    .order_by(receptions.c.number)
    .limit(sa.bindparam("count"))
)
_LIVE_AMONG = sa.select(*_COLUMNS).where(
    among_pairs(receptions.c.device, receptions.c.channel, "pairs"), _LIVE
)


@dataclass(frozen=True, slots=True)
class Page:
    """Which receptions to list: live ones, or with `history` all; numbers below `before`, at most `limit`."""

    limit: int
    channel: int | None = None
    device: str | None = None
    history: bool = False
    before: int | None = None


def last(connection: sa.Connection, device: str, channel: int) -> Reception | None:
    """Return the newest reception of a device and channel: the live one if any lives."""
    row = connection.execute(_LAST, {"of_device": device, "of_channel": channel}).one_or_none()
    return None if row is None else Reception(*row)


def find(connection: sa.Connection, number: int) -> Reception | None:
    """Return one reception."""
    row = connection.execute(_OF_NUMBER, {"wanted": number}).one_or_none()
    return None if row is None else Reception(*row)


def live(connection: sa.Connection, device: str | None, channel: int | None) -> list[Reception]:
    """Return the live receptions of a device, of a channel, or of both; never all there are."""
    query = sa.select(*_COLUMNS).where(_LIVE)
    if device is not None:
        query = query.where(receptions.c.device == device)
    if channel is not None:
        query = query.where(receptions.c.channel == channel)
    if device is None and channel is None:
        return []
    return [Reception(*row) for row in connection.execute(query)]


def live_behind(connection: sa.Connection, number: int, count: int) -> list[Reception]:
    """Return the next `count` live receptions by number."""
    return [Reception(*row) for row in connection.execute(_LIVE_BEHIND, {"behind": number, "count": count})]


def live_among(connection: sa.Connection, pairs: Sequence[Pair]) -> list[Reception]:
    """Return the live receptions of these devices and channels, in no order."""
    if not pairs:
        return []
    return [Reception(*row) for row in connection.execute(_LIVE_AMONG, {"pairs": listed(pairs)})]


def begin(connection: sa.Connection, reception: Reception) -> int:
    """Store a new reception and return its number; IntegrityError if one of the pair lives."""
    values = {column.name: getattr(reception, column.name) for column in _COLUMNS if column.name != "number"}
    return new_number(connection.execute(_BEGIN, values))


def save(connection: sa.Connection, seats: Iterable[Seat]) -> None:
    """Store what was heard of live receptions; those that have ended stay as they are."""
    rows = [
        {
            "wanted": seat.number,
            "of_device": seat.device,
            "of_channel": seat.channel,
            "new_seen_ms": seat.seen_ms,
            "new_first_epoch": seat.first_epoch,
            "new_last_epoch": seat.last_epoch,
            "new_packets": seat.packets,
        }
        for seat in seats
    ]
    if rows:
        _SAVE.change(connection, rows)


def end(connection: sa.Connection, ended: Iterable[Reception]) -> None:
    """Store receptions as they ended; those that had ended stay as they are."""
    rows = [
        {"wanted": each.number, **{f"new_{name}": getattr(each, name) for name in _ENDED}} for each in ended
    ]
    if rows:
        connection.execute(_END, rows)


def page(connection: sa.Connection, wanted: Page) -> list[Reception]:
    """Return receptions, the newest first."""
    query = sa.select(*_COLUMNS).order_by(receptions.c.number.desc()).limit(wanted.limit)
    if not wanted.history:
        query = query.where(_LIVE)
    if wanted.channel is not None:
        query = query.where(receptions.c.channel == wanted.channel)
    if wanted.device is not None:
        query = query.where(receptions.c.device == wanted.device)
    if wanted.before is not None:
        query = query.where(receptions.c.number < wanted.before)
    return [Reception(*row) for row in connection.execute(query)]


def count_live(connection: sa.Connection, channel: int | None) -> int:
    """Count live receptions of a channel, or all; 0.1 µs each."""
    query = sa.select(sa.func.count()).select_from(receptions).where(_LIVE)
    if channel is not None:
        query = query.where(receptions.c.channel == channel)
    return int(connection.execute(query).scalar_one())
