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
from sealcast.storage.among import among, among_pairs, listed
from sealcast.storage.direct import Direct

SILENT: Ended = "timeout"
_FIELDS = tuple(Reception.__dataclass_fields__)
_COLUMNS = tuple(receptions.c[name] for name in _FIELDS)
_KNOWN = (
    sa.select(*_COLUMNS)
    .where(
        among_pairs(receptions.c.device, receptions.c.channel, "places"),
        sa.or_(receptions.c.ended_at_ms.is_(None), among(receptions.c.since_ms, "sinces")),
    )
    .order_by(receptions.c.number)
)
_CHANGED = tuple(name for name in _FIELDS if name not in {"number", "device", "channel", "since_ms"})
_SET = Direct(
    receptions.update()
    .where(receptions.c.number == sa.bindparam("wanted"))
    .values({name: sa.bindparam(f"new_{name}") for name in _CHANGED})
)
_NEW = tuple(name for name in _FIELDS if name != "number")
_ADD = Direct(receptions.insert(), _NEW)

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
        "places": listed({(row.device, row.channel) for row in rows}),
        "sinces": listed({row.since_ms for row in rows}),
    }
    known = [Reception(*row) for row in connection.execute(_KNOWN, asked)]
    merged = merge(known, newest.values())
    # Those that end come first: a device has one live reception of a channel at most, at any time.
    ordered = sorted(merged.changed, key=lambda each: each.is_live)
    _SET.change(connection, [_values(each) for each in ordered])
    added = sorted(merged.added, key=lambda each: each.since_ms)
    _ADD.change(connection, [{name: getattr(each, name) for name in _NEW} for each in added])
    return len(ordered) + len(added)


def merge(known: Iterable[Reception], rows: Iterable[ReceptionRow]) -> Merged:
    """Return what becomes of the receptions that the database has, and which are new, with number 0."""
    before = {(each.device, each.channel, each.since_ms): each for each in known}
    after = dict(before)
    for row in rows:
        key = row.device, row.channel, row.since_ms
        after[key] = _taken(after.get(key), row)
    live: dict[Place, Reception] = {}
    for each in [one for one in after.values() if one.is_live]:
        place = each.device, each.channel
        other = live.setdefault(place, each)
        if other is each:
            continue
        earlier, live[place] = (other, each) if other.since_ms < each.since_ms else (each, other)
        after[*place, earlier.since_ms] = _gone(earlier)
    changed = tuple(each for key, each in after.items() if each.number and each != before[key])
    return Merged(changed, tuple(each for each in after.values() if not each.number))


def _taken(known: Reception | None, row: ReceptionRow) -> Reception:
    """Return a reception as a row has it; one that ended by a decision has ended."""
    seen_ms, ended_at_ms, reason = row.seen_ms, row.ended_at_ms, row.reason
    if known is not None:
        seen_ms = max(seen_ms, known.seen_ms)
        if not (known.is_live or known.reason == SILENT):
            ended_at_ms, reason = known.ended_at_ms, known.reason
    return Reception(
        0 if known is None else known.number,
        row.device,
        row.channel,
        row.channel_name,
        row.since_ms,
        seen_ms,
        row.first_epoch,
        row.last_epoch,
        row.packets,
        row.last_index,
        ended_at_ms,
        cast("Ended | None", reason),
    )


def _gone(reception: Reception) -> Reception:
    """Return a reception of a device that went on elsewhere."""
    return replace(reception, ended_at_ms=max(reception.seen_ms, reception.since_ms), reason=SILENT)


def _values(reception: Reception) -> dict[str, object]:
    return {"wanted": reception.number} | {f"new_{name}": getattr(reception, name) for name in _CHANGED}
