"""Owns a sender session run in simulated time, with the key server's part played by the test."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec, Suite
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.lease import Lease, RunSlot
from sealcast.sender.actions import Action, ConsumeSlot, PublishKey, RenewLease, ReportAir
from sealcast.sender.session import SenderSession
from sealcast.testing import SimClock, SimRandom
from simulation.parts import Media, seal

SSRC = 0x5EA1CA57
LIFETIME_MS = 2_000
PACKET_MS = 2
TS_PACKET_BYTES = 188


@dataclass(slots=True)
class OnAir:
    """What was on the air: sealed data, the payloads in it, control packets, and master keys by MKI."""

    data: list[bytes] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    control: list[bytes] = field(default_factory=list)
    masters: dict[bytes, bytes] = field(default_factory=dict)

    def used_keys(self) -> list[tuple[bytes, bytes]]:
        """Return (MKI, master key ‖ salt) of the keys that data was sealed under, in order."""
        mkis = dict.fromkeys(packet[-8:] for packet in self.data)
        return [(mki, self.masters[mki]) for mki in mkis]


def transport_packets(random: SimRandom) -> Iterator[bytes]:
    """Give payloads of seven packets that begin like MPEG-TS and hold noise."""
    for number in range(1 << 30):
        pid = (0x100 + number % 3).to_bytes(2, "big")
        yield b"".join(
            b"\x47" + pid + bytes([0x10 | number % 16]) + random.bytes(TS_PACKET_BYTES - 4) for _ in range(7)
        )


def run_sender(suite: Suite, *, changes: int, first_seq: int) -> OnAir:
    """Run a sender over so many key changes, a packet each 2 ms, keys of 2 s."""
    clock, random, air = SimClock(), SimRandom(1), OnAir()
    spec = ChannelSpec(ChannelNumber(7), "news", "239.1.2.3", 5004, suite=suite, lifetime_ms=LIFETIME_MS)
    session = SenderSession(
        spec=spec,
        lease=Lease(tuple(RunSlot(Ssrc(SSRC), Epoch(epoch)) for epoch in range(3, 19))),
        known={},
        sign=Ed25519PrivateKey.from_private_bytes(bytes(32)).sign,
        key_servers=["https://127.0.0.1:8443"],
        random=random.fork("keys"),
        now=clock.monotonic_ns(),
        first_seq=first_seq,
    )
    payloads = transport_packets(random.fork("payload"))
    for _ in range((changes + 1) * LIFETIME_MS // PACKET_MS):
        now = clock.monotonic_ns()
        while (action := session.poll_action(now)) is not None:
            _answer(session, action, air, now)
        payload = next(payloads)
        air.data += seal(session, [Media(payload, timestamp=now * 9 // 100_000)], now)
        air.payloads.append(payload)
        air.control += session.poll_control(now)
        clock.advance(PACKET_MS * NS_PER_MS)
    air.control += session.end(clock.monotonic_ns())
    return air


def _answer(session: SenderSession, action: Action, air: OnAir, now: int) -> None:
    """Say yes to whatever the session asks."""
    match action:
        case PublishKey(tek=tek):
            air.masters[tek.key_id.pack()] = tek.key.reveal() + tek.salt.reveal()
            session.handle_published(tek.key_id.epoch, now)
        case ConsumeSlot(epoch=epoch):
            session.handle_consumed(epoch, now)
        case ReportAir():
            session.handle_reported(action, now)
        case RenewLease(first_unused=first):
            slots = [RunSlot(Ssrc(SSRC), Epoch(epoch)) for epoch in range(first, first + 16)]
            session.handle_lease(slots, now)
        case _:
            raise AssertionError(action)
