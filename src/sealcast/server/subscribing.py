"""Owns who stands on allow lists: operators put devices on or take them off, or devices subscribe."""

from collections.abc import Callable

from sealcast.keyserver import store_channels, store_principals
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.keyserver.views import Views
from sealcast.keyserver.when import iso_time
from sealcast.messages import operations
from sealcast.messages.answers import Done, SubscriberList, SubscriberRow
from sealcast.messages.jwk import kek_reference
from sealcast.messages.requests import SubscriberListRequest, SubscriberRequest
from sealcast.messages.subscribing import Removed, Subscribed, SubscribeRequest, SubscriberRemoveRequest
from sealcast.server.evicting import Evictions
from sealcast.server.paging import fill
from sealcast.server.selling import SoldGate
from sealcast.subscribers import store as allow_list
from sealcast.subscribers import store_offences, store_withdrawals
from sealcast.subscribers.service_subscribe import Applicant, decide, user_fault
from sealcast.subscribers.store import Place, Subscription

LISTED_MAX = 1_000
"""Subscribers in one answer; as a rule they fit."""

CHANNEL_DIGITS_MAX = 10
Find = Callable[[Call, str], Principal | None]
"""Returns a registered party with its keys."""


class SubscriberDesk:
    """Carries out what operators and devices ask about subscriptions."""

    def __init__(self, *, views: Views, sold: SoldGate, find: Find, evictions: Evictions) -> None:
        self._views = views
        self._sold = sold
        self._find = find
        self._evictions = evictions

    def add(self, call: Call, request: SubscriberRequest) -> Reply:
        """Put a device on the allow list of a channel."""
        view = self._views.get(call.connection, request.channel)
        if (fault := user_fault(request.user, is_needed=False)) is not None:
            raise refusal("bad-request", fault)
        device = self._find(call, request.device)
        if device is None or device.role != "device":
            raise refusal(
                "unknown-device", f"no device {request.device[:80]!r} is registered; see: registry add"
            )
        _check_kek(call, device.id)
        subscription = Subscription(
            view.spec.number, device.id, call.wall_ms, request.user, kek_reference(device.kek)
        )
        if not allow_list.add(call.connection, subscription):
            raise refusal("exists", f"{request.device} is subscribed to {view.spec.name} already")
        call.record("subscriber-add", f"{view.spec.name} {request.device}")
        return Reply(Done(jti=request.jti))

    def subscribe(self, call: Call, request: SubscribeRequest) -> Reply:
        """Put the calling device on the list of an open channel, once.

        One that the operator took off this channel comes back by the operator alone, or registered anew.
        Raises the refusals `not-sold`, `unknown-channel`, `not-in-good-standing`, `already-subscribed` and
        `channel-closed`, the first that holds.
        """
        device = call.caller.id
        if (fault := user_fault(request.user)) is not None:
            raise refusal("bad-request", fault)
        self._sold.check(call.connection, device)
        _check_kek(call, device)
        spec = self._views.get(call.connection, request.channel).spec
        since_ms = store_principals.registered_at_ms(call.connection, device)
        refused = decide(
            Applicant(
                device=device,
                channel=spec.name,
                is_in_good_standing=store_offences.in_good_standing(call.connection, device),
                is_subscribed=allow_list.is_listed(call.connection, spec.number, device),
                is_channel_open=store_channels.is_open(call.connection, spec.number),
                was_removed=allow_list.was_removed(call.connection, spec.number, device, since_ms),
            )
        )
        if refused is not None:
            raise refusal(refused.problem, refused.detail)
        kek = kek_reference(call.caller.kek)
        if not allow_list.add(
            call.connection, Subscription(spec.number, device, call.wall_ms, request.user, kek)
        ):
            raise refusal("already-subscribed", f"{device} is subscribed to {spec.name} already")
        call.record("subscribe", f"{spec.name} {device}")
        since = iso_time(call.wall_ms)
        return Reply(Subscribed(jti=request.jti, channel=spec.name, number=spec.number, since=since))

    def remove(self, call: Call, request: SubscriberRemoveRequest) -> Reply:
        """Take a device off the allow list; it gets no key from now on, and what it has is outdated soon."""
        view = self._views.get(call.connection, request.channel)
        eviction = self._evictions.evict(call, view, request.device, "removed", is_urgent=request.now)
        if eviction is None:
            how = "; to change keys at once all the same: subscriber add, then subscriber remove --now"
            raise refusal(
                "not-subscribed",
                f"{request.device[:80]} is not subscribed to {view.spec.name}{how if request.now else ''}",
            )
        removed = Removed(
            jti=request.jti,
            channel=view.spec.name,
            fence_epoch=eviction.plan.epoch,
            on_air=view.on_air.epoch if view.on_air is not None else None,
            skipped=list(eviction.plan.skipped),
            window_ms=eviction.window_ms if request.now else None,
        )
        return Reply(removed)

    def list(self, call: Call, request: SubscriberListRequest) -> Reply:
        """Return a page of who is subscribed, to all channels or to the one asked for."""
        if not 0 < request.limit <= LISTED_MAX:
            raise refusal("bad-request", f"a page has 1 to {LISTED_MAX} subscribers")
        after = _place(request.after)
        if request.channel is not None:
            spec = self._views.get(call.connection, request.channel).spec
            names = {spec.number: spec.name}
            found = allow_list.page_of_channel(call.connection, (spec.number, after[1]), request.limit + 1)
        else:
            live = store_channels.live(call.connection)
            names = {stored.spec.number: stored.spec.name for stored in live}
            found = allow_list.page(call.connection, after, request.limit + 1)
        page, has_more = fill((_row(each, names[each.channel]) for each in found), request.limit)
        last = found[len(page) - 1] if has_more else None
        next_ = f"{last.channel} {last.device}" if last is not None else None
        return Reply(SubscriberList(subscribers=page, next=next_))


def _row(subscription: Subscription, channel: str) -> SubscriberRow:
    return SubscriberRow(
        channel=channel,
        device=subscription.device,
        added_at=iso_time(subscription.added_at_ms),
        user=subscription.user,
        kek=subscription.kek,
    )


def _place(after: str) -> Place:
    """Return the place that `next` of an answer names; raises a refusal for another text."""
    if not after:
        return 0, ""
    number, space, device = after.partition(" ")
    if not (number.isascii() and number.isdigit() and len(number) <= CHANNEL_DIGITS_MAX and space):
        raise refusal("bad-request", "after is not what an answer gave as next")
    return int(number), device


def _check_kek(call: Call, device: str) -> None:
    """Raise a refusal for a device that has stated that its KEK is destroyed: whoever has it made a copy."""
    since_ms = store_principals.registered_at_ms(call.connection, device)
    if store_withdrawals.has_erased_kek(call.connection, device, since_ms):
        raise refusal(
            "not-in-good-standing",
            f"{device} has withdrawn and stated that its keys are destroyed; to come back it enrols anew",
        )


def subscriber_handlers(desk: SubscriberDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on allow lists."""
    return (
        Handler(operations.SUBSCRIBER_ADD, desk.add),
        Handler(operations.SUBSCRIBER_REMOVE, desk.remove),
        Handler(operations.SUBSCRIBER_LIST, desk.list),
        Handler(operations.SUBSCRIBE, desk.subscribe),
    )
