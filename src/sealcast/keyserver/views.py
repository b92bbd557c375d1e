"""Owns the memory of channels and their keys, so that a key request reads the database hardly at all.

Only the writer's thread uses it, and every operation that changes a channel forgets it here, so what is
remembered is what the database says.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.core.errors import LocalError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek
from sealcast.keyserver import store_channels, store_epochs, store_fences, store_principals
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.wrapped import unwrap_link, unwrap_tek
from sealcast.messages.answers import SenderKey

CHANNELS_MAX = 1_024
"""Channels remembered; with more, all are read anew: 1,024 with their keys take a few MB."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A grant in JSON behind its `jti`, as it was at `made_ns` (monotonic).

    `air_changes` is what was known of the air then (`AirState.changes`): after a report it serves no more.
    """

    made_ns: int
    air_changes: int
    rest: bytes


class Views:
    """Channels as last read, by the name or number that they were asked for."""

    def __init__(self, master: Secret) -> None:
        self._master = master
        self._views: dict[str, ChannelView] = {}
        self._teks: dict[KeyId, Tek] = {}
        self.prepared: dict[tuple[ChannelNumber, tuple[Epoch, ...]], Prepared] = {}
        """Grants that are put together but for the request, by what they bring; they go with the view."""

    def get(self, connection: sa.Connection, channel: str) -> ChannelView:
        """Return the live channel of that name or number; raises the refusal `unknown-channel`."""
        view = self._views.get(channel)
        if view is None:
            stored = store_channels.find(connection, channel)
            if stored is None:
                raise refusal("unknown-channel", f"there is no channel {channel[:80]!r}; see: channel list")
            view = self._read(connection, stored)
            if len(self._views) >= CHANNELS_MAX:
                self.clear()
            self._views[channel] = view
        return view

    def tek(self, connection: sa.Connection, view: ChannelView, epoch: Epoch) -> Tek:
        """Return the key of an epoch that has one, with its origin while its C is kept."""
        key_id = KeyId(view.spec.number, epoch)
        tek = self._teks.get(key_id)
        if tek is None:
            wrapped = store_epochs.wrapped_key(connection, key_id)
            if wrapped is None:
                raise LocalError(f"the key {key_id} is not in the database")
            tek = self._teks[key_id] = self._unwrap(view, key_id, wrapped)
        return tek

    def forget(self, number: ChannelNumber) -> None:
        """Drop what is remembered of a channel that changes; keys that `tek` gave are erased with it."""
        self._views = {name: view for name, view in self._views.items() if view.spec.number != number}
        for key_id in [key_id for key_id in self._teks if key_id.channel == number]:
            self._teks.pop(key_id).erase()
        for grant in [grant for grant in self.prepared if grant[0] == number]:
            del self.prepared[grant]

    def clear(self) -> None:
        """Drop everything, for instance when a transaction was undone."""
        self._views.clear()
        self.prepared.clear()
        for tek in self._teks.values():
            tek.erase()
        self._teks.clear()

    def _unwrap(self, view: ChannelView, key_id: KeyId, wrapped: bytes) -> Tek:
        row, suite = view.find(key_id.epoch), view.spec.suite
        if row is None or row.fresh_at is None or not row.has_link:
            return unwrap_tek(self._master, key_id, suite, wrapped)
        return unwrap_link(self._master, key_id, suite, wrapped, fresh_at=row.fresh_at, follows=row.follows)

    def _read(self, connection: sa.Connection, stored: store_channels.StoredChannel) -> ChannelView:
        epochs = store_epochs.live(connection, stored.spec.number)
        keys = [
            (sender, store_principals.find(connection, sender, self._master)) for sender in stored.senders
        ]
        return ChannelView(
            spec=stored.spec,
            senders=stored.senders,
            sender_keys=tuple(SenderKey(id=name, key=found.signing) for name, found in keys if found),
            epochs=epochs,
            fences=store_fences.unreached(connection, stored.spec.number),
        )
