"""Owns the queries on requests that were decided, and on grants."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keys.table import KeyState
from sealcast.keyserver.tables import epochs, grants, requests
from sealcast.storage.direct import Direct
from sealcast.storage.manyrows import adding_new
from sealcast.storage.upsert import insert

PRUNED_AT_ONCE_MAX = 2_000
"""Old requests dropped in one go: a few ms, so that nobody waits for the broom."""

NOT_CHAINED: Mapping[Epoch, Epoch] = MappingProxyType({})
_FIND = Direct(
    sa.select(requests.c.digest, requests.c.decision).where(
        requests.c.principal == sa.bindparam("caller"), requests.c.jti == sa.bindparam("unique_id")
    )
)
_REMEMBER = Direct(requests.insert(), ("principal", "jti", "digest", "decision", "asked_at_ms"))
_OLD = (
    sa.select(requests.c.principal, requests.c.jti)
    .where(requests.c.asked_at_ms < sa.bindparam("before_ms"))
    .limit(PRUNED_AT_ONCE_MAX)
)
_PRUNE = requests.delete().where(sa.tuple_(requests.c.principal, requests.c.jti).in_(_OLD))
_GRANT = Direct(
    insert(grants).on_conflict_do_nothing(), ("device", "channel", "epoch", "granted_at_ms", "until_epoch")
)


def _grant_of(count: int) -> Direct:
    """Return the statement that grants one device `count` epochs of a channel at once."""
    row = {
        "device": sa.bindparam("holder", type_=sa.Text()),
        "channel": sa.bindparam("number", type_=sa.BigInteger()),
        "granted_at_ms": sa.bindparam("now_ms", type_=sa.BigInteger()),
    }
    turns = (sa.bindparam(f"turn_{at}", type_=sa.BigInteger()) for at in range(count))
    return Direct(insert(grants).values([{**row, "epoch": turn} for turn in turns]).on_conflict_do_nothing())


_GRANTS = {count: _grant_of(count) for count in (1, 2, 3)}
"""As many as a key request brings, at most."""

_GRANT_NEW = adding_new(grants, (grants.c.device, grants.c.channel, grants.c.epoch, grants.c.granted_at_ms))
_GRANT_ALL = sa.text(
    "INSERT INTO grants (device, channel, epoch, granted_at_ms, until_epoch)"
    " SELECT device, channel, epoch, granted_at_ms, until_epoch FROM json_to_recordset(CAST(:made AS json))"
    " AS made (device text, channel bigint, epoch bigint, granted_at_ms bigint, until_epoch bigint)"
    " ON CONFLICT DO NOTHING"
)
_GRANT_IN_CHAIN = (
    sa.select(grants.c.epoch, grants.c.granted_at_ms)
    .where(
        grants.c.device == sa.bindparam("holder"),
        grants.c.channel == sa.bindparam("wanted"),
        grants.c.until_epoch == sa.bindparam("until"),
        grants.c.epoch <= sa.bindparam("turn"),
    )
    .order_by(grants.c.epoch.desc())
    .limit(1)
)
_GRANTED = (
    sa.select(grants.c.device, grants.c.epoch)
    .where(grants.c.channel == sa.bindparam("wanted"))
    .order_by(grants.c.device, grants.c.epoch)
)
_COVERED = sa.and_(
    epochs.c.channel == grants.c.channel,
    epochs.c.epoch >= grants.c.epoch,
    epochs.c.epoch < sa.func.coalesce(grants.c.until_epoch, grants.c.epoch + 1),
    sa.or_(grants.c.until_epoch.is_(None), epochs.c.fresh_at == grants.c.until_epoch),
)
"""Epochs whose keys a grant brought: its own, and of a chain those that follow."""

_LIVE_GRANTS = (
    sa.select(epochs.c.channel, epochs.c.epoch)
    .distinct()
    .select_from(grants)
    .join(epochs, _COVERED)
    .where(
        grants.c.device == sa.bindparam("wanted"),
        grants.c.channel.in_(sa.bindparam("numbers", expanding=True)),
        epochs.c.state != KeyState.RETIRED.name,
    )
    .order_by(epochs.c.epoch.desc(), epochs.c.channel)
    .limit(sa.bindparam("count"))
)
_GRANTED_AMONG = (
    sa.select(epochs.c.epoch)
    .distinct()
    .select_from(grants)
    .join(epochs, _COVERED)
    .where(
        grants.c.device == sa.bindparam("wanted"),
        grants.c.channel == sa.bindparam("number"),
        epochs.c.epoch.in_(sa.bindparam("turns", expanding=True)),
    )
)


@dataclass(frozen=True, slots=True)
class Decided:
    """A request that was decided: `digest` of its body, and the decision as the server keeps it."""

    digest: bytes
    decision: bytes


def find(connection: sa.Connection, caller: str, jti: str) -> Decided | None:
    """Return what was decided on the request of that id by that caller."""
    row = _FIND.first(connection, {"caller": caller, "unique_id": jti})
    return None if row is None else Decided(*row)


def remember(connection: sa.Connection, caller: str, jti: str, decided: Decided, now_ms: int) -> None:
    """Keep a decision, so that the same request gets it again."""
    row = {
        "principal": caller,
        "jti": jti,
        "digest": decided.digest,
        "decision": decided.decision,
        "asked_at_ms": now_ms,
    }
    _REMEMBER.change(connection, [row])


def prune(connection: sa.Connection, before_ms: int) -> int:
    """Forget requests older than `before_ms`, at most `PRUNED_AT_ONCE_MAX`; return how many."""
    return connection.execute(_PRUNE, {"before_ms": before_ms}).rowcount


def grant(
    connection: sa.Connection,
    device: str,
    channel: ChannelNumber,
    epochs: Iterable[Epoch],
    now_ms: int,
    *,
    until: Mapping[Epoch, Epoch] = NOT_CHAINED,
) -> int:
    """Record that a device was given the keys of `epochs`; return how many of them it had not before.

    `until` has the next fresh start for those that are of a chain.
    """
    turns = list(epochs)
    at_once = None if until else _GRANTS.get(len(turns))
    if at_once is not None:
        shared = {"holder": device, "number": channel, "now_ms": now_ms}
        return at_once.change(
            connection, [{**shared, **{f"turn_{at}": turn for at, turn in enumerate(turns)}}]
        )
    rows = [
        {
            "device": device,
            "channel": channel,
            "epoch": epoch,
            "granted_at_ms": now_ms,
            "until_epoch": until.get(epoch),
        }
        for epoch in turns
    ]
    return _GRANT.change(connection, rows)


def grant_all(
    connection: sa.Connection, rows: Sequence[tuple[str, ChannelNumber, Epoch, int]]
) -> set[tuple[str, ChannelNumber, Epoch]]:
    """Record grants of devices, channels and epochs at an instant (ms); return those that were not there."""
    return set(_GRANT_NEW.all(connection, rows))


def add_grants(connection: sa.Connection, rows: Sequence[Mapping[str, object]]) -> int:
    """Record grants of many devices, each a row of the table; return how many were not there before."""
    if connection.dialect.name != "postgresql":
        return _GRANT.change(connection, rows)
    # There each row of its own costs as much as ten in one statement.
    return connection.execute(_GRANT_ALL, {"made": msgspec.json.encode(rows).decode()}).rowcount


def grant_in_chain(
    connection: sa.Connection, device: str, channel: ChannelNumber, until: Epoch, epoch: Epoch
) -> tuple[Epoch, int] | None:
    """Return the newest grant up to `epoch` of the chain that ends before `until`: its epoch and instant."""
    asked = {"holder": device, "wanted": channel, "until": until, "turn": epoch}
    row = connection.execute(_GRANT_IN_CHAIN, asked).one_or_none()
    return None if row is None else (Epoch(row.epoch), row.granted_at_ms)


def granted(connection: sa.Connection, channel: ChannelNumber) -> list[tuple[str, Epoch]]:
    """Return the grants of a channel as (device, epoch)."""
    return [(device, Epoch(epoch)) for device, epoch in connection.execute(_GRANTED, {"wanted": channel})]


def live_keys_of(
    connection: sa.Connection, device: str, channels: Iterable[ChannelNumber], limit: int
) -> list[KeyId]:
    """Return the keys that a device was granted, or follows to, that may still open something."""
    parameters = {"wanted": device, "numbers": list(channels), "count": limit}
    rows = connection.execute(_LIVE_GRANTS, parameters)
    return [KeyId(ChannelNumber(channel), Epoch(epoch)) for channel, epoch in rows]


def granted_among(connection: sa.Connection, device: str, keys: Iterable[KeyId]) -> list[KeyId]:
    """Return those of `keys` that were granted to a device, or follow from such, in order."""
    wanted: dict[ChannelNumber, list[Epoch]] = {}
    for key_id in sorted(keys):
        wanted.setdefault(key_id.channel, []).append(key_id.epoch)
    return [
        KeyId(number, Epoch(epoch))
        for number, turns in wanted.items()
        for epoch in sorted(
            connection.execute(_GRANTED_AMONG, {"wanted": device, "number": number, "turns": turns}).scalars()
        )
    ]
