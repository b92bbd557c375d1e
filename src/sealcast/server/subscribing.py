"""Owns the operators' work on allow lists: put a registered device on a channel's, take it off, list."""

from sealcast.keyserver import store_channels, store_principals
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.keyserver.when import iso_time
from sealcast.messages.answers import Done, SubscriberList, SubscriberRow
from sealcast.messages.requests import ListRequest, SubscriberRequest
from sealcast.subscribers import store as allow_list
from sealcast.subscribers.store import Subscription


class SubscriberDesk:
    """Carries out what operators ask about subscribers."""

    def __init__(self, *, views: Views) -> None:
        self._views = views

    def add(self, call: Call, request: SubscriberRequest) -> Reply:
        """Put a device on the allow list of a channel."""
        view = self._views.get(call.connection, request.channel)
        if store_principals.role_of(call.connection, request.device) != "device":
            raise refusal(
                "unknown-device", f"no device {request.device[:80]!r} is registered; see: registry add"
            )
        subscription = Subscription(view.spec.number, request.device, call.wall_ms)
        if not allow_list.add(call.connection, subscription):
            raise refusal("exists", f"{request.device} is subscribed to {view.spec.name} already")
        call.record("subscriber-add", f"{view.spec.name} {request.device}")
        return Reply(Done(jti=request.jti))

    def remove(self, call: Call, request: SubscriberRequest) -> Reply:
        """Take a device off the allow list; it gets no key from now on."""
        view = self._views.get(call.connection, request.channel)
        if not allow_list.remove(call.connection, view.spec.number, request.device, call.wall_ms):
            raise refusal("not-subscribed", f"{request.device[:80]} is not subscribed to {view.spec.name}")
        call.record("subscriber-remove", f"{view.spec.name} {request.device}")
        return Reply(Done(jti=request.jti))

    def list(self, call: Call, request: ListRequest) -> Reply:
        """Return who is subscribed, to all channels or to the one asked for."""
        if request.channel is not None:
            spec = self._views.get(call.connection, request.channel).spec
            names = {spec.number: spec.name}
        else:
            live = store_channels.live(call.connection)
            names = {stored.spec.number: stored.spec.name for stored in live}
        rows = [
            SubscriberRow(
                channel=names[each.channel], device=each.device, added_at=iso_time(each.added_at_ms)
            )
            for each in allow_list.live(call.connection)
            if each.channel in names
        ]
        return Reply(SubscriberList(subscribers=rows))
