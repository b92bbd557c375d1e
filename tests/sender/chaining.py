"""Owns a sender of chained keys beside a key server that keeps to the rules, and answers as told."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sealcast.core.channel import ChannelSpec, ScheduleKind
from sealcast.core.errors import SealcastError
from sealcast.core.ids import Epoch
from sealcast.core.secret import Secret
from sealcast.keys.lease import RunSlot
from sealcast.keys.material import Tek
from sealcast.keys.schedule import check_origin, follow
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import Action, ConsumeSlot, PublishKey, RenewLease, ReportAir
from sealcast.sender.session import SenderSession
from sealcast.wire import srtcp
from sealcast.wire.seal import Seal, parse_seal
from simulation.parts import MS, make_sender, make_slots, make_spec

W_MS = 2_000
STEPS_MAX = 100_000
"""A loop that takes longer stands still."""


def chain_spec(
    lifetime_ms: int = 10_000,
    *,
    fresh_epochs: int = 6,
    repeats: int = 3,
    cycle: int = 0,
    prefetch_at: str = "25%",
) -> ChannelSpec:
    """Return a channel whose keys follow from each other."""
    return replace(
        make_spec(lifetime_ms, prefetch_at=prefetch_at),
        schedule=ScheduleKind.CHAIN,
        fresh_every_ms=fresh_epochs * lifetime_ms,
        repeats=repeats,
        cycle=cycle,
    )


class ChainServer:
    """The key server's decisions on chained keys: what it takes, and what it orders."""

    def __init__(self, spec: ChannelSpec) -> None:
        self.keys: dict[Epoch, Tek] = {}
        self.fences: list[FenceOrder] = []
        self.on_air = 0
        self.refused: list[Epoch] = []
        """What broke the rules: a good sender asks for nothing of the kind, but across an order."""
        self._spec = spec

    def slots(self, first_unused: int) -> tuple[RunSlot, ...]:
        """Return 16 slots; none below a fence."""
        return make_slots(max([first_unused, 1, *(fence.epoch for fence in self.fences)]), 16)

    def takes(self, tek: Tek) -> bool:
        """Whether a key is taken in: one to an epoch, of its link, and within the rules of its chain."""
        epoch = tek.key_id.epoch
        if epoch in self.keys:
            return self.keys[epoch] == tek
        try:
            fits = self._fits(tek)
        except SealcastError:
            fits = False
        if fits:
            self.keys[epoch] = tek.copy()
        else:
            self.refused.append(epoch)
        return fits

    def remove(self, *, is_urgent: bool) -> None:
        """Remove a device that holds a link of every chain: nothing published goes on air any more."""
        epoch = max([self.on_air, *self.keys]) + 1
        self.fences.append(FenceOrder(epoch=epoch, window_ms=W_MS, urgent=is_urgent))

    def order(self, epoch: Epoch) -> FenceOrder | None:
        """Return what the answer to a report says."""
        self.on_air = max(self.on_air, epoch)
        ahead = [fence for fence in self.fences if fence.epoch > epoch]
        return max(ahead, key=lambda fence: fence.epoch) if ahead else None

    def _fits(self, tek: Tek) -> bool:
        check_origin(tek)
        epoch, origin = tek.key_id.epoch, tek.origin
        assert origin is not None
        if origin.follows is None:
            return epoch < origin.fresh_at <= epoch + self._spec.fresh_epochs
        before = self.keys.get(origin.follows.epoch)
        if before is None or before.origin is None or origin.update is None:
            return False
        if any(origin.follows.epoch < fence.epoch <= epoch for fence in self.fences):
            return False
        is_same_chain = before.origin.fresh_at == origin.fresh_at
        return is_same_chain and follow(before, tek.key_id, Secret(origin.update.reveal())) == tek


