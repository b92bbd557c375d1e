"""Owns the simulated sender: a real session and slot file, with what `sender.run` does around them."""

from collections.abc import Callable
from pathlib import Path

from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import RefusedError
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keys.material import Tek
from sealcast.messages.answers import Shared
from sealcast.sender.actions import (
    Action,
    ConsumeSlot,
    GenerateKey,
    PublishKey,
    RenewLease,
    ReportAir,
    ShareKeys,
)
from sealcast.sender.reports import REPORT_NS
from sealcast.sender.session import SenderSession
from sealcast.sender.sharing import shared_keys
from sealcast.sender.slots import SlotStore
from sealcast.testing import PacketArrival
from simulation.credentials import make_credential
from simulation.keyserver import Answer, Done, Heard, LeaseAsk, LeaseGiven
from simulation.parts import SIGNER, Media, copy_of, material_of, payload, seal
from simulation.world import World

DATA, CONTROL = "data", "control"
DISK_NS = NS_PER_MS
"""How long a durable write takes."""

BYE_SPACING_NS = 20 * NS_PER_MS
CREDENTIAL = make_credential()


def mark_of(packet: bytes) -> bytes:
    """Return what no two packets have in common: what follows the first word of the header, and the tag."""
    return packet[2:12] + packet[-24:-8]


class CrashError(Exception):
    """The sender's process dies here."""


