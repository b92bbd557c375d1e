"""Owns taking over a channel at a replica: its rows, its keys under our own master key, what is erased.

A key that an entry does not carry any more is erased here: it is off the air, skipped, or of a channel that
is gone. Epochs that are not listed any more are retired.
"""

import sqlalchemy as sa

from sealcast.cluster import store_versions
from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.table import KeyState
from sealcast.keyserver import store_fences
from sealcast.keyserver.notices import key_change
from sealcast.keyserver.tables import channel_senders, channels, epochs, fences
from sealcast.keyserver.values import Fence
from sealcast.keyserver.wrapped import wrap_key
from sealcast.messages.channels import ChannelData, channel_spec
from sealcast.messages.cluster import ChannelEntry, EntryBody, EpochEntry
from sealcast.messages.material import read_key
from sealcast.messages.subscribing import EndRow, Event
from sealcast.server.cluster.taking import Held, body_of, place_channel, place_party
from sealcast.storage.upsert import insert

NEWS_MS = 10_000
"""Events are hints to ask soon: what happened longer ago is no news, but a replica catching up."""

_WITH_KEYS = sa.select(epochs.c.epoch).where(
    epochs.c.channel == sa.bindparam("wanted"), epochs.c.wrapped_key.is_not(None)
)
_NAMESAKES = sa.select(channels.c.number).where(
    channels.c.name == sa.bindparam("called"),
    channels.c.removed_at_ms.is_(None),
    channels.c.number != sa.bindparam("but"),
)
_SET_REMOVED = (
    channels.update()
    .where(channels.c.number == sa.bindparam("wanted"))
    .values(removed_at_ms=sa.bindparam("now_ms"))
)
_SET = channels.update().where(channels.c.number == sa.bindparam("wanted"))
_DROP_SENDERS = channel_senders.delete().where(channel_senders.c.channel == sa.bindparam("wanted"))
_DROP_FENCES = fences.delete().where(fences.c.channel == sa.bindparam("wanted"))
_RETIRE = (
    epochs.update()
    .where(
        epochs.c.channel == sa.bindparam("wanted"),
        epochs.c.epoch.not_in(sa.bindparam("listed", expanding=True)),
        sa.or_(epochs.c.state != KeyState.RETIRED.name, epochs.c.wrapped_key.is_not(None)),
    )
    .values(state=KeyState.RETIRED.name, wrapped_key=None, retired_at_ms=sa.bindparam("now_ms"))
)
_INSERT = insert(epochs)
_KEPT = ("channel", "epoch", "retired_at_ms")
_PUT = _INSERT.on_conflict_do_update(
    index_elements=[epochs.c.channel, epochs.c.epoch],
    set_={column.name: _INSERT.excluded[column.name] for column in epochs.c if column.name not in _KEPT},
)


def take_channel(held: Held, connection: sa.Connection, entry: EntryBody) -> None:
    """Write a channel; raises FormatError or UsageError for one that does not fit."""
    found = body_of(entry, ChannelEntry, lambda each: str(each.channel.number))
    number = ChannelNumber(found.channel.number)
    rows = [_epoch_row(held.master, found, each) for each in found.epochs]
    had_keys = set(connection.execute(_WITH_KEYS, {"wanted": number}).scalars())
    had_fences = store_fences.unreached(connection, number)
    _write_channel(held, connection, found, entry)
    _write_senders(connection, found)
    if rows:
        connection.execute(_PUT, rows)
    parameters = {"wanted": number, "listed": [each.epoch for each in found.epochs], "now_ms": entry.at_ms}
    connection.execute(_RETIRE, parameters)
    _write_fences(connection, found)
    held.views.forget(number)
    if found.removed_at_ms is not None:
        _close(held, connection, number)
    elif held.wall_ms() - entry.at_ms < NEWS_MS:
        _tell(held, connection, found, had_keys, had_fences)


