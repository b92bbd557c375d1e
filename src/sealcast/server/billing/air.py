"""Owns recording what was on air, once it is settled: what senders reported becomes rows that never change.

Epochs of a channel are recorded in their order, each under its turn of the schedule; what becomes known of
one later is another part of it (`billing.settled`).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from sealcast.billing.air import Aired
from sealcast.billing.metering import Turn, turn_of
from sealcast.billing.settled import SILENT_MS, Heard, first_part, is_settled, next_part
from sealcast.billing.tables import aired
from sealcast.keys.table import KeyState
from sealcast.keyserver.tables import channels, epochs, reports, totals

RECORDED_MAX = 100
"""Parts recorded in one unit of work, at most some 20 ms: who wants all calls until there are none."""

FIELDS = (
    "channel",
    "epoch",
    "cause",
    "start_ms",
    "end_ms",
    "bytes",
    "packets",
    "part",
    "turn",
    "fresh_at",
    "given_up_at_ms",
)
"""The columns of `aired` that make an `Aired`, in its order."""

_CHANNEL: sa.BindParameter[int] = sa.bindparam("wanted")
_EPOCH: sa.BindParameter[int] = sa.bindparam("turn")
_LAST = sa.func.coalesce(
    sa.select(sa.func.max(aired.c.epoch))
    .where(aired.c.channel == channels.c.number)
    .correlate(channels)
    .scalar_subquery(),
    0,
)
_IS_HEARD = sa.exists().where(
    reports.c.channel == epochs.c.channel,
    reports.c.epoch == epochs.c.epoch,
    reports.c.reported_at_ms > sa.bindparam("heard_ms"),
    reports.c.reported_at_ms <= sa.bindparam("wall_ms"),
)
_MAY_BE_OVER = sa.select(channels.c.number, channels.c.lifetime_ms, _LAST).where(
    sa.exists()
    .where(
        epochs.c.channel == channels.c.number,
        epochs.c.epoch > _LAST,
        epochs.c.on_air_at_ms.is_not(None),
        sa.not_(sa.and_(epochs.c.state == KeyState.ACTIVE.name, _IS_HEARD)),
    )
    .correlate(channels)
)
_OF_EPOCH = sa.and_(totals.c.channel == epochs.c.channel, totals.c.epoch == epochs.c.epoch)
_WAS_ON_AIR = sa.or_(
    epochs.c.on_air_at_ms.is_not(None),
    sa.and_(
        epochs.c.retired_at_ms.is_not(None),
        sa.exists().where(_OF_EPOCH, totals.c.packets > 0),
    ),
)


def _sum(column: sa.Column[int]) -> sa.ColumnElement[int]:
    """Return the sum over all runs under an epoch."""
    found = sa.select(sa.func.coalesce(sa.func.sum(column), 0)).where(_OF_EPOCH)
    return found.correlate(epochs).scalar_subquery()


_HEARD = (
    sa.select(
        epochs.c.channel,
        epochs.c.epoch,
        epochs.c.cause,
        epochs.c.fresh_at,
        epochs.c.on_air_at_ms,
        sa.func.coalesce(epochs.c.off_air_at_ms, epochs.c.retired_at_ms),
        sa.func.coalesce(
            sa.select(sa.func.max(reports.c.reported_at_ms))
            .where(reports.c.channel == epochs.c.channel, reports.c.epoch == epochs.c.epoch)
            .correlate(epochs)
            .scalar_subquery(),
            epochs.c.on_air_at_ms,
            0,
        ),
        _sum(totals.c.duration_ms),
        _sum(totals.c.bytes),
        _sum(totals.c.packets),
    )
    .where(epochs.c.channel == _CHANNEL, _WAS_ON_AIR)
    .order_by(epochs.c.epoch)
)
_NEW = _HEARD.where(epochs.c.epoch > sa.bindparam("last")).limit(RECORDED_MAX)
_LATE = _HEARD.where(epochs.c.epoch == _EPOCH)
_NEWS = (
    sa.select(totals.c.channel, totals.c.epoch)
    .distinct()
    .where(
        totals.c.is_recorded.is_(False),
        totals.c.epoch
        <= sa.select(sa.func.max(aired.c.epoch))
        .where(aired.c.channel == totals.c.channel)
        .correlate(totals)
        .scalar_subquery(),
    )
    .limit(RECORDED_MAX)
)
_PARTS = (
    sa.select(*(aired.c[name] for name in FIELDS))
    .where(aired.c.channel == _CHANNEL, aired.c.epoch == _EPOCH)
    .order_by(aired.c.part)
)
_BEGUN = aired.alias()
_TURN = (
    sa.select(_BEGUN.c.epoch, _BEGUN.c.start_ms)
    .select_from(
        aired.join(
            _BEGUN,
            sa.and_(_BEGUN.c.channel == aired.c.channel, _BEGUN.c.epoch == aired.c.turn, _BEGUN.c.part == 1),
        )
    )
    .where(aired.c.channel == _CHANNEL, aired.c.epoch < _EPOCH)
    .order_by(aired.c.epoch.desc())
    .limit(1)
)
_LAST_RECORDED_MS = sa.select(aired.c.recorded_at_ms).order_by(aired.c.number.desc()).limit(1)
_RECORD = aired.insert()
_IS_RECORDED = (
    totals.update().where(totals.c.channel == _CHANNEL, totals.c.epoch == _EPOCH).values(is_recorded=True)
)


def record_air(connection: sa.Connection, wall_ms: int, settle_ms: int) -> int:
    """Record what is settled and was not recorded, at most `RECORDED_MAX` parts; return how many.

    Cheap when nothing is new: a look at each channel's newest epochs, some µs.
    """
    found = _first_parts(connection, wall_ms, settle_ms) or _later_parts(connection, wall_ms, settle_ms)
    if found:
        # The rows are in the order of recording by any clock, also one that was set back.
        now_ms = max(wall_ms, connection.execute(_LAST_RECORDED_MS).scalar() or 0)
        rows = [{name: getattr(part, name) for name in FIELDS} for part in found]
        for row, part in zip(rows, found, strict=True):
            row |= {"recorded_at_ms": now_ms}
            if part.given_up_at_ms is not None:
                # From now on: whoever was granted the epoch by then has this part.
                row["given_up_at_ms"] = now_ms
        connection.execute(_RECORD, rows)
        _note_recorded(connection, found)
    return len(found)


def _first_parts(connection: sa.Connection, wall_ms: int, settle_ms: int) -> list[Aired]:
    """Return the first parts to be recorded, of each channel up to the first epoch that is not settled."""
    found: list[Aired] = []
    asked = {"wall_ms": wall_ms, "heard_ms": wall_ms - SILENT_MS}
    for channel, lifetime_ms, last in connection.execute(_MAY_BE_OVER, asked).all():
        turn = _turn_before(connection, channel, last + 1)
        for row in connection.execute(_NEW, {"wanted": channel, "last": last}):
            heard = _heard(row)
            if len(found) == RECORDED_MAX:
                return found
            if not is_settled(heard, wall_ms, settle_ms):
                break
            part = first_part(heard)
            turn = turn_of(turn, part.cause, part.epoch, part.start_ms, lifetime_ms)
            found.append(replace(part, turn=turn.epoch))
    return found


def _later_parts(connection: sa.Connection, wall_ms: int, settle_ms: int) -> list[Aired]:
    """Return what became known of epochs since they, or later ones of their channel, were recorded."""
    found: list[Aired] = []
    for channel, epoch in connection.execute(_NEWS).all():
        name = {"wanted": channel, "turn": epoch}
        row = connection.execute(_LATE, name).one_or_none()
        heard = None if row is None else _heard(row)
        if heard is not None and not is_settled(heard, wall_ms, settle_ms):
            continue
        part = None if heard is None else _later_part(connection, heard)
        if part is not None:
            found.append(part)
        else:
            # Nothing more was sent under it; should that change, the figures come up again.
            connection.execute(_IS_RECORDED, name)
    return found


def _later_part(connection: sa.Connection, heard: Heard) -> Aired | None:
    """Return the next part of an epoch; its first, if nobody had told of it, in the turn before it."""
    name = {"wanted": heard.channel, "turn": heard.epoch}
    parts = [_aired(row) for row in connection.execute(_PARTS, name)]
    if parts:
        return next_part(heard, parts)
    before = _turn_before(connection, heard.channel, heard.epoch)
    return replace(first_part(heard), turn=heard.epoch if before is None else before.epoch)


def _turn_before(connection: sa.Connection, channel: int, epoch: int) -> Turn | None:
    """Return the turn of the last epoch below `epoch` that is recorded."""
    row = connection.execute(_TURN, {"wanted": channel, "turn": epoch}).one_or_none()
    return None if row is None else Turn(row.epoch, row.start_ms)


def _note_recorded(connection: sa.Connection, found: Sequence[Aired]) -> None:
    """Note that all that is known of these epochs is recorded now."""
    connection.execute(_IS_RECORDED, [{"wanted": part.channel, "turn": part.epoch} for part in found])


def _heard(row: Sequence[Any]) -> Heard:
    return Heard(*row)


def _aired(row: Sequence[Any]) -> Aired:
    return Aired(*row)
