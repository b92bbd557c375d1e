"""Owns which channels a party is on: devices by the allow list, senders by the channel's own list."""

from collections.abc import Iterable

from sealcast.core.ids import ChannelNumber
from sealcast.keyserver import store_air, store_channels, store_epochs
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Call
from sealcast.keyserver.service_air import closing
from sealcast.keyserver.service_keys import key_id_of
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.views import Views
from sealcast.messages.jwk import Jwk, kek_reference
from sealcast.server.evicting import Evictions
from sealcast.subscribers import store as allow_list
from sealcast.subscribers import store_withdrawals
from sealcast.subscribers.store import Subscription

ALL_EPOCHS = 2**32
"""Above every epoch: all slots of a sender that leaves are burned, used or not."""


class Assignments:
    """Puts parties on channels and takes them off."""

    def __init__(self, *, views: Views, air: AirState, evictions: Evictions) -> None:
        self._views = views
        self._air = air
        self._evictions = evictions

    def named(self, call: Call, role: str, channels: Iterable[str]) -> tuple[ChannelNumber, ...]:
        """Return the numbers of channels; raises a refusal for one that is not, or not for this role."""
        numbers = tuple(
            dict.fromkeys(self._views.get(call.connection, channel).spec.number for channel in channels)
        )
        if numbers and role not in {"device", "sender"}:
            raise refusal("bad-request", f"a party of the role {role} has no channels; leave them out")
        return numbers

    def names(self, call: Call, numbers: Iterable[ChannelNumber]) -> dict[ChannelNumber, str]:
        """Return the names of those channels that still are, by number."""
        wanted = set(numbers)
        live = store_channels.live(call.connection) if wanted else []
        return {each.spec.number: each.spec.name for each in live if each.spec.number in wanted}

    def start(self, call: Call, party: str, role: str, numbers: Iterable[ChannelNumber], kek: Jwk) -> None:
        """Put a party, whose KEK is `kek`, on live channels."""
        for number in numbers:
            view = self._views.get(call.connection, str(number))
            if role == "sender":
                self.start_sender(call, view, party)
            elif allow_list.add(
                call.connection, Subscription(number, party, call.wall_ms, kek=kek_reference(kek))
            ):
                call.record("subscriber-add", f"{view.spec.name} {party}")

    def end(self, call: Call, party: str) -> None:
        """Take a party off all channels; reads every channel."""
        for stored in store_channels.live(call.connection):
            view = self._views.get(call.connection, stored.spec.name)
            self._evictions.evict(call, view, party, "party-removed")
            self.end_sender(call, view, party)

    def shut_out(self, call: Call, party: str) -> None:
        """Set the fences for a device whose certificates are revoked; it stays on its channels' lists."""
        for number in store_withdrawals.subscribed_channels(call.connection, party):
            view = self._views.get(call.connection, str(number))
            self._evictions.shut_out(call, view, party)

    def start_sender(self, call: Call, view: ChannelView, sender: str) -> None:
        """Let a sender lease a channel; one that may already stays as it is."""
        if sender not in view.senders:
            store_channels.add_sender(call.connection, view.spec.number, sender)
            call.record("sender-add", f"{view.spec.name} {sender}")
            self._views.forget(view.spec.number)

    def end_sender(self, call: Call, view: ChannelView, sender: str) -> None:
        """End what a sender has on a channel: its place, its slots, and the keys of its epochs."""
        number = view.spec.number
        rows = tuple(row for row in view.epochs if row.sender == sender)
        if sender not in view.senders and not rows:
            return
        store_epochs.consume(call.connection, number, sender, ALL_EPOCHS)
        for step in closing(rows):
            store_epochs.store_step(call.connection, key_id_of(view, step.epoch), step, call.wall_ms)
        if view.on_air is not None and view.on_air.sender == sender:
            store_air.drop_reports(call.connection, number)
            self._air.forget(number)
        store_channels.remove_sender(call.connection, number, sender)
        call.record("sender-remove", f"{view.spec.name} {sender}")
        self._views.forget(number)