def _epoch_row(master: Secret, found: ChannelEntry, each: EpochEntry) -> dict[str, object]:
    """Return the row of an epoch, its key wrapped as ours are; raises FormatError for a key of another."""
    if each.state not in KeyState.__members__:
        raise FormatError(f"an epoch in the state {each.state[:20]!r}")
    wrapped = None
    if each.material is not None:
        tek = read_key(each.material)
        key_id = KeyId(ChannelNumber(found.channel.number), Epoch(each.epoch))
        if tek.key_id != key_id or tek.suite.value != found.channel.suite:
            raise FormatError(f"the entry of {key_id} carries the key {tek.key_id}")
        wrapped = wrap_key(master, tek)
        tek.erase()
    names = ("epoch", "sender", "ssrc", "state", "leased_at_ms", "consumed", "cause", "published_at_ms")
    more = ("on_air_at_ms", "off_air_at_ms", "follows", "fresh_at")
    row = {name: getattr(each, name) for name in (*names, *more)}
    return {"channel": found.channel.number, "wrapped_key": wrapped, **row}


def _write_channel(held: Held, connection: sa.Connection, found: ChannelEntry, entry: EntryBody) -> None:
    """Write the channel's own row. Of two live channels of one name, the one that was told of last counts."""
    number = found.channel.number
    removed_at_ms = found.removed_at_ms
    if removed_at_ms is None:
        channel_spec(found.channel)
        for other in list(
            connection.execute(_NAMESAKES, {"called": found.channel.name, "but": number}).scalars()
        ):
            if store_versions.version_of(connection, "channel", str(other)) > entry.version:
                removed_at_ms = entry.at_ms
            else:
                connection.execute(_SET_REMOVED, {"wanted": other, "now_ms": entry.at_ms})
                held.views.forget(ChannelNumber(other))
    place_channel(connection, number)
    fields = {
        name: getattr(found.channel, name) for name in ChannelData.__struct_fields__ if name != "number"
    }
    connection.execute(
        _SET.values(
            **fields,
            next_epoch=found.next_epoch,
            added_at_ms=found.added_at_ms,
            removed_at_ms=removed_at_ms,
            open=found.is_open,
        ),
        {"wanted": number},
    )


def _write_senders(connection: sa.Connection, found: ChannelEntry) -> None:
    for party in {*found.senders, *(each.sender for each in found.epochs)}:
        place_party(connection, party)
    connection.execute(_DROP_SENDERS, {"wanted": found.channel.number})
    if found.senders:
        rows = [{"channel": found.channel.number, "sender": each} for each in found.senders]
        connection.execute(channel_senders.insert(), rows)


def _write_fences(connection: sa.Connection, found: ChannelEntry) -> None:
    number = ChannelNumber(found.channel.number)
    connection.execute(_DROP_FENCES, {"wanted": number})
    for each in found.fences:
        fence = Fence(Epoch(each.epoch), each.is_urgent, each.window_ms, each.is_commanded)
        store_fences.add(connection, number, fence, each.set_at_ms)


def _close(held: Held, connection: sa.Connection, number: ChannelNumber) -> None:
    """End receptions of a channel that is removed; what was on air of it goes with its own entry."""
    over = EndRow(device=None, channel=number, reason="channel-removed")
    held.receptions.end_receptions(connection, [over], held.wall_ms())


def _tell(
    held: Held,
    connection: sa.Connection,
    found: ChannelEntry,
    had_keys: set[int],
    had_fences: tuple[Fence, ...],
) -> None:
    """Tell of keys that are published now, and of new fences, as the master tells its own listeners."""
    number = ChannelNumber(found.channel.number)
    fresh = [
        each
        for each in found.epochs
        if each.material is not None and each.state == KeyState.PUBLISHED.name and each.epoch not in had_keys
    ]
    if fresh:
        view = held.views.get(connection, str(number))
        for each in fresh:
            key_id, is_chained = KeyId(number, Epoch(each.epoch)), each.follows is not None
            now = held.clock.monotonic_ns()
            held.on_notice(key_change(view, held.air, key_id, now, is_chained=is_chained))
    if set(store_fences.unreached(connection, number)) - set(had_fences):
        held.on_notice(Event(kind="fence", channel=number))
