"""Owns the operations of senders: lease, publish, generate, report what is on air."""

from collections.abc import Iterable

from msgspec.structs import replace

from sealcast.core.channel import ScheduleKind
from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch, KeyId, Ssrc
from sealcast.core.ports import Random
from sealcast.core.secret import Secret
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.table import KEYS_MAX, KeyEvent, KeyState, next_state
from sealcast.keyserver import store_air, store_channels, store_epochs, store_fences
from sealcast.keyserver.air import AirReport, AirState
from sealcast.keyserver.calls import Call, Reply
from sealcast.keyserver.notices import OnNotice, key_change, silent
from sealcast.keyserver.service_air import (
    AirChange,
    AirDecision,
    Step,
    check_report,
    decide_report,
    expired,
    is_overtaken,
)
from sealcast.keyserver.service_chain import check_follows, check_shape, is_same_place, row_before
from sealcast.keyserver.service_fence import order_for
from sealcast.keyserver.service_keys import choose_epochs, key_id_of, make_grant
from sealcast.keyserver.service_lease import plan_lease
from sealcast.keyserver.service_share import shared_air
from sealcast.keyserver.values import ChannelView, EpochRow, refusal
from sealcast.keyserver.views import Views
from sealcast.keyserver.wrapped import wrap_key, wrap_tek
from sealcast.messages import jose
from sealcast.messages.answers import (
    AirAnswer,
    Done,
    FenceOrder,
    GeneratedKey,
    KeyMaterial,
    LeaseAnswer,
    RunSlotData,
    Shared,
)
from sealcast.messages.channels import channel_data
from sealcast.messages.encoding import decode
from sealcast.messages.jwk import Jwk
from sealcast.messages.material import key_material, read_key
from sealcast.messages.requests import (
    AirRequest,
    GenerateRequest,
    LeaseRequest,
    PublishRequest,
    ShareRequest,
)


