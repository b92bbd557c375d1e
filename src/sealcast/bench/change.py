"""Owns the control packets of one key change, as a real sender's session makes them in simulated time."""

from dataclasses import dataclass
from itertools import count

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Random
from sealcast.keys.lease import Lease, RunSlot
from sealcast.keys.material import Tek
from sealcast.keys.policy import Window, publish_in_ms
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import Action, ConsumeSlot, PublishKey, ReportAir
from sealcast.sender.control import BURST
from sealcast.sender.session import SenderSession
from sealcast.wire.seal import Seal, parse_seal
from sealcast.wire.srtcp import split_control

KEY_SERVERS = ("https://keys.example:8443",)
SLOTS = 64
AFTER_NS = NS_PER_S
"""So long after the switch packets are recorded: those that tell of it have left."""

PAYLOADS = (bytes(1316),) * 24
"""Sealed after each SEAL packet, to pay for the next ones (5 % of the stream's rate, `sender.control`)."""

STEPS_MAX = 100_000
"""A change takes a step for each SEAL packet; past this the session spins."""


@dataclass(frozen=True, slots=True)
class AirPacket:
    """A SEAL packet, when it left, and what it says."""

    at_ns: int
    data: bytes
    seal: Seal


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the keys before and after it, and all SEAL packets from its notice to after the switch.

    `plain_bytes` is the size of one that says nothing of a change. `bursts` are those that the change brings:
    at its switch, and at its notice if it was ordered.
    """

    spec: ChannelSpec
    ssrc: Ssrc
    signer: Ed25519PrivateKey
    before: Tek
    coming: Tek
    packets: tuple[AirPacket, ...]
    plain_bytes: int
    bursts: int

    @property
    def window(self) -> Window:
        """When receivers ask, in ms after the notice, which is the first of the packets."""
        told = self.packets[0].seal.window
        if told is None:
            raise RuntimeError("the notice of a change tells the window")
        return Window(told.opens_in_ms, told.closes_in_ms)

    @property
    def updates(self) -> tuple[AirPacket, ...]:
        """The packets that carry the update, none if there is none."""
        return tuple(packet for packet in self.packets if packet.seal.rekeys)

    @property
    def extra_packets(self) -> int:
        """How many packets left because of the change: with the update, and in bursts."""
        return len(self.updates) + self.bursts * BURST

    @property
    def added_bytes(self) -> int:
        """What the change adds to the control port: extra packets, and the notice within the others."""
        noticed = sum(len(packet.data) - self.plain_bytes for packet in self.packets)
        return noticed + self.extra_packets * self.plain_bytes


def record_change(spec: ChannelSpec, random: Random, order_ms: int | None = None) -> Change:
    """Run a sender from its start to the end of its first change. About 0.2 ms for each SEAL packet.

    With `order_ms` the key server orders it at once, with a window so long, as when a device is removed.
    """
    signer = Ed25519PrivateKey.from_private_bytes(random.bytes(32))
    session = SenderSession(
        spec=spec,
        lease=Lease(tuple(RunSlot(Ssrc(0x5EA10000 + i), Epoch(i)) for i in range(1, SLOTS))),
        known={},
        sign=signer.sign,
        key_servers=KEY_SERVERS,
        random=random,
        now=0,
    )
    recorder = _Recorder(session)
    recorder.step(0)
    # Nothing happens before the next key is due, so nothing is recorded.
    now = publish_in_ms(spec, spec.lifetime_ms) * NS_PER_MS - NS_PER_S
    recorder.step(now)
    if order_ms is not None:
        recorder.order(FenceOrder(epoch=Epoch(2), window_ms=order_ms, urgent=True), now)
    for _ in range(STEPS_MAX):
        recorder.step(now)
        if recorder.switched_ns is not None and now >= recorder.switched_ns + AFTER_NS:
            break
        now = max(now + 1, session.next_timeout(now))
    before, coming = recorder.published[:2]
    plain = [packet for packet in recorder.packets if packet.seal.next is None]
    told = next(i for i, packet in enumerate(recorder.packets) if packet.seal.window is not None)
    packets = tuple(recorder.packets[told:])
    bursts = 1 if order_ms is None else 2
    return Change(spec, session.ssrc, signer, before, coming, packets, len(plain[0].data), bursts)


class _Recorder:
    """Answers a session's actions with yes, and keeps its keys and its packets."""

    def __init__(self, session: SenderSession) -> None:
        self._session = session
        self._timestamps = count()
        self.published: list[Tek] = []
        self.packets: list[AirPacket] = []
        self.switched_ns: int | None = None
        self._report: ReportAir | None = None

    def order(self, fence: FenceOrder, now: int) -> None:
        """Have the key server's answer to the last report be an order."""
        if self._report is None:
            raise RuntimeError("a sender on air has reported")
        self._session.handle_reported(self._report, now, fence)

    def step(self, now: int) -> None:
        """Do what is due now."""
        while (action := self._session.poll_action(now)) is not None:
            self._answer(action, now)
        for data in self._session.poll_control(now):
            self.packets.append(AirPacket(now, data, parse_seal(split_control(data).clear_compound).seal))
        self._session.seal_batch(PAYLOADS, [next(self._timestamps)] * len(PAYLOADS), now)
        if self.switched_ns is None and self._session.state(now).key_changes:
            self.switched_ns = now

    def _answer(self, action: Action, now: int) -> None:
        match action:
            case PublishKey():
                self.published.append(action.tek.copy())
                self._session.handle_published(action.tek.key_id.epoch, now)
            case ConsumeSlot():
                self._session.handle_consumed(action.epoch, now)
            case ReportAir():
                self._report = action
                self._session.handle_reported(action, now)
            case _:
                raise RuntimeError(f"a sender with slots and keys of its own asks for {action}")
