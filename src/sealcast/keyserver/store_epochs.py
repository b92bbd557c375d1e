"""Owns the queries on epochs: the slots given out, their states, and their keys, wrapped."""

from collections.abc import Iterable

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.keys.lease import RunSlot
from sealcast.keys.material import Tek
from sealcast.keys.table import KeyState
from sealcast.keyserver.service_air import Step
from sealcast.keyserver.tables import epochs
from sealcast.keyserver.values import EpochRow

_OF_CHANNEL = epochs.c.channel == sa.bindparam("wanted")
_OF_EPOCH = sa.and_(_OF_CHANNEL, epochs.c.epoch == sa.bindparam("turn"))
_FIELDS = (
    epochs.c.epoch,
    epochs.c.sender,
    epochs.c.ssrc,
    epochs.c.consumed,
    epochs.c.state,
    epochs.c.wrapped_key.is_not(None).label("has_key"),
    epochs.c.off_air_at_ms,
    epochs.c.follows,
    epochs.c.fresh_at,
)
_LIVE = (
    sa.select(*_FIELDS).where(_OF_CHANNEL, epochs.c.state != KeyState.RETIRED.name).order_by(epochs.c.epoch)
)
_FIND = sa.select(*_FIELDS).where(_OF_EPOCH)
_HIGHEST_ON_AIR = sa.select(sa.func.max(epochs.c.epoch)).where(
    _OF_CHANNEL, epochs.c.on_air_at_ms.is_not(None)
)
_OWNS_SSRC = sa.select(epochs.c.epoch).where(
    _OF_CHANNEL, epochs.c.ssrc == sa.bindparam("run"), epochs.c.sender == sa.bindparam("owner")
)
_LEASED_TO = sa.select(epochs.c.epoch).where(_OF_CHANNEL, epochs.c.sender == sa.bindparam("owner"))
_SSRCS = sa.select(epochs.c.ssrc).where(_OF_CHANNEL)
_KEY = sa.select(epochs.c.wrapped_key).where(_OF_EPOCH)
_CONSUME = (
    epochs.update()
    .where(
        _OF_CHANNEL,
        epochs.c.sender == sa.bindparam("owner"),
        epochs.c.epoch < sa.bindparam("first_unused"),
        epochs.c.consumed.is_(False),
    )
    .values(consumed=True)
)
_SET_KEY = (
    epochs.update()
    .where(_OF_EPOCH)
    .values(
        wrapped_key=sa.bindparam("key"),
        state=sa.bindparam("to"),
        published_at_ms=sa.bindparam("now_ms"),
        follows=sa.bindparam("before"),
        fresh_at=sa.bindparam("fresh"),
    )
)
_DROP_LINK = epochs.update().where(_OF_EPOCH).values(wrapped_key=sa.bindparam("key"))
_HAS_CHAIN = sa.select(epochs.c.epoch).where(_OF_CHANNEL, epochs.c.fresh_at == sa.bindparam("fresh")).limit(1)
_ON_AIR = (
    epochs.update()
    .where(_OF_EPOCH)
    .values(
        state=sa.bindparam("to"),
        consumed=True,
        on_air_at_ms=sa.bindparam("now_ms"),
    )
)
_SET_CAUSE = epochs.update().where(_OF_EPOCH).values(cause=sa.bindparam("why"))
_DRAIN = (
    epochs.update().where(_OF_EPOCH).values(state=sa.bindparam("to"), off_air_at_ms=sa.bindparam("now_ms"))
)
_RETIRE = (
    epochs.update()
    .where(_OF_EPOCH)
    .values(state=sa.bindparam("to"), wrapped_key=None, retired_at_ms=sa.bindparam("now_ms"))
)


def live(connection: sa.Connection, channel: ChannelNumber) -> tuple[EpochRow, ...]:
    """Return the epochs of a channel that are not retired, in order: a few dozen at most."""
    return tuple(_row(row) for row in connection.execute(_LIVE, {"wanted": channel}))


def find(connection: sa.Connection, key_id: KeyId) -> EpochRow | None:
    """Return one epoch, retired or not."""
    row = connection.execute(_FIND, _name(key_id)).one_or_none()
    return None if row is None else _row(row)


def highest_on_air(connection: sa.Connection, channel: ChannelNumber) -> Epoch | None:
    """Return the highest epoch that ever was on air."""
    return connection.execute(_HIGHEST_ON_AIR, {"wanted": channel}).scalar()


