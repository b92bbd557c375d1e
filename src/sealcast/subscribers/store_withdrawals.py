"""Owns the record of withdrawals: begun, superseded, closed with their evidence; and of erased keys."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.messages.subscribing import ALL_CHANNELS
from sealcast.storage.direct import Direct
from sealcast.subscribers.service_withdrawal import Withdrawal
from sealcast.subscribers.tables import erasures, subscriptions, withdrawals

ENDED_BY = "withdrawn"
"""How a subscription ended, in `subscriptions.ended_by`."""

SUPERSEDED_MAX = 50
"""Withdrawals of one device that were begun and replaced: a statement of one before those is bad, not stale.
More say nothing new, and would let a device fill the database."""

_FIELDS = (
    withdrawals.c.number,
    withdrawals.c.device,
    withdrawals.c.scope,
    withdrawals.c.counter,
    withdrawals.c.superseded_at_ms,
    withdrawals.c.closed_at_ms,
    withdrawals.c.receipt,
)
_OF_DEVICE = withdrawals.c.device == sa.bindparam("device_id")
_BY_NONCE = sa.select(*_FIELDS).where(withdrawals.c.nonce_sha256 == sa.bindparam("nonce"))
_BY_STATEMENT = sa.select(*_FIELDS).where(
    _OF_DEVICE, withdrawals.c.statement_sha256 == sa.bindparam("statement")
)
_LAST_COUNTER = sa.select(sa.func.max(withdrawals.c.counter)).where(_OF_DEVICE)
_SUPERSEDE = (
    withdrawals.update()
    .where(_OF_DEVICE, withdrawals.c.closed_at_ms.is_(None), withdrawals.c.superseded_at_ms.is_(None))
    .values(superseded_at_ms=sa.bindparam("now_ms"))
)
_FORGET = withdrawals.delete().where(
    _OF_DEVICE,
    withdrawals.c.superseded_at_ms.is_not(None),
    withdrawals.c.closed_at_ms.is_(None),
    withdrawals.c.counter < sa.bindparam("oldest"),
)
_BEGIN = withdrawals.insert()
_CLOSE = (
    withdrawals.update()
    .where(withdrawals.c.number == sa.bindparam("wanted"))
    .values(
        closed_at_ms=sa.bindparam("now_ms"),
        statement=sa.bindparam("token"),
        statement_sha256=sa.bindparam("digest"),
        receipt=sa.bindparam("proof"),
        last_subscription=sa.select(sa.func.max(subscriptions.c.id))
        .where(subscriptions.c.device == sa.bindparam("device_id"))
        .scalar_subquery(),
    )
)
_LIVE_SUBSCRIPTIONS = (
    sa.select(subscriptions.c.channel)
    .where(subscriptions.c.device == sa.bindparam("device_id"), subscriptions.c.removed_at_ms.is_(None))
    .order_by(subscriptions.c.channel)
)
_END = (
    subscriptions.update()
    .where(
        subscriptions.c.device == sa.bindparam("device_id"),
        subscriptions.c.channel == sa.bindparam("channel_number"),
        subscriptions.c.removed_at_ms.is_(None),
    )
    .values(removed_at_ms=sa.bindparam("now_ms"), ended_by=ENDED_BY)
)
_CHANNELS_SINCE = sa.select(subscriptions.c.channel).where(
    subscriptions.c.device == sa.bindparam("device_id"),
    subscriptions.c.id
    > sa.select(withdrawals.c.last_subscription)
    .where(withdrawals.c.number == sa.bindparam("wanted"))
    .scalar_subquery(),
)
_ERASED_KEK = (
    sa.select(sa.literal(1))
    .where(
        _OF_DEVICE,
        withdrawals.c.scope == ALL_CHANNELS,
        withdrawals.c.closed_at_ms >= sa.bindparam("since_ms"),
    )
    .limit(1)
)
_ERASE = erasures.insert()
AT_ONCE = 3
"""Epochs in one statement: as many as a key request brings at most."""

_VOID = Direct(
    erasures.update()
    .where(
        erasures.c.device == sa.bindparam("device_id"),
        erasures.c.channel == sa.bindparam("channel_number"),
        sa.or_(*(erasures.c.epoch == sa.bindparam(f"wanted_{at}") for at in range(AT_ONCE))),
        erasures.c.void_at_ms.is_(None),
    )
    .values(void_at_ms=sa.bindparam("now_ms"))
)
_VOID_ONE = Direct(
    erasures.update()
    .where(
        erasures.c.device == sa.bindparam("device_id"),
        erasures.c.channel == sa.bindparam("channel_number"),
        erasures.c.epoch == sa.bindparam("turn"),
        erasures.c.void_at_ms.is_(None),
    )
    .values(void_at_ms=sa.bindparam("now_ms"))
)
_OF_CHAIN = sa.and_(
    erasures.c.device == sa.bindparam("device_id"),
    erasures.c.channel == sa.bindparam("channel_number"),
    erasures.c.epoch >= sa.bindparam("first"),
    erasures.c.epoch < sa.bindparam("until"),
    erasures.c.void_at_ms.is_(None),
)
_HAS_ERASED = (
    sa.select(erasures.c.epoch).where(_OF_CHAIN, erasures.c.erased_at_ms >= sa.bindparam("since_ms")).limit(1)
)
_VOID_CHAIN = erasures.update().where(_OF_CHAIN).values(void_at_ms=sa.bindparam("now_ms"))


@dataclass(frozen=True, slots=True)
class Beginning:
    """A withdrawal that begins: its scope (a number in digits, or `*`), counter, and its nonce's SHA-256."""

    device: str
    scope: str
    nonce_sha256: bytes
    counter: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Closing:
    """A withdrawal that is closed by a statement: the evidence, and what the device is given for it."""

    number: int
    device: str
    statement: str
    statement_sha256: bytes
    receipt: str
    at_ms: int