class Studio:
    """A sender of numbered payloads at a steady rate. `stop` ends it in good order, `crash` does not."""

    def __init__(
        self,
        world: World,
        spec: ChannelSpec,
        folder: Path,
        *,
        packets_per_second: float = 100,
        batch: int = 1,
        size_bytes: int = 100,
        first_seq: int | None = None,
        name: str = "studio",
        first_number: int = 0,
        report_ns: int = REPORT_NS,
        is_beside: bool = False,
    ) -> None:
        self.endpoint = world.network.endpoint(name)
        self.session: SenderSession | None = None
        self.store = SlotStore(folder, CREDENTIAL, spec.name)
        self.sent: dict[bytes, int] = {}
        self.number = first_number
        self.size_bytes = size_bytes
        self.batch = batch
        self.gap_ns = round(batch * NS_PER_S / packets_per_second)
        self.is_over = False
        self.was_overtaken = False
        self.is_recording = True
        self.crash_at: str | None = None
        self.actions: list[tuple[int, Action]] = []
        self.switches: list[tuple[int, int]] = []
        self.on_control: Callable[[bytes], bytes | None] = lambda packet: packet
        self.started_without_server = False
        self.heard: list[tuple[int, int]] = []
        """When this sender was told of which fence."""
        self._world = world
        self._spec = spec
        self._first_seq = first_seq
        self._report_ns = report_ns
        self._is_beside = is_beside
        self._media_ns: int | None = None
        self._epoch: int | None = None

    def start(self) -> None:
        """Ask for a lease, as the run does, then begin; without an answer make do with the slots kept."""
        self._world.add(self)
        self.store.open()
        self._world.ask(self, LeaseAsk(self.store.first_unused), self._leased)

    def stop(self, now: int) -> None:
        """Say BYE three times, and hand in the last report."""
        if self.session is None or self.is_over:
            return
        self._media_ns = None
        for i, packet in enumerate(self.session.end(now)):
            self._world.at(now + i * BYE_SPACING_NS, lambda at, packet=packet: self._send_control(packet, at))
        self._world.at(now + 3 * BYE_SPACING_NS, self._finish)

    def crash(self) -> None:
        """Stop in the middle of whatever goes on."""
        self.is_over = True
        self.session = None
        self._media_ns = None
        self.store.close()

    def take(self, packets: list[PacketArrival], now: int) -> None:
        """Take nothing: a sender listens to no group."""

    def wake(self, now: int) -> None:
        """Do what is due."""
        if self.session is None:
            return
        self._advance(now)
        if self.session is None or self._media_ns is None:
            return
        while self._media_ns <= now:
            self._send_batch(now)
            self._media_ns += self.gap_ns

    def due_ns(self) -> int | None:
        """Return when the next packet or the session wants its turn."""
        if self.session is None or self.is_over:
            return None
        session_ns = self.session.next_timeout(self._world.now)
        return session_ns if self._media_ns is None else min(session_ns, self._media_ns)

    def live_session(self) -> SenderSession:
        """Return the session of a sender that runs."""
        assert self.session is not None
        return self.session

    def _leased(self, answer: Answer | None, now: int) -> None:
        if self.is_over:
            return
        if isinstance(answer, LeaseGiven):
            materials = [material_of(tek) for tek in answer.published]
            self.store.take_lease(self._spec, answer.slots, materials)
        else:
            assert answer is None
            self.started_without_server = True
        self.session = SenderSession(
            spec=self._spec,
            lease=self.store.lease,
            known=self.store.known,
            sign=SIGNER.sign,
            key_servers=["https://keys.example:8443"],
            random=self._world.random.fork(f"{self.endpoint.name}/{now}"),
            now=now,
            first_seq=self._first_seq,
            report_ns=self._report_ns,
            is_beside=self._is_beside,
        )
        self._advance(now)

    def _advance(self, now: int) -> None:
        """Carry out what the session wants, as the run does after every input and timeout."""
        session = self.live_session()
        while (action := session.poll_action(now)) is not None:
            self.actions.append((now, copy_of(action)) if self.is_recording else (now, action))
            if not self.is_recording:
                self.actions.clear()
            try:
                self._carry_out(session, action, now)
            except CrashError:
                self.crash()
                return
        for packet in session.poll_control(now):
            self._send_control(packet, now)
        if (
            session.is_on_air
            and self._media_ns is None
            and not session.state(now).packets
            and not self.is_over
        ):
            self._media_ns = now
        self._note_switch(session, now)

    def _carry_out(self, session: SenderSession, action: Action, now: int) -> None:
        match action:
            case ConsumeSlot():
                self._die_if("before consume")
                self.store.consume(action.epoch)
                self._die_if("after consume")
                self._world.at(now + DISK_NS, lambda at: self._consumed(session, action, at))
            case RenewLease():
                self._world.ask(self, action, lambda answer, at: self._answered(session, action, answer, at))
            case PublishKey():
                self.store.remember_key(action.tek)
                self._die_if("before publish")
                asked = copy_of(action)
                assert isinstance(asked, PublishKey)
                self._world.ask(self, asked, lambda answer, at: self._answered(session, action, answer, at))
            case GenerateKey() | ReportAir() | ShareKeys():
                self._world.ask(self, action, lambda answer, at: self._answered(session, action, answer, at))

    def _consumed(self, session: SenderSession, action: ConsumeSlot, now: int) -> None:
        if session is self.session:
            session.handle_consumed(action.epoch, now)
            self._advance(now)
            self._world.refresh(self)

    def _answered(self, session: SenderSession, action: Action, answer: Answer | None, now: int) -> None:
        if session is not self.session:
            return
        self._hand_in(session, action, answer, now)
        if not self.is_over:
            self._advance(now)

    def _hand_in(self, session: SenderSession, action: Action, answer: Answer | None, now: int) -> None:
        match action, answer:
            case _, None:
                session.handle_failed(action, now)
            case _, RefusedError():
                session.handle_refused(action, now)
            case RenewLease(), LeaseGiven():
                self.store.extend_lease(answer.slots)
                session.handle_lease(answer.slots, now)
            case PublishKey(), Done():
                session.handle_published(action.tek.key_id.epoch, now)
            case GenerateKey(), Tek():
                self.store.remember_key(answer)
                session.handle_generated(answer, now)
            case ReportAir(), Heard():
                if answer.fence is not None:
                    self.heard.append((now, answer.fence.epoch))
                session.handle_reported(action, now, answer.fence)
                self._note_overtaken(session, action, answer, now)
            case ShareKeys(), Shared():
                session.handle_shared(shared_keys(answer, self._spec), now)

    def _note_overtaken(self, session: SenderSession, report: ReportAir, answer: Heard, now: int) -> None:
        is_older = answer.overtaken and report.epoch == session.state(now).epoch
        if is_older and not session.handle_overtaken(now):
            self.was_overtaken = True
            self.crash()

    def _send_batch(self, now: int) -> None:
        session = self.live_session()
        media = [Media(payload(self.number + i, self.size_bytes), self.number + i) for i in range(self.batch)]
        for item, packet in zip(media, seal(session, media, now), strict=True):
            if self.is_recording:
                self.sent[mark_of(packet)] = int.from_bytes(item.payload[:8], "big")
            self._world.network.send(DATA, packet, now)
        self.number += self.batch
        self._note_switch(session, now)
        for packet in session.poll_control(now):
            self._send_control(packet, now)

    def _send_control(self, packet: bytes, now: int) -> None:
        if (changed := self.on_control(packet)) is not None:
            self._world.network.send(CONTROL, changed, now)

    def _note_switch(self, session: SenderSession, now: int) -> None:
        epoch = session.state(now).epoch
        if epoch is not None and epoch != self._epoch:
            self._epoch = epoch
            self.switches.append((now, epoch))

    def _finish(self, now: int) -> None:
        if self.session is not None:
            self._advance(now)
        self._world.at(now + 2 * NS_PER_S, lambda _: self.crash())

    def _die_if(self, place: str) -> None:
        if self.crash_at == place:
            raise CrashError
