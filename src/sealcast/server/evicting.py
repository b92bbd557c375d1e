"""Owns taking a device off a channel's list: subscription, reception, fence and audit in one unit of work.

No withdrawal by the device is needed (S0-5). From here on it gets no key; what it has opens the stream up to
the *fence epoch*, the first that it cannot have. Keys that it has, or can follow to in a chain, and that are
not on air yet are skipped. An operator may command a fresh start of a chain without any device (S0-11).
"""

from dataclasses import dataclass
from typing import Literal

from sealcast.core.channel import ScheduleKind
from sealcast.core.ids import Epoch
from sealcast.keys.policy import command_window_ms
from sealcast.keyserver import store_epochs, store_fences
from sealcast.keyserver.calls import Call
from sealcast.keyserver.notices import OnNotice
from sealcast.keyserver.ports import ReceptionEnds
from sealcast.keyserver.service_fence import FencePlan, plan_fence, plan_fresh_start, published
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.views import Views
from sealcast.messages.subscribing import EndRow, Event
from sealcast.subscribers import store as allow_list

Reason = Literal["removed", "party-removed"]
"""Who ended the subscription: the operator on this channel, or by making the device nobody."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """What the removal of a device means; `window_ms` is how long the others have to fetch the next key."""

    plan: FencePlan
    window_ms: int


class Evictions:
    """Ends subscriptions of devices that the operator shuts out.

    With `is_distributed`, others grant keys too and tell of it later: then whatever is published counts as
    granted, and every chain as followed.
    """

    def __init__(
        self,
        *,
        views: Views,
        receptions: ReceptionEnds,
        on_notice: OnNotice,
        is_distributed: bool = False,
    ) -> None:
        self._views = views
        self._receptions = receptions
        self._on_notice = on_notice
        self._is_distributed = is_distributed

    def evict(
        self, call: Call, view: ChannelView, device: str, reason: Reason, *, is_urgent: bool = False
    ) -> Eviction | None:
        """Take a device off a channel's list; None, and nothing changes, if it does not stand there.

        `is_urgent` has the sender change keys at once. An event asks it to report, and the answer tells it.
        """
        connection, number = call.connection, view.spec.number
        if not allow_list.is_listed(connection, number, device):
            return None
        eviction = self.shut_out(call, view, device, is_urgent=is_urgent)
        fence_epoch = eviction.plan.epoch
        allow_list.remove(connection, number, device, call.wall_ms, ended_by=reason, fence_epoch=fence_epoch)
        over = EndRow(device=device, channel=number, reason=reason)
        self._receptions.end_receptions(connection, [over], call.wall_ms)
        call.record("subscriber-remove", f"{view.spec.name} {device}")
        return eviction

    def shut_out(self, call: Call, view: ChannelView, device: str, *, is_urgent: bool = False) -> Eviction:
        """Set the fence for a device that gets no key any more, whatever its subscription."""
        connection, number = call.connection, view.spec.number
        window_ms = command_window_ms(view.spec, allow_list.count(connection, number))
        plan = plan_fence(
            view,
            store_epochs.highest_on_air(connection, number),
            self._highest_granted(call, view, device),
            is_urgent=is_urgent,
            window_ms=window_ms,
            chains=self._chains(call, view, device),
        )
        self._set(call, view, plan)
        return Eviction(plan, window_ms)

    def fresh_start(self, call: Call, view: ChannelView, *, is_urgent: bool) -> Eviction:
        """Order a fresh start of a chain: no key that is made already goes on air.

        Raises the refusal `bad-request` on a channel whose keys are fetched.
        """
        spec = view.spec
        if spec.schedule is not ScheduleKind.CHAIN:
            raise refusal("bad-request", f"channel {spec.name} has fetched keys: none follows from another")
        connection = call.connection
        window_ms = command_window_ms(spec, allow_list.count(connection, spec.number))
        on_air = store_epochs.highest_on_air(connection, spec.number)
        plan = plan_fresh_start(view, on_air, is_urgent=is_urgent, window_ms=window_ms)
        self._set(call, view, plan)
        call.record("channel-fresh-start", f"{spec.name} {plan.epoch} command{' now' if is_urgent else ''}")
        return Eviction(plan, window_ms)

    def _highest_granted(self, call: Call, view: ChannelView, device: str) -> int | None:
        """Return the highest epoch of which the device has the key, or may have it."""
        known = store_fences.highest_granted(call.connection, device, view.spec.number)
        if not self._is_distributed:
            return known
        return max((*published(view), *([known] if known is not None else [])), default=None)

    def _chains(self, call: Call, view: ChannelView, device: str) -> frozenset[Epoch]:
        """Return the chains that the device can follow, or may."""
        if self._is_distributed:
            return view.chains
        return store_fences.chains_of(call.connection, device, view.spec.number, view.chains)

    def _set(self, call: Call, view: ChannelView, plan: FencePlan) -> None:
        """Set the fence of a plan, if it has one; its senders are asked to report, and hear of it then."""
        if plan.fence is not None:
            store_fences.add(call.connection, view.spec.number, plan.fence, call.wall_ms)
            self._views.forget(view.spec.number)
            self._on_notice(Event(kind="fence", channel=view.spec.number))
