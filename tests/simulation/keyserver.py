"""Owns the simulated key server: the real decisions on leases, reports and grants, over rows in memory."""

from dataclasses import dataclass, replace

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RefusedError
from sealcast.core.ids import Epoch, KeyId, Ssrc
from sealcast.core.ports import NS_PER_MS, Random
from sealcast.keys.lease import RunSlot
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.policy import command_window_ms
from sealcast.keys.table import KeyEvent, KeyState, next_state
from sealcast.keyserver.air import AirReport, AirState
from sealcast.keyserver.service_air import AirChange, decide_report, expired, is_overtaken
from sealcast.keyserver.service_chain import check_follows, check_shape, row_before
from sealcast.keyserver.service_fence import FencePlan, order_for, plan_fence, plan_fresh_start
from sealcast.keyserver.service_keys import OnAir, choose_epochs, key_id_of, make_grant
from sealcast.keyserver.service_lease import plan_lease
from sealcast.keyserver.service_share import shared_air
from sealcast.keyserver.values import ChannelView, EpochRow, Fence, refusal
from sealcast.messages.answers import FenceOrder, Grant, Shared
from sealcast.receiver.values import FetchRequest
from sealcast.sender.actions import GenerateKey, PublishKey, RenewLease, ReportAir, ShareKeys
from simulation.parts import copy_key, sender_key

SENDER = "studio"


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """A sender's first question: its slots, and what is published for them."""

    first_unused: int


