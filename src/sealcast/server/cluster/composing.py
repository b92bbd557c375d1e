"""Owns how rows of the database become entries: parties, channels with their keys, what is on air.

An entry is the newest state of one thing, read in the transaction of its round. Keys are those of epochs that
may be granted, on air or published; they are unwrapped here and sealed for the bus before they leave.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.table import KeyState
from sealcast.keyserver import store_principals
from sealcast.keyserver.tables import (
    certificates,
    channel_senders,
    channels,
    epochs,
    fences,
    principals,
    reports,
)
from sealcast.keyserver.wrapped import unwrap_link, unwrap_tek
from sealcast.messages.answers import KeyMaterial
from sealcast.messages.channels import ChannelData
from sealcast.messages.cluster import (
    AirEntry,
    AirRow,
    CertificateRow,
    ChannelEntry,
    EpochEntry,
    FenceEntry,
    PartyEntry,
    SubscriptionRow,
)
from sealcast.messages.material import key_material
from sealcast.subscribers.tables import subscriptions

GRANTED_STATES = {KeyState.PUBLISHED.name, KeyState.ACTIVE.name}
"""Of epochs whose keys may be given to devices; of others no key leaves the master."""

_IDS: sa.BindParameter[list[str]] = sa.bindparam("ids", expanding=True)
_CERTIFICATES = (
    sa.select(
        certificates.c.principal,
        certificates.c.serial,
        certificates.c.use,
        certificates.c.issued_at_ms,
        certificates.c.expires_at_ms,
        certificates.c.revoked_at_ms,
        certificates.c.reason,
    )
    .where(certificates.c.principal.in_(_IDS))
    .order_by(certificates.c.issued_at_ms, certificates.c.serial)
)
_SUBSCRIPTIONS = (
    sa.select(
        subscriptions.c.device,
        subscriptions.c.channel,
        subscriptions.c.added_at_ms,
        subscriptions.c.user,
        subscriptions.c.kek,
    )
    .where(subscriptions.c.device.in_(_IDS), subscriptions.c.removed_at_ms.is_(None))
    .order_by(subscriptions.c.channel)
)
_OF_CHANNEL: sa.BindParameter[int] = sa.bindparam("wanted")
_CHANNEL = sa.select(channels).where(channels.c.number == _OF_CHANNEL)
_SENDERS = (
    sa.select(channel_senders.c.sender)
    .where(channel_senders.c.channel == _OF_CHANNEL)
    .order_by(channel_senders.c.sender)
)
_EPOCHS = (
    sa.select(epochs)
    .where(epochs.c.channel == _OF_CHANNEL, epochs.c.state != KeyState.RETIRED.name)
    .order_by(epochs.c.epoch)
)
_FENCES = (
    sa.select(fences)
    .where(fences.c.channel == _OF_CHANNEL, fences.c.reached_at_ms.is_(None))
    .order_by(fences.c.number)
)
_REPORTS = sa.select(reports).where(reports.c.channel == _OF_CHANNEL).order_by(reports.c.ssrc)
_PARTY_IDS = (
    sa.select(principals.c.id)
    .where(principals.c.id > sa.bindparam("behind"))
    .order_by(principals.c.id)
    .limit(sa.bindparam("count"))
)
_CHANNEL_NUMBERS = (
    sa.select(channels.c.number)
    .where(channels.c.number > sa.bindparam("behind"))
    .order_by(channels.c.number)
    .limit(sa.bindparam("count"))
)
_LIVE_PARTIES = sa.select(sa.func.count()).select_from(principals).where(principals.c.removed_at_ms.is_(None))
_LIVE_CHANNELS = sa.select(sa.func.count()).select_from(channels).where(channels.c.removed_at_ms.is_(None))


def parties(connection: sa.Connection, ids: Sequence[str], master: Secret) -> list[PartyEntry]:
    """Return what is known of these parties, by id; about 50 µs for each of many."""
    if not ids:
        return []
    papers: dict[str, list[CertificateRow]] = {}
    for row in connection.execute(_CERTIFICATES, {"ids": ids}):
        papers.setdefault(row.principal, []).append(
            CertificateRow(
                serial=row.serial,
                use=row.use,
                issued_at_ms=row.issued_at_ms,
                expires_at_ms=row.expires_at_ms,
                revoked_at_ms=row.revoked_at_ms,
                reason=row.reason,
            )
        )
    lists: dict[str, list[SubscriptionRow]] = {}
    for device, *fields in connection.execute(_SUBSCRIPTIONS, {"ids": ids}):
        lists.setdefault(device, []).append(
            SubscriptionRow(**dict(zip(("channel", "added_at_ms", "user", "kek"), fields, strict=True)))
        )
    return [
        PartyEntry(
            id=each.entry.id,
            role=each.entry.role,
            kind=each.entry.kind,
            registered_at_ms=each.entry.registered_at_ms,
            removed_at_ms=each.removed_at_ms,
            keys=each.keys,
            certificates=papers.get(each.entry.id, []),
            subscriptions=lists.get(each.entry.id, []),
        )
        for each in store_principals.among(connection, ids, master)
    ]


def channel(connection: sa.Connection, number: int, master: Secret) -> ChannelEntry | None:
    """Return a channel, live or removed, with the keys that may be granted; None if there never was one."""
    asked = {"wanted": number}
    row = connection.execute(_CHANNEL, asked).one_or_none()
    if row is None:
        return None
    names = ChannelData.__struct_fields__
    data = ChannelData(**{name: getattr(row, name) for name in names})
    is_live = row.removed_at_ms is None
    return ChannelEntry(
        channel=data,
        added_at_ms=row.added_at_ms,
        next_epoch=row.next_epoch,
        removed_at_ms=row.removed_at_ms,
        is_open=row.open,
        senders=list(connection.execute(_SENDERS, asked).scalars()),
        epochs=[_epoch(each, data, master) for each in connection.execute(_EPOCHS, asked)] if is_live else [],
        fences=[_fence(each) for each in connection.execute(_FENCES, asked)] if is_live else [],
    )


def air(connection: sa.Connection, number: int) -> AirEntry:
    """Return what is on air of a channel: nothing, if no run reports."""
    names = AirRow.__struct_fields__
    rows = connection.execute(_REPORTS, {"wanted": number})
    return AirEntry(
        channel=number, runs=[AirRow(**{name: getattr(row, name) for name in names}) for row in rows]
    )


def party_ids(connection: sa.Connection, behind: str, count: int) -> list[str]:
    """Return the next `count` ids of parties, also removed ones, behind that one."""
    return list(connection.execute(_PARTY_IDS, {"behind": behind, "count": count}).scalars())


def channel_numbers(connection: sa.Connection, behind: int, count: int) -> list[int]:
    """Return the next `count` numbers of channels, also removed ones, behind that one."""
    return list(connection.execute(_CHANNEL_NUMBERS, {"behind": behind, "count": count}).scalars())


def count_live(connection: sa.Connection) -> tuple[int, int]:
    """Return how many parties and channels live; some milliseconds for 100,000 parties."""
    found = connection.execute(_LIVE_PARTIES).scalar_one(), connection.execute(_LIVE_CHANNELS).scalar_one()
    return int(found[0]), int(found[1])


def _epoch(row: "sa.Row[tuple[object, ...]]", data: ChannelData, master: Secret) -> EpochEntry:
    return EpochEntry(
        epoch=row.epoch,
        sender=row.sender,
        ssrc=row.ssrc,
        state=row.state,
        leased_at_ms=row.leased_at_ms,
        consumed=row.consumed,
        cause=row.cause,
        published_at_ms=row.published_at_ms,
        on_air_at_ms=row.on_air_at_ms,
        off_air_at_ms=row.off_air_at_ms,
        follows=row.follows,
        fresh_at=row.fresh_at,
        material=_material(row, data, master),
    )


def _material(row: "sa.Row[tuple[object, ...]]", data: ChannelData, master: Secret) -> KeyMaterial | None:
    """Return the key of an epoch that may be granted."""
    if row.wrapped_key is None or row.state not in GRANTED_STATES:
        return None
    key_id, suite = KeyId(ChannelNumber(data.number), Epoch(row.epoch)), Suite(data.suite)
    if row.fresh_at is None:
        return key_material(unwrap_tek(master, key_id, suite, row.wrapped_key))
    follows = None if row.follows is None else Epoch(row.follows)
    tek = unwrap_link(master, key_id, suite, row.wrapped_key, fresh_at=Epoch(row.fresh_at), follows=follows)
    return key_material(tek)


def _fence(row: "sa.Row[tuple[object, ...]]") -> FenceEntry:
    return FenceEntry(
        epoch=row.epoch,
        window_ms=row.window_ms,
        set_at_ms=row.set_at_ms,
        is_urgent=row.is_urgent,
        is_commanded=row.is_commanded,
    )
