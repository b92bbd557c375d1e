"""Owns how receptions that replicas keep come into the database, so that the master's lists have them all.

A device receives a channel at most once at a time. Where two replicas say that it does, it has gone from one
to the other: the one that began last lives, the other ended when it was seen last. What the master ended by
a decision, such as a removal, no replica's news begins again; what ended by silence alone may go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import sqlalchemy as sa

from sealcast.messages.cluster import ReceptionRow
from sealcast.messages.subscribing import Ended
from sealcast.reception.service import Reception
from sealcast.reception.tables import receptions

SILENT: Ended = "timeout"
_FIELDS = tuple(Reception.__dataclass_fields__)
_COLUMNS = tuple(receptions.c[name] for name in _FIELDS)
_KNOWN = (
    sa.select(*_COLUMNS)
    .where(
        receptions.c.device.in_(sa.bindparam("devices", expanding=True)),
        receptions.c.channel.in_(sa.bindparam("numbers", expanding=True)),
        sa.or_(
            receptions.c.ended_at_ms.is_(None),
            receptions.c.since_ms.in_(sa.bindparam("sinces", expanding=True)),
        ),
    )
    .order_by(receptions.c.number)
)
_CHANGED = tuple(name for name in _FIELDS if name not in {"number", "device", "channel", "since_ms"})
_SET = (
    receptions.update()
    .where(receptions.c.number == sa.bindparam("wanted"))
    .values({name: sa.bindparam(f"new_{name}") for name in _CHANGED})
)

Place = tuple[str, int]
"""A device and a channel."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What the rows of a batch come to: rows to write anew, in this order, and rows to add."""

    changed: tuple[Reception, ...]
    added: tuple[Reception, ...]


def record(connection: sa.Connection, rows: Sequence[ReceptionRow]) -> int:
    """Take receptions over as replicas have them; return how many rows of the table changed."""
    if not rows:
        return 0
    # Of one reception the last row counts: each has all of it.
    newest = {(row.device, row.channel, row.since_ms): row for row in rows}
    asked = {
        "devices": sorted({row.device for row in rows}),
        "numbers": sorted({row.channel for row in rows}),
        "sinces": sorted({row.since_ms for row in rows}),
    }
    known = [Reception(*row) for row in connection.execute(_KNOWN, asked)]
    merged = merge(known, newest.values())
    # Those that end come first: a device has one live reception of a channel at most, at any time.
    ordered = sorted(merged.changed, key=lambda each: each.is_live)
    if ordered:
        connection.execute(_SET, [_values(each) for each in ordered])
    if merged.added:
        connection.execute(
            receptions.insert(),
            [
                {name: getattr(each, name) for name in _FIELDS if name != "number"}
                for each in sorted(merged.added, key=lambda each: each.since_ms)
            ],
        )
    return len(ordered) + len(merged.added)


def merge(known: Iterable[Reception], rows: Iterable[ReceptionRow]) -> Merged:
    """Return what becomes of the receptions that the database has, and which are new, with number 0."""
    before = {(each.device, each.channel, each.since_ms): each for each in known}
    after = dict(before)
    for row in rows:
        key = row.device, row.channel, row.since_ms
        after[key] = _taken(after.get(key), row)
    live: dict[Place, list[Reception]] = {}
    for each in after.values():
        if each.is_live:
            live.setdefault((each.device, each.channel), []).append(each)
    for several in live.values():
        for each in sorted(several, key=lambda one: one.since_ms)[:-1]:
            after[each.device, each.channel, each.since_ms] = _gone(each)
    changed = tuple(each for key, each in after.items() if each.number and each != before[key])
    return Merged(changed, tuple(each for each in after.values() if not each.number))


def _taken(known: Reception | None, row: ReceptionRow) -> Reception:
    """Return a reception as a row has it; one that ended by a decision has ended."""
    told = Reception(
        number=0 if known is None else known.number,
        device=row.device,
        channel=row.channel,
        channel_name=row.channel_name,
        since_ms=row.since_ms,
        seen_ms=row.seen_ms,
        first_epoch=row.first_epoch,
        last_epoch=row.last_epoch,
        packets=row.packets,
        last_index=row.last_index,
        ended_at_ms=row.ended_at_ms,
        reason=cast("Ended | None", row.reason),
    )
    if known is None:
        return told
    told = replace(told, seen_ms=max(told.seen_ms, known.seen_ms))
    if known.is_live or known.reason == SILENT:
        return told
    return replace(told, ended_at_ms=known.ended_at_ms, reason=known.reason)


def _gone(reception: Reception) -> Reception:
    """Return a reception of a device that went on elsewhere."""
    return replace(reception, ended_at_ms=max(reception.seen_ms, reception.since_ms), reason=SILENT)


def _values(reception: Reception) -> dict[str, object]:
    return {"wanted": reception.number} | {f"new_{name}": getattr(reception, name) for name in _CHANGED}