@dataclass(frozen=True, slots=True)
class LeaseGiven:
    """Slots and the keys that are published for any of them."""

    slots: tuple[RunSlot, ...]
    published: tuple[Tek, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """Carried out."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A report was taken in; `fence` as in the answer to it."""

    fence: FenceOrder | None = None
    overtaken: bool = False


Question = LeaseAsk | RenewLease | PublishKey | GenerateKey | ReportAir | ShareKeys | FetchRequest
Answer = LeaseGiven | Tek | Grant | Shared | Done | Heard | RefusedError


class ModelKeyServer:
    """One channel with its senders; everybody who asks is permitted but those that were removed."""

    def __init__(self, spec: ChannelSpec, random: Random) -> None:
        self._spec = spec
        self._random = random
        self._rows: dict[Epoch, EpochRow] = {}
        self._air = AirState()
        self._next_epoch = 1
        self._ssrcs: set[int] = set()
        self._highest_on_air: Epoch | None = None
        self.teks: dict[Epoch, Tek] = {}
        self.published_ns: dict[Epoch, int] = {}
        self.asked_ns: list[int] = []
        self.reports: list[ReportAir] = []
        self.audience = 10
        """How many may ask: it decides over how long they spread what no window foretells."""
        self.fences: list[Fence] = []
        self.removed: dict[str, FencePlan] = {}
        self.granted: dict[str, set[Epoch]] = {}
        self.chains: dict[str, set[Epoch]] = {}
        """Of which chains a device was granted a key, each by its next fresh start."""
        self.grants: list[tuple[int, str, Grant]] = []
        """When whom what was granted, if `is_recording`."""
        self.is_recording = False
        self.are_apart = False
        """Whether each sender is a party of its own, with a lease of its own."""

    def answer(self, question: Question, now: int, asker: str = "") -> Answer:
        """Decide on a question of `asker`."""
        try:
            return self._decide(question, now, asker)
        except RefusedError as error:
            return error

    def restart(self) -> None:
        """Forget what a key server has in memory alone: what senders reported."""
        self._air = AirState()

    def remove(self, device: str, *, is_urgent: bool) -> FencePlan:
        """Remove a device, as the operator does; one that is added again is no more removed."""
        plan = plan_fence(
            self._view(),
            self._highest_on_air,
            max(self.granted.get(device, ()), default=None),
            is_urgent=is_urgent,
            window_ms=command_window_ms(self._spec, self.audience),
            chains=self.chains.get(device, ()),
        )
        if plan.fence is not None:
            self.fences.append(plan.fence)
        self.removed[device] = plan
        return plan

    def fresh_start(self, *, is_urgent: bool) -> FencePlan:
        """Order a fresh start, as the operator does."""
        window_ms = command_window_ms(self._spec, self.audience)
        plan = plan_fresh_start(self._view(), self._highest_on_air, is_urgent=is_urgent, window_ms=window_ms)
        if plan.fence is not None:
            self.fences.append(plan.fence)
        return plan

    def size(self) -> int:
        """Return how much is remembered, to see that it does not grow."""
        return len(self._rows) + len(self.teks)

    def _decide(self, question: Question, now: int, asker: str) -> Answer:
        match question:
            case LeaseAsk() | RenewLease():
                return self._lease(question.first_unused, self._sender(asker))
            case PublishKey():
                self._store(self._own_row(question.tek.key_id.epoch, asker), copy_key(question.tek), now)
                return Done()
            case GenerateKey():
                row = self._own_row(question.epoch, asker)
                tek = self.teks.get(row.epoch) or make_tek(
                    key_id_of(self._view(), row.epoch), self._spec.suite, self._random
                )
                self._store(row, tek, now)
                return copy_key(tek)
            case ReportAir():
                return self._report(question, now)
            case ShareKeys():
                return self._share(question, now)
            case FetchRequest():
                return self._grant(question, now, asker)

    def _sender(self, asker: str) -> str:
        return asker if self.are_apart else SENDER

    def _lease(self, first_unused: int, sender: str) -> LeaseGiven:
        plan = plan_lease(
            self._rows.values(),
            sender,
            first_unused,
            next_epoch=self._next_epoch,
            taken=frozenset(self._ssrcs),
            random=self._random,
            floor=self._view().floor,
        )
        for epoch, row in self._rows.items():
            if epoch < plan.first_unused and row.sender == sender:
                self._rows[epoch] = replace(row, consumed=True)
        for slot in plan.fresh:
            self._rows[slot.epoch] = EpochRow(
                slot.epoch, sender, slot.ssrc, consumed=False, state=KeyState.PLANNED, has_key=False
            )
            self._next_epoch = slot.epoch + 1
            assert slot.ssrc not in self._ssrcs, "an SSRC came twice"
            self._ssrcs.add(slot.ssrc)
        return LeaseGiven(plan.slots, tuple(copy_key(self.teks[epoch]) for epoch in plan.published))

    def _own_row(self, epoch: Epoch, asker: str) -> EpochRow:
        row = self._rows.get(epoch)
        if row is None or row.sender != self._sender(asker) or row.state is KeyState.DRAINING:
            raise refusal("not-leased", f"epoch {epoch} is not in your lease, or its time is over")
        return row

    def _store(self, row: EpochRow, tek: Tek, now: int) -> None:
        if row.has_key:
            if self.teks[row.epoch] != tek:
                raise refusal("epoch-taken", f"epoch {row.epoch} has another key already")
            return
        view = self._view()
        check_shape(view, tek)
        before = row_before(view, tek)
        if before is not None:
            check_follows(view, tek, self.teks[before.epoch])
        is_planned = row.state is KeyState.PLANNED
        state = next_state(row.state, KeyEvent.PUBLISH) if is_planned else row.state
        self._rows[row.epoch] = replace(
            row,
            state=state,
            has_key=True,
            follows=before.epoch if before is not None else None,
            fresh_at=tek.origin.fresh_at if tek.origin is not None else None,
        )
        self.teks[row.epoch] = tek
        self.published_ns[row.epoch] = now

    def _report(self, report: ReportAir, now: int) -> Heard:
        self.reports.append(report)
        number, highest = self._spec.number, self._highest_on_air
        decision = decide_report(
            self._rows.values(),
            highest,
            report.epoch,
            ended=report.ended,
            is_shared=report.shared,
            has_others=bool(self._air.others(number, report.epoch, report.ssrc, now)),
        )
        later = self._air.latest(number, highest) if highest is not None else None
        if decision.change is AirChange.STALE:
            return Heard(None, is_overtaken(report, later, now))
        if decision.change is AirChange.LEAVE:
            self._air.drop(number, Ssrc(report.ssrc))
            return Heard()
        wall_ms = now // NS_PER_MS
        for step in (*decision.steps, *expired(self._rows.values(), wall_ms)):
            off_air_at_ms = wall_ms if step.state is KeyState.DRAINING else None
            row = self._rows[step.epoch]
            self._rows[step.epoch] = replace(
                row, state=step.state, consumed=True, off_air_at_ms=off_air_at_ms or row.off_air_at_ms
            )
            self._forget_link(step.epoch)
            if step.state is KeyState.RETIRED:
                del self._rows[step.epoch]
                self.teks.pop(step.epoch, None)
        self._highest_on_air = report.epoch
        order = self._pass_fences(report.epoch, is_switch=bool(decision.steps))
        if decision.change is AirChange.END:
            self._air.forget(self._spec.number)
            return Heard()
        heard = AirReport(
            epoch=report.epoch,
            remaining_ms=report.remaining_ms,
            lifetime_ms=report.lifetime_ms,
            extended=report.extended,
            roc=report.roc,
            seq=report.seq,
            received_ns=now,
            is_shared=report.shared,
        )
        self._air.note(self._spec.number, Ssrc(report.ssrc), heard)
        return Heard(order)

    def _share(self, question: ShareKeys, now: int) -> Shared:
        view = self._view()
        on_air, living, lead = shared_air(view, self._air, question.ssrc, now)
        teks = {epoch: self.teks[epoch] for epoch in choose_epochs(view)}
        grant = make_grant(view, on_air, teks, jti="1", key_servers=(), audience=0, now=now)
        return Shared(jti="1", grant=grant, living=living, lead=lead)

    def _forget_link(self, epoch: Epoch) -> None:
        """Erase the C of an epoch that is off the air."""
        tek = self.teks.get(epoch)
        if tek is not None and tek.origin is not None and self._rows[epoch].off_air_at_ms is not None:
            tek.origin.erase()

    def _pass_fences(self, epoch: Epoch, *, is_switch: bool) -> FenceOrder | None:
        if is_switch:
            # An epoch went on air below a fence that its sender had not heard of: no time to lose.
            self.fences = [replace(fence, is_urgent=True) for fence in self.fences if fence.epoch > epoch]
        return order_for(self.fences, epoch)

    def _grant(self, request: FetchRequest, now: int, asker: str) -> Grant:
        self.asked_ns.append(now)
        if asker in self.removed:
            raise refusal("not-subscribed", "it was removed")
        view = self._view()
        held = {KeyId.parse(each) for each in request.held}
        given = [e for e in choose_epochs(view) if key_id_of(view, e) not in held]
        self.granted.setdefault(asker, set()).update(given)
        ends = {row.fresh_at for row in view.epochs if row.epoch in given and row.fresh_at is not None}
        self.chains.setdefault(asker, set()).update(ends)
        row = view.on_air
        on_air = OnAir(None, {})
        if row is not None:
            number = self._spec.number
            on_air = OnAir(self._air.latest(number, row.epoch), self._air.runs(number, row.epoch))
        teks = {epoch: self.teks[epoch] for epoch in given}
        grant = make_grant(
            view, on_air, teks, jti="1", key_servers=(), audience=self.audience, now=now, held=held
        )
        if self.is_recording:
            self.grants.append((now, asker, grant))
        return grant

    def _view(self) -> ChannelView:
        rows = tuple(self._rows[epoch] for epoch in sorted(self._rows))
        return ChannelView(self._spec, (), (sender_key(),), rows, tuple(self.fences))