@dataclass(slots=True)
class ChainAir:
    """One sender over several runs, with its slot file in memory, and all that was seen of it."""

    spec: ChannelSpec
    delay_ns: int = 0
    now: int = 0
    is_silent: bool = False
    refusals: int = 0
    lost_answers: int = 0
    runs: int = 0
    first_unused: int = 0
    kept: dict[Epoch, Tek] = field(default_factory=dict)
    made: list[Tek] = field(default_factory=list)
    made_before: int = 0
    copies: list[Tek] = field(default_factory=list)
    published_ns: dict[Epoch, int] = field(default_factory=dict)
    seals: list[tuple[int, Seal]] = field(default_factory=list)
    switches: list[tuple[int, Epoch]] = field(default_factory=list)
    starts: list[Epoch] = field(default_factory=list)
    session: SenderSession | None = None
    server: ChainServer = field(init=False)
    _pending: list[tuple[int, Callable[[int], None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.server = ChainServer(self.spec)

    def start(self) -> SenderSession:
        """Begin a run, after a crash of the one before if there was one."""
        self._pending.clear()
        self.runs += 1
        self.made_before = len(self.made)
        slots = self.server.slots(self.first_unused)
        if not self.is_silent:
            self.first_unused = slots[0].epoch
            self.kept |= {e: tek.copy() for e, tek in self.server.keys.items() if e >= self.first_unused}
        known = {epoch: tek.copy() for epoch, tek in self.kept.items() if epoch >= self.first_unused}
        slots = make_slots(max(self.first_unused, 1), 16)
        seed = f"run {self.runs}"
        self.session = make_sender(self.spec, self.now, slots=slots, known=known, seed=seed)
        return self.session

    def run(self, until: int) -> None:
        """Go from timeout to timeout."""
        session = self.session
        assert session is not None
        for _ in range(STEPS_MAX):
            self._settle(session)
            if self.now >= until:
                return
            times = [until, session.next_timeout(self.now), *(at for at, _ in self._pending)]
            self.now = max(self.now + 1, min(times))
        raise AssertionError("time stands still")

    def updates(self, epoch: int) -> list[tuple[int, Seal]]:
        """Return the SEAL packets that carried the update to an epoch."""
        return [(at, s) for at, s in self.seals if s.rekeys and s.next and s.next.key_id.epoch == epoch]

    def key(self, epoch: int) -> Tek:
        """Return a copy of the key last made for an epoch."""
        return [tek for tek in self.copies if tek.key_id.epoch == epoch][-1]

    def _settle(self, session: SenderSession) -> None:
        due = [answer for at, answer in self._pending if at <= self.now]
        self._pending = [(at, answer) for at, answer in self._pending if at > self.now]
        for answer in due:
            answer(self.now)
        while (action := session.poll_action(self.now)) is not None:
            self._take(session, action)
        for packet in session.poll_control(self.now):
            self.seals.append((self.now, parse_seal(srtcp.split_control(packet).clear_compound).seal))
        epoch = session.state(self.now).epoch
        if epoch is not None and (not self.switches or self.switches[-1][1] != epoch):
            if len(self.starts) < self.runs:
                self.starts.append(epoch)
            self.switches.append((self.now, epoch))

    def _take(self, session: SenderSession, action: Action) -> None:
        match action:
            case ConsumeSlot():
                self.first_unused = max(self.first_unused, action.epoch + 1)
                self.kept = {epoch: tek for epoch, tek in self.kept.items() if epoch > action.epoch}
                self._later(lambda now: session.handle_consumed(action.epoch, now))
            case PublishKey():
                if not any(tek is action.tek for tek in self.made):
                    self.made.append(action.tek)
                    self.copies.append(action.tek.copy())
                if action.tek.key_id.epoch >= self.first_unused:
                    self.kept[action.tek.key_id.epoch] = action.tek.copy()
                asked = action.tek.copy()
                self._later(lambda now: self._publish(session, action, asked, now))
            case RenewLease() if not self.is_silent:
                self._later(lambda now: session.handle_lease(self.server.slots(action.first_unused), now))
            case ReportAir() if not self.is_silent:
                order = self.server.order(action.epoch)
                self._later(lambda now: session.handle_reported(action, now, order))
            case _:
                self._later(lambda now: session.handle_failed(action, now))

    def _publish(self, session: SenderSession, action: PublishKey, asked: Tek, now: int) -> None:
        epoch = asked.key_id.epoch
        if self.refusals and epoch not in self.server.keys:
            self.refusals -= 1
            session.handle_refused(action, now)
        elif self.is_silent:
            session.handle_failed(action, now)
        elif not self.server.takes(asked):
            session.handle_refused(action, now)
        elif self.lost_answers:
            self.lost_answers -= 1
            session.handle_failed(action, now)
        else:
            self.published_ns.setdefault(epoch, now)
            session.handle_published(epoch, now)

    def _later(self, answer: Callable[[int], None]) -> None:
        if self.delay_ns:
            self._pending.append((self.now + self.delay_ns, answer))
        else:
            answer(self.now)


def window_ns(spec: ChannelSpec) -> int:
    """Return Y in ns."""
    return spec.prefetch_at.of_ms(spec.lifetime_ms) * MS
