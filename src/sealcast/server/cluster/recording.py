"""Owns how grants that replicas made come into the database: many at once, each once, as `granting` has it.

The instant is the replica's. A grant that the database has already adds nothing. One that is younger than the
device's statement that it destroyed this key makes the statement void; an older one does not.

A batch is looked up in two queries, whatever its size, in two more if any of its devices ever withdrew.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from sealcast.cluster.store_journals import Aside
from sealcast.core.ids import ChannelNumber, Epoch
from sealcast.keyserver import store_evidence, store_requests
from sealcast.keyserver.tables import epochs, grants, principals
from sealcast.messages.cluster import GrantedRow
from sealcast.messages.encoding import encode
from sealcast.server.cluster.stated import Closed, closed_by, grant_made, state_again
from sealcast.storage.among import among, among_pairs, listed
from sealcast.subscribers import store_withdrawals
from sealcast.subscribers.tables import erasures

_KNOWN = sa.select(principals.c.id).where(among(principals.c.id, "devices"))
_EPOCHS = sa.select(epochs.c.channel, epochs.c.epoch, epochs.c.fresh_at).where(
    among(epochs.c.channel, "numbers"), among(epochs.c.epoch, "turns")
)
_GRANTED = sa.select(
    grants.c.device, grants.c.channel, grants.c.epoch, grants.c.until_epoch, grants.c.granted_at_ms
).where(
    among_pairs(grants.c.device, grants.c.channel, "places"),
    sa.or_(among(grants.c.epoch, "turns"), among(grants.c.until_epoch, "ends")),
)
_ERASED = sa.select(erasures.c.device, erasures.c.channel, erasures.c.epoch, erasures.c.erased_at_ms).where(
    among(erasures.c.device, "devices"), erasures.c.void_at_ms.is_(None)
)

Place = tuple[str, int]
"""A device and a channel."""


@dataclass(slots=True)
class _Known:
    """What the database says of all that a batch names; of grants and erasures only if they matter."""

    fresh_at: dict[tuple[int, int], int | None]
    devices: frozenset[str] | None = None
    closed: Sequence[Closed] = ()
    is_looked_up: bool = False
    granted: set[tuple[str, int, int]] = field(default_factory=set)
    chains: dict[tuple[str, int, int], dict[int, int]] = field(default_factory=dict)
    erased: dict[Place, dict[int, int]] = field(default_factory=dict)

    def add(self, device: str, channel: int, epoch: int, until: int | None, at_ms: int) -> None:
        """Note a grant."""
        self.granted.add((device, channel, epoch))
        if until is not None:
            self.chains.setdefault((device, channel, until), {})[epoch] = at_ms


@dataclass(slots=True)
class Recorded:
    """What came of a batch: new grants, and rows that could not be recorded."""

    new: int = 0
    aside: list[Aside] = field(default_factory=list)


def record(
    connection: sa.Connection,
    rows: Sequence[tuple[int, GrantedRow]],
    *,
    keeps_evidence: bool,
    is_careful: bool = False,
) -> Recorded:
    """Record grants, each with its number in its journal; about 10 µs for each of many.

    Raises IntegrityError for devices that the database does not know, unless `is_careful`.
    """
    recorded = Recorded()
    if not rows:
        return recorded
    known = _look_up(
        connection, [row for _, row in rows], keeps_evidence=keeps_evidence, is_careful=is_careful
    )
    # What was erased in between counts for those that come after: such devices' rows take their turns.
    in_turn = {each.device for each in known.closed} if len(rows) > 1 else set()
    together = [(number, row) for number, row in rows if row.device not in in_turn]
    _record(connection, known, together, recorded, keeps_evidence=keeps_evidence)
    for numbered in rows:
        if numbered[1].device in in_turn:
            one = record(connection, [numbered], keeps_evidence=keeps_evidence, is_careful=is_careful)
            recorded.new += one.new
            recorded.aside += one.aside
    return recorded


def _record(
    connection: sa.Connection,
    known: _Known,
    rows: Sequence[tuple[int, GrantedRow]],
    recorded: Recorded,
    *,
    keeps_evidence: bool,
) -> None:
    """Record grants of which everything is known."""
    values: list[dict[str, object]] = []
    for number, row in rows:
        missing = _missing(known, row)
        if missing:
            recorded.aside.append(Aside(number, encode(row), missing))
            continue
        if not known.is_looked_up:
            # What is there already the database leaves as it is.
            values += [_value(row, epoch, None) for epoch in row.epochs]
            continue
        new = [value for epoch in sorted(row.epochs) if (value := _new(connection, known, row, epoch))]
        values += new
        if row.token and new and keeps_evidence:
            channel, turns = ChannelNumber(row.channel), [Epoch(epoch) for epoch in row.epochs]
            store_evidence.keep(connection, row.device, channel, turns, token=row.token, now_ms=row.at_ms)
    if values:
        recorded.new += store_requests.add_grants(connection, values)
        state_again(connection, known.closed, [grant_made(each) for each in values] if known.closed else [])


def _look_up(
    connection: sa.Connection, rows: Sequence[GrantedRow], *, keeps_evidence: bool, is_careful: bool
) -> _Known:
    """Return what the database says of the devices, epochs and grants that rows name."""
    devices = {row.device for row in rows}
    asked = {
        "devices": listed(devices),
        "places": listed({(row.device, row.channel) for row in rows}),
        "numbers": listed({row.channel for row in rows}),
        "turns": listed({epoch for row in rows for epoch in row.epochs}),
    }
    fresh_at = {(row[0], row[1]): row[2] for row in connection.execute(_EPOCHS, asked)}
    known = _Known(fresh_at)
    if is_careful:
        known.devices = frozenset(connection.execute(_KNOWN, asked).scalars())
    known.closed = closed_by(connection, devices)
    ends = {end for end in fresh_at.values() if end is not None}
    known.is_looked_up = bool(ends or known.closed or keeps_evidence)
    if known.is_looked_up:
        for row in connection.execute(_GRANTED, {**asked, "ends": listed(ends)}):
            known.add(*row)
    if known.closed:
        for device, channel, epoch, at_ms in connection.execute(_ERASED, asked):
            erased = known.erased.setdefault((device, channel), {})
            erased[epoch] = max(at_ms, erased.get(epoch, 0))
    return known


def _missing(known: _Known, row: GrantedRow) -> str:
    """Return what the database does not know that a row names, "" if it knows all."""
    if known.devices is not None and row.device not in known.devices:
        return f"no device {row.device}"
    for epoch in row.epochs:
        if (row.channel, epoch) not in known.fresh_at:
            return f"channel {row.channel} has no epoch {epoch}"
    return ""


def _new(connection: sa.Connection, known: _Known, row: GrantedRow, epoch: int) -> dict[str, object] | None:
    """Return the grant of one epoch if it is to be recorded; erasures that it contradicts are void."""
    until = known.fresh_at[row.channel, epoch]
    if until is not None and _goes_on(known, row, epoch, until):
        return None
    if known.erased:
        _void(connection, known, row, epoch, epoch + 1 if until is None else until)
    if (row.device, row.channel, epoch) in known.granted:
        return None
    known.add(row.device, row.channel, epoch, until, row.at_ms)
    return _value(row, epoch, until)


def _value(row: GrantedRow, epoch: int, until: int | None) -> dict[str, object]:
    """Return a row of the table of grants."""
    return {
        "device": row.device,
        "channel": row.channel,
        "epoch": epoch,
        "granted_at_ms": row.at_ms,
        "until_epoch": until,
    }


def _goes_on(known: _Known, row: GrantedRow, epoch: int, until: int) -> bool:
    """Whether the device has a grant of the chain that covers `epoch`, and destroyed none of it since."""
    known_grants = known.chains.get((row.device, row.channel, until), {})
    first = max((each for each in known_grants if each <= epoch), default=None)
    if first is None:
        return False
    erased = known.erased.get((row.device, row.channel), {})
    since_ms = known_grants[first]
    return not any(first <= each < until and since_ms <= at_ms < row.at_ms for each, at_ms in erased.items())


def _void(connection: sa.Connection, known: _Known, row: GrantedRow, first: int, until: int) -> None:
    """End the statements that keys from `first` to before `until` were destroyed, older than this grant."""
    erased = known.erased.get((row.device, row.channel))
    if erased is None:
        return
    over = [each for each, at_ms in erased.items() if first <= each < until and at_ms < row.at_ms]
    channel, turns = ChannelNumber(row.channel), [Epoch(each) for each in over]
    store_withdrawals.void_erasures(connection, row.device, channel, turns, row.at_ms)
    for each in over:
        del erased[each]