def owns_ssrc(connection: sa.Connection, channel: ChannelNumber, sender: str, ssrc: int) -> Epoch | None:
    """Return the epoch of the run slot with that SSRC, if it was given to `sender`."""
    return connection.execute(_OWNS_SSRC, {"wanted": channel, "run": ssrc, "owner": sender}).scalar()


def leased_to(connection: sa.Connection, channel: ChannelNumber, sender: str) -> frozenset[int]:
    """Return all epochs ever given to a sender."""
    return frozenset(connection.execute(_LEASED_TO, {"wanted": channel, "owner": sender}).scalars())


def ssrcs(connection: sa.Connection, channel: ChannelNumber) -> frozenset[int]:
    """Return all SSRCs ever given on a channel."""
    return frozenset(connection.execute(_SSRCS, {"wanted": channel}).scalars())


def add_slots(
    connection: sa.Connection, channel: ChannelNumber, sender: str, slots: Iterable[RunSlot], now_ms: int
) -> None:
    """Give fresh slots to a sender."""
    rows = [
        {
            "channel": channel,
            "epoch": slot.epoch,
            "sender": sender,
            "ssrc": slot.ssrc,
            "consumed": False,
            "state": KeyState.PLANNED.name,
            "leased_at_ms": now_ms,
        }
        for slot in slots
    ]
    if rows:
        connection.execute(epochs.insert(), rows)


def consume(connection: sa.Connection, channel: ChannelNumber, sender: str, first_unused: int) -> None:
    """Note that a sender has consumed its slots below `first_unused`."""
    connection.execute(_CONSUME, {"wanted": channel, "owner": sender, "first_unused": first_unused})


def wrapped_key(connection: sa.Connection, key_id: KeyId) -> bytes | None:
    """Return the wrapped key of an epoch, if there is one."""
    return connection.execute(_KEY, _name(key_id)).scalar()


def set_key(connection: sa.Connection, tek: Tek, wrapped: bytes, state: KeyState, now_ms: int) -> None:
    """Store the key of an epoch, as `wrapped`, with its place in a chain if it is of one."""
    follows = tek.origin.follows if tek.origin is not None else None
    chain = {
        "before": follows.epoch if follows is not None else None,
        "fresh": tek.origin.fresh_at if tek.origin is not None else None,
    }
    kept = {"key": wrapped, "to": state.name, "now_ms": now_ms}
    connection.execute(_SET_KEY, {**_name(tek.key_id), **kept, **chain})


def drop_link(connection: sa.Connection, key_id: KeyId, wrapped: bytes) -> None:
    """Keep of a chain's key the TEK alone, as `wrapped`: nothing can follow from it any more."""
    connection.execute(_DROP_LINK, {**_name(key_id), "key": wrapped})


def has_chain(connection: sa.Connection, channel: ChannelNumber, fresh_at: Epoch) -> bool:
    """Return whether a chain of the channel, now or earlier, has its next fresh start at that epoch."""
    return connection.execute(_HAS_CHAIN, {"wanted": channel, "fresh": fresh_at}).scalar() is not None


def store_step(connection: sa.Connection, key_id: KeyId, step: Step, now_ms: int) -> None:
    """Store that an epoch moved on; a retired one loses its key."""
    query = {KeyState.ACTIVE: _ON_AIR, KeyState.DRAINING: _DRAIN, KeyState.RETIRED: _RETIRE}[step.state]
    connection.execute(query, {**_name(key_id), "to": step.state.name, "now_ms": now_ms})


def set_cause(connection: sa.Connection, key_id: KeyId, cause: str) -> None:
    """Note why an epoch went on air."""
    connection.execute(_SET_CAUSE, {**_name(key_id), "why": cause})


def _name(key_id: KeyId) -> dict[str, object]:
    return {"wanted": key_id.channel, "turn": key_id.epoch}


def _row(row: sa.Row[tuple[object, ...]]) -> EpochRow:
    return EpochRow(
        epoch=Epoch(row.epoch),
        sender=row.sender,
        ssrc=Ssrc(row.ssrc),
        consumed=row.consumed,
        state=KeyState[row.state],
        has_key=bool(row.has_key),
        off_air_at_ms=row.off_air_at_ms,
        follows=None if row.follows is None else Epoch(row.follows),
        fresh_at=None if row.fresh_at is None else Epoch(row.fresh_at),
    )
