"""Owns usage events in the order of recording: part by part of what was on air, of each all devices by name.

```
aired    17   18   19 …                     place "18 TV-0003": all of 17, and of 18 up to TV-0003, are told
devices  all  TV-0001 TV-0003 ┃ TV-0004     whoever goes on behind a place gets each event once
```
A part is recorded once nobody can be granted its epoch any more, so nothing appears before a place that was
passed. The key of a sender that was given up as dead is granted until another comes: who gets it after a part
was recorded is not charged for that part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sealcast.billing.air import Aired, AirLog
from sealcast.billing.tables import aired
from sealcast.keyserver.tables import channels, grants
from sealcast.keyserver.values import refusal
from sealcast.messages.charging import UsageList, UsageRow
from sealcast.messages.encoding import encode
from sealcast.server.billing import source as billing_source
from sealcast.server.billing.air import FIELDS
from sealcast.server.billing.source import FAR_MS
from sealcast.server.paging import PAGE_BYTES_MAX
from sealcast.subscribers.tables import erasures, subscriptions

PARTS_AT_ONCE = 200
DEVICES_AT_ONCE = 1_000
LOOKED_AT_MAX = 50_000
"""Devices and parts looked at for one answer, some 0.2 s: one that finds less has a place behind them."""

NUMBER_DIGITS_MAX = 18
"""Of a row's number: what SQLite takes."""

_PARTS = (
    sa.select(*(aired.c[name] for name in FIELDS), aired.c.number, aired.c.recorded_at_ms)
    .where(
        aired.c.number >= sa.bindparam("first"),
        sa.or_(
            sa.bindparam("wanted", type_=sa.BigInteger).is_(None), aired.c.channel == sa.bindparam("wanted")
        ),
        aired.c.start_ms >= sa.bindparam("since_ms"),
        aired.c.start_ms < sa.bindparam("until_ms"),
    )
    .order_by(aired.c.number)
    .limit(PARTS_AT_ONCE)
)
_LAST = sa.select(sa.func.max(aired.c.number))
_SOME = (
    sa.select(subscriptions.c.device)
    .distinct()
    .where(
        subscriptions.c.channel == sa.bindparam("wanted"),
        subscriptions.c.device > sa.bindparam("after"),
        sa.or_(
            sa.bindparam("holder", type_=sa.Text).is_(None), subscriptions.c.device == sa.bindparam("holder")
        ),
    )
    .order_by(subscriptions.c.device)
    .limit(DEVICES_AT_ONCE)
    .subquery()
)
_ONE = (
    sa.select(sa.bindparam("holder").label("device"))
    .where(sa.bindparam("holder") > sa.bindparam("after"))
    .subquery()
)


def _holders(some: sa.Subquery) -> "sa.Select[*tuple[Any, ...]]":
    """Return the query for devices of `some`: whether they hold a grant of an epoch, and erased anything."""
    return sa.select(
        some.c.device,
        sa.exists().where(
            grants.c.device == some.c.device,
            grants.c.channel == sa.bindparam("wanted"),
            grants.c.epoch >= sa.bindparam("from_epoch"),
            grants.c.epoch <= sa.bindparam("epoch"),
            grants.c.until_epoch.is_not_distinct_from(sa.bindparam("fresh")),
            grants.c.granted_at_ms < sa.bindparam("before_ms"),
        ),
        sa.exists().where(
            erasures.c.device == some.c.device,
            erasures.c.channel == sa.bindparam("wanted"),
            erasures.c.void_at_ms.is_(None),
        ),
    ).order_by(some.c.device)


_HOLDERS, _HOLDER = _holders(_SOME), _holders(_ONE)
_NAMES = sa.select(channels.c.number, channels.c.name)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which usage is asked for: of a device, of a channel, of parts that begin in a span."""

    device: str | None = None
    channel: int | None = None
    since_ms: int = 0
    until_ms: int = 2**62


@dataclass(frozen=True, slots=True)
class Place:
    """Up to where usage was told: all parts below `number`, and of that one devices up to `device`."""

    number: int = 0
    device: str = ""

    def __str__(self) -> str:
        """Return it as `read_place` reads it."""
        return f"{self.number} {self.device}".rstrip()


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of what was on air, as it is recorded."""

    aired: Aired
    number: int
    recorded_at_ms: int
    first_epoch: int
    """The first of its chain, or itself: a grant of an earlier one is none of it."""