def begin(connection: sa.Connection, beginning: Beginning) -> None:
    """Record a withdrawal that begins; one of the device that is open still is superseded."""
    connection.execute(_SUPERSEDE, {"device_id": beginning.device, "now_ms": beginning.at_ms})
    oldest = beginning.counter - SUPERSEDED_MAX
    connection.execute(_FORGET, {"device_id": beginning.device, "oldest": oldest})
    connection.execute(
        _BEGIN,
        {
            "device": beginning.device,
            "scope": beginning.scope,
            "nonce_sha256": beginning.nonce_sha256,
            "counter": beginning.counter,
            "begun_at_ms": beginning.at_ms,
        },
    )


def next_counter(connection: sa.Connection, device: str) -> int:
    """Return the counter of a device's next withdrawal: 1 for the first."""
    return int(connection.execute(_LAST_COUNTER, {"device_id": device}).scalar() or 0) + 1


def find_by_nonce(connection: sa.Connection, nonce_sha256: bytes) -> Withdrawal | None:
    """Return the withdrawal, of whatever device, that a nonce was given for."""
    return _withdrawal(connection.execute(_BY_NONCE, {"nonce": nonce_sha256}).one_or_none())


def find_by_statement(connection: sa.Connection, device: str, statement_sha256: bytes) -> Withdrawal | None:
    """Return the withdrawal of a device that a statement closed."""
    found = connection.execute(_BY_STATEMENT, {"device_id": device, "statement": statement_sha256})
    return _withdrawal(found.one_or_none())


def close(connection: sa.Connection, closing: Closing) -> None:
    """Record that a statement closed a withdrawal; the device's subscriptions have ended before."""
    connection.execute(
        _CLOSE,
        {
            "wanted": closing.number,
            "device_id": closing.device,
            "now_ms": closing.at_ms,
            "token": closing.statement,
            "digest": closing.statement_sha256,
            "proof": closing.receipt,
        },
    )


