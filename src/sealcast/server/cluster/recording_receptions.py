"""Owns how receptions that replicas keep come into the database, so that the master's lists have them all.

A device receives a channel at most once at a time. Where two replicas say that it does, it has gone from one
to the other: the one that began last lives, the other ended when it was seen last. What the master ended by
a decision, such as a removal, no replica's news begins again; what ended by silence alone may go on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import cast

import sqlalchemy as sa

from sealcast.messages.cluster import ReceptionRow
from sealcast.messages.subscribing import Ended
from sealcast.reception.book import Pair
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
_HEARD = ("channel_name", "seen_ms", "first_epoch", "last_epoch", "packets", "last_index")
_TURNED = (*_HEARD, "ended_at_ms", "reason")


def _parameters(names: Sequence[str]) -> tuple[str, ...]:
    return ("wanted", *(f"new_{name}" for name in names))


def _setting(names: Sequence[str]) -> Direct:
    values: dict[str, object] = {name: sa.bindparam(f"new_{name}") for name in names}
    return Direct(receptions.update().where(receptions.c.number == sa.bindparam("wanted")).values(values))


# What ends or begins again is moved in four indexes; what goes on, by far the most, in none.
_GO_ON, _TURN = _setting(_HEARD), _setting(_TURNED)
_GO_ON_NAMES, _go_on_values = _parameters(_HEARD), attrgetter("number", *_HEARD)
_TURN_NAMES, _turn_values = _parameters(_TURNED), attrgetter("number", *_TURNED)
_NEW = tuple(name for name in _FIELDS if name != "number")
_ADD, _new_values = Direct(receptions.insert(), _NEW), attrgetter(*_NEW)


@dataclass(frozen=True, slots=True)
class Merged:
    """What the rows of a batch come to: those that end or live again, that go on otherwise, new ones."""

    turned: tuple[Reception, ...]
    going_on: tuple[Reception, ...]
    added: tuple[Reception, ...]


def record(connection: sa.Connection, rows: Sequence[ReceptionRow]) -> list[Reception]:
    """Take receptions over from replicas, 20 µs each; return those that changed, new ones with number 0.

    Raises IntegrityError for what the database refuses.
    """
    if not rows:
        return []
    # Of one reception the last row counts: each has all of it.
    newest = {(row.device, row.channel, row.since_ms): row for row in rows}
    asked = {
        "places": listed({(row.device, row.channel) for row in rows}),
        "sinces": listed({row.since_ms for row in rows}),
    }
    known = [Reception(*row) for row in connection.execute(_KNOWN, asked)]
    merged = merge(known, newest.values())
    # Those that end come first: a device has one live reception of a channel at most, at any time.
    ordered = sorted(merged.turned, key=lambda each: each.is_live)
    _TURN.change(connection, [dict(zip(_TURN_NAMES, _turn_values(each), strict=True)) for each in ordered])
    going_on = [dict(zip(_GO_ON_NAMES, _go_on_values(each), strict=True)) for each in merged.going_on]
    _GO_ON.change(connection, going_on)
    added = sorted(merged.added, key=lambda each: each.since_ms)
    _ADD.change(connection, [dict(zip(_NEW, _new_values(each), strict=True)) for each in added])
    return [*ordered, *merged.going_on, *added]


def merge(stored: Iterable[Reception], rows: Iterable[ReceptionRow]) -> Merged:
    """Return what becomes of the receptions that the database has, and which are new, with number 0."""
    before = {(each.device, each.channel, each.since_ms): each for each in stored}
    after = dict(before)
    for row in rows:
        key = row.device, row.channel, row.since_ms
        after[key] = _taken(after.get(key), row)
    live: dict[Pair, Reception] = {}
    for each in [one for one in after.values() if one.is_live]:
        place = each.device, each.channel
        other = live.setdefault(place, each)
        if other is each:
            continue
        earlier, live[place] = (other, each) if other.since_ms < each.since_ms else (each, other)
        after[*place, earlier.since_ms] = _gone(earlier)
    turned, going_on, added = [], [], []
    for key, each in after.items():
        known = before.get(key)
        if known is None:
            added.append(each)
        elif (known.ended_at_ms, known.reason) != (each.ended_at_ms, each.reason):
            turned.append(each)
        elif known != each:
            going_on.append(each)
    return Merged(tuple(turned), tuple(going_on), tuple(added))


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