class UsagePage:
    """Goes on behind a place, as far as `rows` are taken and as it may look; `place` is how far it came.

    `is_cut` if it stopped before the end of what is recorded.
    """

    def __init__(self, connection: sa.Connection, wanted: Wanted, after: Place) -> None:
        self._connection = connection
        self._wanted = wanted
        self._names: dict[int, str] = {row.number: row.name for row in connection.execute(_NAMES)}
        self._looked_at = 0
        self.place = after
        self.is_cut = True

    def rows(self) -> Iterator[tuple[Place, UsageRow]]:
        """Yield events with the place at each."""
        last = self._connection.execute(_LAST).scalar() or 0
        while self._looked_at < LOOKED_AT_MAX:
            parts = self._parts()
            for part in parts:
                yield from self._of_part(part)
                if self._looked_at >= LOOKED_AT_MAX:
                    return
            if len(parts) < PARTS_AT_ONCE:
                self.place = max(self.place, Place(last + 1), key=lambda place: place.number)
                self.is_cut = False
                return

    def _parts(self) -> list[_Part]:
        asked = {
            "first": self.place.number,
            "wanted": self._wanted.channel,
            "since_ms": self._wanted.since_ms,
            "until_ms": self._wanted.until_ms,
        }
        found = self._connection.execute(_PARTS, asked)
        return [self._part(_aired(row), row.number, row.recorded_at_ms) for row in found.all()]

    def _part(self, part: Aired, number: int, recorded_at_ms: int) -> _Part:
        first = part.epoch
        if part.fresh_at is not None:
            first = billing_source.first_of_chain(self._connection, part.channel, part.epoch)
        return _Part(part, number, recorded_at_ms, first)

    def _of_part(self, part: _Part) -> Iterator[tuple[Place, UsageRow]]:
        """Yield the events of one part behind the place, and pass it."""
        after = self.place.device if self.place.number == part.number else ""
        air: AirLog | None = None
        while True:
            found = self._some(part, after)
            self._looked_at += len(found) + 1
            for device, holds, has_erased in found:
                if holds and has_erased and air is None:
                    air = billing_source.log_around(self._connection, part.aired)
                if holds and (not has_erased or self._is_charged(device, part, air)):
                    yield Place(part.number, device), self._row(part, device)
            if len(found) < DEVICES_AT_ONCE:
                self.place = Place(part.number + 1)
                return
            after = found[-1][0]
            self.place = Place(part.number, after)
            if self._looked_at >= LOOKED_AT_MAX:
                return

    def _is_charged(self, device: str, part: _Part, air: AirLog | None) -> bool:
        """Whether a device that holds a grant of a part did not erase it before."""
        return air is None or part.aired.epoch in billing_source.charged(self._connection, device, air)

    def _some(self, part: _Part, after: str) -> list[tuple[str, bool, bool]]:
        """Return devices of the channel above `after`: whether each was granted it, and erased anything."""
        epoch, fresh_at = part.aired.epoch, part.aired.fresh_at
        asked = {
            "wanted": part.aired.channel,
            "holder": self._wanted.device,
            "after": after,
            "from_epoch": part.first_epoch,
            "epoch": epoch,
            "fresh": fresh_at,
            "before_ms": FAR_MS if part.aired.given_up_at_ms is None else part.aired.given_up_at_ms,
        }
        query = _HOLDERS if self._wanted.device is None else _HOLDER
        return [(row[0], row[1], row[2]) for row in self._connection.execute(query, asked)]

    def _row(self, part: _Part, device: str) -> UsageRow:
        each = part.aired
        return UsageRow(
            id=f"{each.name}/{device}",
            device=device,
            channel=each.channel,
            channel_name=self._names.get(each.channel, ""),
            epoch=each.epoch,
            turn=each.turn,
            cause=each.cause,
            start_ms=each.start_ms,
            end_ms=each.end_ms,
            bytes=each.bytes,
            packets=each.packets,
            recorded_at_ms=part.recorded_at_ms,
        )


def usage_page(connection: sa.Connection, wanted: Wanted, after: Place, limit: int) -> UsageList:
    """Return usage behind a place: at most `limit` events, and fewer if a message holds no more."""
    page = UsagePage(connection, wanted, after)
    found: list[UsageRow] = []
    size, told = 0, after
    for place, row in page.rows():
        size += len(encode(row)) + 1
        if len(found) == limit or (found and size > PAGE_BYTES_MAX):
            return UsageList(usage=found, next=str(told), more=True)
        found.append(row)
        told = place
    return UsageList(usage=found, next=str(page.place), more=page.is_cut)


def read_place(text: str) -> Place:
    """Return the place that `next` of an answer names, the beginning for ''; raises a refusal for others."""
    number, _, device = text.partition(" ")
    if not text:
        return Place()
    if not (number.isascii() and number.isdigit() and len(number) <= NUMBER_DIGITS_MAX):
        raise refusal("bad-request", "after is not what an answer gave as next")
    return Place(int(number), device)


def _aired(row: Sequence[Any]) -> Aired:
    return Aired(*row[: len(FIELDS)])