def subscribed_channels(connection: sa.Connection, device: str) -> list[ChannelNumber]:
    """Return the channels that a device is subscribed to, by number."""
    return [
        ChannelNumber(number)
        for number in connection.execute(_LIVE_SUBSCRIPTIONS, {"device_id": device}).scalars()
    ]


def subscribed_since(connection: sa.Connection, device: str, withdrawal: int) -> frozenset[ChannelNumber]:
    """Return the channels that a device has subscribed to since that withdrawal was closed."""
    found = connection.execute(_CHANNELS_SINCE, {"device_id": device, "wanted": withdrawal}).scalars()
    return frozenset(ChannelNumber(number) for number in found)


def has_erased_kek(connection: sa.Connection, device: str, since_ms: int) -> bool:
    """Return whether a device has withdrawn from everything, and so destroyed its KEK, since `since_ms`."""
    found = connection.execute(_ERASED_KEK, {"device_id": device, "since_ms": since_ms})
    return found.scalar() is not None


def end_subscription(connection: sa.Connection, device: str, channel: ChannelNumber, now_ms: int) -> None:
    """End a subscription because the device has withdrawn from it."""
    connection.execute(_END, {"device_id": device, "channel_number": channel, "now_ms": now_ms})


def add_erasures(
    connection: sa.Connection, withdrawal: int, device: str, keys: Iterable[KeyId], now_ms: int
) -> None:
    """Record keys that a verified statement says are destroyed."""
    rows = [
        {
            "withdrawal": withdrawal,
            "channel": key_id.channel,
            "epoch": key_id.epoch,
            "device": device,
            "erased_at_ms": now_ms,
        }
        for key_id in keys
    ]
    if rows:
        connection.execute(_ERASE, rows)


def void_erasures(
    connection: sa.Connection, device: str, channel: ChannelNumber, epochs: Iterable[Epoch], now_ms: int
) -> None:
    """Note that a device was given keys again that it had destroyed: their erasure proves nothing now."""
    asked = {"device_id": device, "channel_number": channel, "now_ms": now_ms}
    wanted = sorted(epochs)
    for begin in range(0, len(wanted), AT_ONCE):
        first, second, third = (wanted[begin : begin + AT_ONCE] * AT_ONCE)[:AT_ONCE]
        _VOID.change(connection, [{**asked, "wanted_0": first, "wanted_1": second, "wanted_2": third}])


def void_all(
    connection: sa.Connection, given: Iterable[tuple[str, ChannelNumber, Epoch]], now_ms: int
) -> None:
    """Do as `void_erasures` for many devices, each with a channel and an epoch."""
    rows = [
        {"device_id": device, "channel_number": channel, "turn": epoch, "now_ms": now_ms}
        for device, channel, epoch in given
    ]
    _VOID_ONE.change(connection, rows)


def has_erased(
    connection: sa.Connection,
    device: str,
    channel: ChannelNumber,
    *,
    first: Epoch,
    until: Epoch,
    since_ms: int,
) -> bool:
    """Return whether a device stated, since an instant, that it destroyed keys of a part of a chain."""
    asked = {"device_id": device, "channel_number": channel, "first": first, "until": until}
    return connection.execute(_HAS_ERASED, {**asked, "since_ms": since_ms}).scalar() is not None


def void_chain(
    connection: sa.Connection,
    device: str,
    channel: ChannelNumber,
    *,
    first: Epoch,
    until: Epoch,
    now_ms: int,
) -> None:
    """Do as `void_erasures` for all that follows in a chain from `first` to before `until`."""
    asked = {"device_id": device, "channel_number": channel, "first": first, "until": until}
    connection.execute(_VOID_CHAIN, {**asked, "now_ms": now_ms})


def _withdrawal(row: "sa.Row[*tuple[Any, ...]] | None") -> Withdrawal | None:
    if row is None:
        return None
    return Withdrawal(
        number=row.number,
        device=row.device,
        scope=row.scope,
        counter=row.counter,
        is_superseded=row.superseded_at_ms is not None,
        is_closed=row.closed_at_ms is not None,
        receipt=row.receipt,
    )
