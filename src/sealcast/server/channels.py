"""Owns the operators' work on channels: add, list, show, and remove with all that hangs on one."""

from collections.abc import Iterable

from sealcast.core.ids import ChannelNumber
from sealcast.keyserver import store_air, store_channels, store_epochs, store_principals
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.ports import ReceptionEnds
from sealcast.keyserver.service_air import closing
from sealcast.keyserver.service_channels import check_free
from sealcast.keyserver.service_keys import key_id_of
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.views import Views
from sealcast.messages.answers import ChannelList, ChannelRow, Done, FreshStart
from sealcast.messages.channels import channel_data, channel_spec
from sealcast.messages.requests import (
    ChannelAddRequest,
    ChannelNameRequest,
    ChannelSendersRequest,
    FreshStartRequest,
    ListRequest,
)
from sealcast.messages.subscribing import ChannelOpenRequest, EndRow
from sealcast.server.assigning import Assignments
from sealcast.server.evicting import Evictions
from sealcast.subscribers import store as allow_list


class ChannelDesk:
    """Carries out what operators ask about channels."""

    def __init__(
        self,
        *,
        views: Views,
        air: AirState,
        assignments: Assignments,
        evictions: Evictions,
        receptions: ReceptionEnds,
    ) -> None:
        self._views = views
        self._receptions = receptions
        self._air = air
        self._assignments = assignments
        self._evictions = evictions

    def add(self, call: Call, request: ChannelAddRequest) -> Reply:
        """Add a channel; its number is the next that no channel ever had."""
        spec = channel_spec(request.channel)
        check_free(spec, (stored.spec for stored in store_channels.live(call.connection)))
        senders = tuple(dict.fromkeys(request.senders))
        _check_senders(call, senders)
        number = store_channels.add(call.connection, spec, senders, call.wall_ms)
        call.record("channel-add", spec.name)
        if request.open:
            self._set_open(call, number, spec.name, is_open=True)
        return self._rows(call, [spec.name])

    def list(self, call: Call, request: ListRequest) -> Reply:
        """Return all channels, or the one asked for."""
        if request.channel is not None:
            return self._rows(call, [request.channel])
        return self._rows(call, (stored.spec.name for stored in store_channels.live(call.connection)))

    def show(self, call: Call, request: ChannelNameRequest) -> Reply:
        """Return one channel."""
        return self._rows(call, [request.channel])

    def remove(self, call: Call, request: ChannelNameRequest) -> Reply:
        """Take a channel away: leases and subscriptions end, keys are erased, rows stay for history."""
        view = self._views.get(call.connection, request.channel)
        number = view.spec.number
        for step in closing(view.epochs):
            store_epochs.store_step(call.connection, key_id_of(view, step.epoch), step, call.wall_ms)
        store_air.drop_reports(call.connection, number)
        allow_list.remove_all(call.connection, number, call.wall_ms)
        over = EndRow(device=None, channel=number, reason="channel-removed")
        self._receptions.end_receptions(call.connection, [over], call.wall_ms)
        store_channels.remove(call.connection, number, call.wall_ms)
        call.record("channel-remove", view.spec.name)
        self._air.forget(number)
        self._views.forget(number)
        return Reply(Done(jti=request.jti))

    def senders(self, call: Call, request: ChannelSendersRequest) -> Reply:
        """Change who may lease a channel; what one that is taken off has there ends at once."""
        view = self._views.get(call.connection, request.channel)
        _check_senders(call, request.add)
        for sender in request.remove:
            if sender not in view.senders:
                raise refusal("unknown-device", f"{sender[:80]!r} is no sender of {view.spec.name}")
        if both := set(request.add) & set(request.remove):
            raise refusal("bad-request", f"{min(both)} is both added and taken away")
        for sender in dict.fromkeys(request.remove):
            self._assignments.end_sender(call, self._views.get(call.connection, request.channel), sender)
        for sender in dict.fromkeys(request.add):
            self._assignments.start_sender(call, self._views.get(call.connection, request.channel), sender)
        return self._rows(call, [request.channel])

    def open(self, call: Call, request: ChannelOpenRequest) -> Reply:
        """Let devices subscribe to a channel themselves, or no more; those on its list stay there."""
        spec = self._views.get(call.connection, request.channel).spec
        if store_channels.is_open(call.connection, spec.number) != request.open:
            self._set_open(call, spec.number, spec.name, is_open=request.open)
        return self._rows(call, [request.channel])

    def fresh_start(self, call: Call, request: FreshStartRequest) -> Reply:
        """Order a fresh start of a chain: at the next change, or `now`."""
        view = self._views.get(call.connection, request.channel)
        ordered = self._evictions.fresh_start(call, view, is_urgent=request.now)
        answer = FreshStart(
            jti=request.jti,
            channel=view.spec.name,
            fence_epoch=ordered.plan.epoch,
            on_air=view.on_air.epoch if view.on_air is not None else None,
            skipped=list(ordered.plan.skipped),
            window_ms=ordered.window_ms if request.now else None,
        )
        return Reply(answer)

    def _set_open(self, call: Call, number: ChannelNumber, name: str, *, is_open: bool) -> None:
        store_channels.set_open(call.connection, number, is_open=is_open)
        call.record("channel-open" if is_open else "channel-close", name)

    def _rows(self, call: Call, names: Iterable[str]) -> Reply:
        rows = [self._row(call, self._views.get(call.connection, name)) for name in names]
        return Reply(ChannelList(channels=rows))

    def _row(self, call: Call, view: ChannelView) -> ChannelRow:
        number, on_air = view.spec.number, view.on_air
        report = self._air.latest(number, on_air.epoch) if on_air is not None else None
        is_extended = report is not None and report.extended
        return ChannelRow(
            channel=channel_data(view.spec),
            senders=list(view.senders),
            subscribers=allow_list.count(call.connection, number),
            open=store_channels.is_open(call.connection, number),
            epoch=on_air.epoch if on_air is not None else None,
            state="idle" if on_air is None else "extended" if is_extended else "on-air",
            remaining_ms=report.remaining_now_ms(call.now) if report is not None else None,
        )


def _check_senders(call: Call, senders: Iterable[str]) -> None:
    for sender in senders:
        if store_principals.role_of(call.connection, sender) != "sender":
            raise refusal("unknown-device", f"no sender {sender[:80]!r} is registered; see: registry add")