class SenderDesk:
    """Carries out what senders ask, each in the transaction of its call.

    `kek` is the server's X25519 pair, to which senders seal the keys they publish.
    """

    def __init__(
        self,
        *,
        master: Secret,
        kek: Jwk,
        views: Views,
        air: AirState,
        random: Random,
        key_servers: tuple[str, ...],
        on_notice: OnNotice = silent,
    ) -> None:
        self._master = master
        self._kek = kek
        self._views = views
        self._air = air
        self._random = random
        self.key_servers = key_servers
        self.events: tuple[str, ...] = ()
        self._on_notice = on_notice
        self.stale_reports = 0

    def lease(self, call: Call, request: LeaseRequest) -> Reply:
        """Give a sender its unconsumed slots and fresh ones, with the keys published for any of them."""
        view = self._own_channel(call, request.channel)
        number = view.spec.number
        plan = plan_lease(
            view.epochs,
            call.caller.id,
            request.first_unused,
            next_epoch=store_channels.next_epoch(call.connection, number),
            taken=store_epochs.ssrcs(call.connection, number),
            random=self._random,
            held=None if request.held is None else frozenset(request.held),
            floor=view.floor,
        )
        store_epochs.consume(call.connection, number, call.caller.id, plan.first_unused)
        if plan.fresh:
            store_epochs.add_slots(call.connection, number, call.caller.id, plan.fresh, call.wall_ms)
            store_channels.set_next_epoch(call.connection, number, plan.fresh[-1].epoch + 1)
            call.record("lease", f"{view.spec.name} {plan.fresh[0].epoch}-{plan.fresh[-1].epoch}")
        published = [key_material(self._views.tek(call.connection, view, epoch)) for epoch in plan.published]
        self._views.forget(number)
        slots = [RunSlotData(ssrc=slot.ssrc, epoch=slot.epoch) for slot in plan.slots]
        answer = LeaseAnswer(
            jti=request.jti,
            channel=channel_data(view.spec),
            slots=slots,
            published=published,
            key_servers=list(self.key_servers),
            events=list(self.events),
        )
        return Reply(answer, tuple(slot.epoch for slot in plan.slots))

    def repeat_lease(self, call: Call, request: LeaseRequest, epochs: tuple[Epoch, ...]) -> Reply:
        """Give the same slots once more, as far as they are not consumed."""
        view = self._own_channel(call, request.channel)
        rows = [row for row in view.epochs if row.epoch in epochs and row.epoch >= view.floor and row.is_free]
        teks = [self._views.tek(call.connection, view, row.epoch) for row in rows if row.has_key]
        answer = LeaseAnswer(
            jti=request.jti,
            channel=channel_data(view.spec),
            slots=[RunSlotData(ssrc=row.ssrc, epoch=row.epoch) for row in rows],
            published=[key_material(tek) for tek in teks],
            key_servers=list(self.key_servers),
            events=list(self.events),
        )
        return Reply(answer, epochs)

    def publish(self, call: Call, request: PublishRequest) -> Reply:
        """Take the key that a sender made for an epoch; the same key again changes nothing."""
        view = self._own_channel(call, request.channel)
        row = _leased_row(call, view, request.epoch)
        tek = self._open_key(view, row.epoch, request.sealed_key)
        if row.has_key:
            kept = self._views.tek(call.connection, view, row.epoch)
            if kept != tek or not is_same_place(row, tek.origin, view.spec.number):
                raise refusal("epoch-taken", f"epoch {row.epoch} has another key already; use the next slot")
            return Reply(Done(jti=request.jti))
        self._check_chain(call, view, tek)
        self._store_key(call, view, row, tek)
        call.record("publish", f"{view.spec.name} {row.epoch}")
        return Reply(Done(jti=request.jti))

    def generate(self, call: Call, request: GenerateRequest) -> Reply:
        """Make the key of an epoch, once; asked again, return the same."""
        view = self._own_channel(call, request.channel)
        row = _leased_row(call, view, request.epoch)
        if view.spec.schedule is ScheduleKind.CHAIN:
            raise refusal(
                "bad-request", f"the keys of channel {view.spec.name} are a chain's: make and publish them"
            )
        if row.has_key:
            tek = self._views.tek(call.connection, view, row.epoch)
        else:
            tek = make_tek(key_id_of(view, row.epoch), view.spec.suite, self._random)
            self._store_key(call, view, row, tek)
            call.record("generate", f"{view.spec.name} {row.epoch}")
        return Reply(GeneratedKey(jti=request.jti, material=key_material(tek)), (row.epoch,))

    def repeat_generate(self, call: Call, request: GenerateRequest, _: tuple[Epoch, ...]) -> Reply:
        """Return the same key once more: generating is its own repeat."""
        return self.generate(call, request)

    def report(self, call: Call, request: AirRequest) -> Reply:
        """Take in what is on air; late reports leave it as it is, but their totals count."""
        check_report(request)
        view = self._own_channel(call, request.channel)
        number = view.spec.number
        slot = store_epochs.owns_ssrc(call.connection, number, call.caller.id, request.ssrc)
        leased = store_epochs.find(call.connection, KeyId(number, Epoch(request.epoch)))
        is_own = leased is not None and leased.sender == call.caller.id and request.epoch >= (slot or 0)
        if slot is None or leased is None or not (is_own or request.shared):
            raise refusal(
                "not-leased", f"epoch {request.epoch} and SSRC {request.ssrc} are not in your lease"
            )
        highest = store_epochs.highest_on_air(call.connection, number)
        others = self._air.others(number, Epoch(request.epoch), Ssrc(request.ssrc), call.now)
        decision = decide_report(
            view.epochs,
            highest,
            request.epoch,
            ended=request.ended,
            is_shared=request.shared,
            has_others=bool(others),
        )
        self._carry_out(call, view, request, decision)
        self._add_totals(call, view, request)
        later = self._air.latest(number, highest) if highest is not None else None
        return Reply(
            AirAnswer(
                jti=request.jti,
                overtaken=is_overtaken(request, later, call.now),
                fence=self._pass_fences(call, view, request, decision),
            )
        )

    def share(self, call: Call, request: ShareRequest) -> Reply:
        """Give a sender of the channel the keys on air and next, to send beside another run or to watch it.

        Nothing is recorded: senders make the keys of their channels, and are trusted with each other's.
        """
        view = self._own_channel(call, request.channel)
        held = frozenset(KeyId.parse(text) for text in request.held[:KEYS_MAX])
        epochs = [
            epoch
            for epoch in choose_epochs(view)
            if view.has_key(epoch) and key_id_of(view, epoch) not in held
        ]
        teks = {epoch: self._views.tek(call.connection, view, epoch) for epoch in epochs}
        on_air, living, lead = shared_air(view, self._air, request.ssrc, call.now)
        grant = make_grant(
            view,
            on_air,
            teks,
            jti=request.jti,
            key_servers=self.key_servers,
            events=self.events,
            audience=0,
            now=call.now,
        )
        return Reply(Shared(jti=request.jti, grant=grant, living=living, lead=lead))

    def _own_channel(self, call: Call, channel: str) -> ChannelView:
        view = self._views.get(call.connection, channel)
        if call.caller.id not in view.senders:
            raise refusal("not-your-channel", f"channel {view.spec.name} is not among yours")
        return view

    def _open_key(self, view: ChannelView, epoch: Epoch, sealed: str) -> Tek:
        """Open a published key; raises FormatError or AuthenticationError if it is not for that epoch."""
        material = decode(jose.unseal(sealed, self._kek, typ=jose.TYP_SEALED_KEY), KeyMaterial)
        key_id = key_id_of(view, epoch)
        if material.key_id != str(key_id) or material.suite != view.spec.suite.value:
            raise FormatError(f"the sealed key is not one of {view.spec.suite.value} for {key_id}")
        tek = read_key(material)
        check_shape(view, tek)
        return tek

    def _check_chain(self, call: Call, view: ChannelView, tek: Tek) -> None:
        """Raise a refusal unless a new key may stand where it says in its chain."""
        before, origin, number = row_before(view, tek), tek.origin, view.spec.number
        if before is not None:
            check_follows(view, tek, self._views.tek(call.connection, view, before.epoch))
        elif origin is not None and store_epochs.has_chain(call.connection, number, origin.fresh_at):
            raise refusal(
                "bad-request",
                f"the fresh start at epoch {origin.fresh_at} of channel {view.spec.name} ends another chain;"
                " name a later epoch",
            )

    def _store_key(self, call: Call, view: ChannelView, row: EpochRow, tek: Tek) -> None:
        """Store a key; an epoch that went on air while we could not be reached stays on air."""
        is_planned = row.state is KeyState.PLANNED
        state = next_state(row.state, KeyEvent.PUBLISH) if is_planned else row.state
        store_epochs.set_key(call.connection, tek, wrap_key(self._master, tek), state, call.wall_ms)
        self._views.forget(view.spec.number)
        if state is KeyState.PUBLISHED:
            is_chained = tek.origin is not None and tek.origin.follows is not None
            self._on_notice(key_change(view, self._air, tek.key_id, call.now, is_chained=is_chained))

    def _carry_out(self, call: Call, view: ChannelView, request: AirRequest, decision: AirDecision) -> None:
        number = view.spec.number
        if decision.change is AirChange.STALE:
            self.stale_reports += 1
            return
        if decision.change is AirChange.LEAVE:
            call.record("off-air", f"{view.spec.name} {request.epoch} ssrc {request.ssrc}")
            self._air.drop(number, Ssrc(request.ssrc))
            store_air.drop_run(call.connection, number, Ssrc(request.ssrc))
            return
        steps = (*decision.steps, *expired(view.epochs, call.wall_ms))
        self._drop_links(call, view, steps)
        for step in steps:
            store_epochs.store_step(call.connection, key_id_of(view, step.epoch), step, call.wall_ms)
        if steps:
            self._views.forget(number)
            store_air.drop_reports(call.connection, number, request.epoch)
        if any(step.event is KeyEvent.ON_AIR for step in steps):
            store_epochs.set_cause(call.connection, key_id_of(view, Epoch(request.epoch)), request.cause)
            call.record("on-air", f"{view.spec.name} {request.epoch} {request.cause}")
        if decision.change is AirChange.END:
            call.record("off-air", f"{view.spec.name} {request.epoch}")
            self._air.forget(number)
            store_air.drop_reports(call.connection, number, request.epoch + 1)
            return
        report = AirReport(
            epoch=Epoch(request.epoch),
            remaining_ms=request.remaining_ms,
            lifetime_ms=request.lifetime_ms,
            extended=request.extended,
            roc=request.roc,
            seq=request.seq,
            received_ns=call.now,
            is_shared=request.shared,
        )
        self._air.note(number, Ssrc(request.ssrc), report)
        store_air.save_report(call.connection, number, Ssrc(request.ssrc), report, call.wall_ms)

    def _drop_links(self, call: Call, view: ChannelView, steps: Iterable[Step]) -> None:
        """Destroy the C of epochs that go off the air; their TEK stays while packets are under way."""
        going = {step.epoch for step in steps if step.state is KeyState.DRAINING}
        for row in view.epochs:
            if row.epoch in going and row.has_link:
                tek = self._views.tek(call.connection, view, row.epoch)
                store_epochs.drop_link(call.connection, tek.key_id, wrap_tek(self._master, tek))

    def _pass_fences(
        self, call: Call, view: ChannelView, request: AirRequest, decision: AirDecision
    ) -> FenceOrder | None:
        """Note which fences an epoch that went on air has reached; return the order of those ahead of it.

        An epoch below a fence goes on air all the same if its sender had not heard of the fence. A removed
        device opens it, so there is no time to lose. A run under an older epoch than the highest is told as
        well: where the later run died, this one is what receivers hear.
        """
        number = view.spec.number
        order = order_for(view.fences, request.epoch)
        if view.fences and any(step.event is KeyEvent.ON_AIR for step in decision.steps):
            store_fences.reach(call.connection, number, Epoch(request.epoch), call.wall_ms)
            if order is not None:
                store_fences.hurry(call.connection, number)
                order = replace(order, urgent=True)
        return None if request.ended else order

    def _add_totals(self, call: Call, view: ChannelView, request: AirRequest) -> None:
        """Keep the totals of epochs that are the sender's; others are not its to report."""
        own = store_epochs.leased_to(call.connection, view.spec.number, call.caller.id)
        # Of an epoch that two runs share only one tells how long it was on air: it is charged for once.
        shared = request.epoch if request.shared else None
        news = [each for each in request.totals if each.epoch in own and each.epoch != shared]
        store_air.add_totals(call.connection, view.spec.number, Ssrc(request.ssrc), news)


def _leased_row(call: Call, view: ChannelView, epoch: int) -> EpochRow:
    """Return an epoch that is the caller's and still ahead or on air; raises the refusal `not-leased`."""
    row = view.find(epoch)
    if row is None or row.sender != call.caller.id or row.state is KeyState.DRAINING:
        raise refusal("not-leased", f"epoch {epoch} is not in your lease, or its time is over")
    return row
