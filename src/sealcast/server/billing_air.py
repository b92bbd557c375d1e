"""Owns recording what was on air, once it is over: what senders reported becomes rows that never change.

```
on air ─────────────┤ off ── settle ──► part 1      totals that rise after that ──► part 2, the difference
on air ───────── crash · · · · silence of 10 min ──► part 1, up to the last report
```
Epochs of a channel are recorded in their order. An epoch begins when the key server hears of it and ends when
the server hears that it is over, but never later than the time for which its sender says that it sent: nobody
pays for the silence after a crash. Of one that the server heard of only when it was over, bytes and packets
count, and no time.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from sealcast.billing.metering import UNREPORTED, Turn, turn_of
from sealcast.billing.tables import aired
from sealcast.keys.table import KeyState
from sealcast.keyserver.tables import channels, epochs, reports, totals

RECORDED_MAX = 500
"""Parts recorded in one unit of work, some 10 ms: who wants all calls until there are fewer."""

SILENT_MS = 600_000
"""A run on air reports every 5 s; after as long its sender is taken for dead, or its report comes late."""

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
_MAY_BE_OVER = sa.select(channels.c.number, _LAST).where(
    sa.exists()
    .where(
        epochs.c.channel == channels.c.number,
        epochs.c.epoch > _LAST,
        epochs.c.on_air_at_ms.is_not(None),
        sa.not_(sa.and_(epochs.c.state == KeyState.ACTIVE.name, _IS_HEARD)),
    )
    .correlate(channels)
)
_WAS_ON_AIR = sa.or_(
    epochs.c.on_air_at_ms.is_not(None),
    sa.and_(
        epochs.c.retired_at_ms.is_not(None),
        sa.exists().where(
            totals.c.channel == epochs.c.channel, totals.c.epoch == epochs.c.epoch, totals.c.packets > 0
        ),
    ),
)
_OVER = (
    sa.select(
        epochs.c.channel,
        epochs.c.epoch,
        epochs.c.cause,
        epochs.c.fresh_at,
        epochs.c.state,
        epochs.c.on_air_at_ms,
        epochs.c.off_air_at_ms,
        epochs.c.retired_at_ms,
        channels.c.lifetime_ms,
    )
    .select_from(epochs.join(channels, channels.c.number == epochs.c.channel))
    .where(epochs.c.channel == _CHANNEL, _WAS_ON_AIR)
    .order_by(epochs.c.epoch)
)
_NEW = _OVER.where(epochs.c.epoch > sa.bindparam("last")).limit(RECORDED_MAX)
_LATE = _OVER.where(epochs.c.epoch == _EPOCH)
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
_TOTALS = sa.select(
    sa.func.coalesce(sa.func.sum(totals.c.duration_ms), 0),
    sa.func.coalesce(sa.func.sum(totals.c.bytes), 0),
    sa.func.coalesce(sa.func.sum(totals.c.packets), 0),
).where(totals.c.channel == _CHANNEL, totals.c.epoch == _EPOCH)
_HEARD = sa.select(sa.func.max(reports.c.reported_at_ms)).where(
    reports.c.channel == _CHANNEL, reports.c.epoch == _EPOCH
)
_PARTS = (
    sa.select(aired.c.part, aired.c.turn, aired.c.start_ms, aired.c.end_ms, aired.c.bytes, aired.c.packets)
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
_KEPT = ("channel", "epoch", "cause", "fresh_at", "start_ms", "end_ms", "bytes", "packets")
_IS_RECORDED = (
    totals.update().where(totals.c.channel == _CHANNEL, totals.c.epoch == _EPOCH).values(is_recorded=True)
)


@dataclass(frozen=True, slots=True)
class _Over:
    """An epoch that is settled: from when to when it was on air, as far as the server heard, and how much."""

    channel: int
    epoch: int
    cause: str
    fresh_at: int | None
    lifetime_ms: int
    start_ms: int
    end_ms: int
    bytes: int
    packets: int

    @property
    def name(self) -> dict[str, int]:
        """Names the epoch in queries."""
        return {"wanted": self.channel, "turn": self.epoch}


def record_air(connection: sa.Connection, wall_ms: int, settle_ms: int) -> int:
    """Record what is over and was not recorded, at most `RECORDED_MAX` parts; return how many.

    Cheap when nothing is new: a look at each channel's newest epochs, some 10 µs.
    """
    # The rows are in the order of recording by any clock, also one that was set back.
    now_ms = max(wall_ms, connection.execute(_LAST_RECORDED_MS).scalar() or 0)
    count = 0
    for over in _settled_in_order(connection, wall_ms, settle_ms):
        _record_first(connection, over, now_ms)
        count += 1
        if count == RECORDED_MAX:
            return count
    for channel, epoch in connection.execute(_NEWS).all():
        row = connection.execute(_LATE, {"wanted": channel, "turn": epoch}).one_or_none()
        if row is None:
            # Nothing was sent under it; should that change, the figures come up again.
            connection.execute(_IS_RECORDED, {"wanted": channel, "turn": epoch})
            continue
        late = _settled(connection, row, wall_ms, settle_ms)
        if late is not None:
            count += _record_late(connection, late, now_ms)
    return count


def _settled_in_order(connection: sa.Connection, wall_ms: int, settle_ms: int) -> Iterator[_Over]:
    """Yield the epochs that are to be recorded, of each channel up to the first that is not settled."""
    asked = {"wall_ms": wall_ms, "heard_ms": wall_ms - SILENT_MS}
    for channel, last in connection.execute(_MAY_BE_OVER, asked).all():
        for row in connection.execute(_NEW, {"wanted": channel, "last": last}).all():
            over = _settled(connection, row, wall_ms, settle_ms)
            if over is None:
                break
            yield over


def _settled(
    connection: sa.Connection, row: sa.Row[*tuple[Any, ...]], wall_ms: int, settle_ms: int
) -> _Over | None:
    """Return what is known of an epoch if it is over, and its sender had time to say so or fell silent."""
    name = {"wanted": row.channel, "turn": row.epoch}
    if row.state == KeyState.ACTIVE.name:
        last_ms = connection.execute(_HEARD, name).scalar() or row.on_air_at_ms
        wait_ms = SILENT_MS
    else:
        last_ms = row.off_air_at_ms or row.retired_at_ms
        wait_ms = settle_ms
    if 0 <= wall_ms - last_ms < wait_ms:
        # One of a later instant was over before somebody set the clock back.
        return None
    duration_ms, size, packets = connection.execute(_TOTALS, name).one()
    start_ms = last_ms if row.on_air_at_ms is None else row.on_air_at_ms
    return _Over(
        channel=row.channel,
        epoch=row.epoch,
        cause=row.cause or UNREPORTED,
        fresh_at=row.fresh_at,
        lifetime_ms=row.lifetime_ms,
        start_ms=start_ms,
        end_ms=max(start_ms, min(last_ms, start_ms + duration_ms)),
        bytes=size,
        packets=packets,
    )


def _record_first(connection: sa.Connection, over: _Over, now_ms: int) -> None:
    """Record part 1 of an epoch, under its turn."""
    before = connection.execute(_TURN, over.name).one_or_none()
    under_way = None if before is None else Turn(before.epoch, before.start_ms)
    turn = turn_of(under_way, over.cause, over.epoch, over.start_ms, over.lifetime_ms)
    _record(connection, over, 1, turn.epoch, now_ms)


def _record_late(connection: sa.Connection, over: _Over, now_ms: int) -> int:
    """Record by how much the totals of an epoch rose since its last part; return how many parts that makes.

    One that nobody told of until later ones were recorded has its first part now.
    """
    parts = connection.execute(_PARTS, over.name).all()
    if not parts:
        _record_first(connection, over, now_ms)
        return 1
    former_ms = max(part.end_ms for part in parts)
    more = replace(
        over,
        start_ms=former_ms,
        end_ms=max(former_ms, over.end_ms),
        bytes=over.bytes - sum(part.bytes for part in parts),
        packets=over.packets - sum(part.packets for part in parts),
    )
    if more.bytes or more.packets or more.end_ms > former_ms:
        _record(connection, more, parts[-1].part + 1, parts[0].turn, now_ms)
        return 1
    connection.execute(_IS_RECORDED, over.name)
    return 0


def _record(connection: sa.Connection, over: _Over, part: int, turn: int, now_ms: int) -> None:
    row = {name: getattr(over, name) for name in _KEPT}
    connection.execute(_RECORD, {**row, "part": part, "turn": turn, "recorded_at_ms": now_ms})
    connection.execute(_IS_RECORDED, over.name)
