"""Owns a sender and a receiver that hold one key, without a network, and what attackers make of packets."""

import dataclasses
from collections.abc import Callable, Iterator
from itertools import count, groupby

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec
from sealcast.keys.material import Tek
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import PublishKey
from sealcast.sender.session import SenderSession
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.seal import Seal, SenderCounts, build_seal, parse_seal
from simulation.parts import (
    SECOND,
    STRANGER,
    Media,
    copy_key,
    make_grant,
    make_receiver,
    make_sender,
    make_spec,
    media,
    on_air,
    seal,
    serve,
)
from wire.single import seal_single

SPEC = make_spec(10_000)


class Pair:
    """A sender on air and a receiver that opened its first five packets."""

    def __init__(self, spec: ChannelSpec = SPEC, *, seed: str = "sender") -> None:
        self.spec = spec
        self.sender: SenderSession = make_sender(spec, seed=seed)
        self.tek = on_air(self.sender, 0)
        self.receiver = joined(spec, self.tek)
        self.first_seal = self.sender.poll_control(0)[0]
        self.receiver.handle_control(self.first_seal, 0)
        self.packets = seal(self.sender, media(*range(10)), 0)
        self.receiver.handle_data(self.packets[:5], 0)
        assert self.receiver.stats.opened == 5
        self._overheard: srtcp.ControlPacket | None = None
        self._forged = count()

    def next_seal(self, now: int = SECOND) -> bytes:
        """Return the sender's next SEAL packet, which the receiver has not seen."""
        return self.sender.poll_control(now)[0]

    def changed(
        self,
        change: Callable[[Seal], Seal] = lambda seal: seal,
        *,
        signer: Ed25519PrivateKey = STRANGER,
        tek: Tek | None = None,
    ) -> bytes:
        """Return a SEAL packet as a subscriber could make it: tag right, signature not the sender's.

        It follows the one that `overhear` took or takes, each with an index above the last.
        """
        control = self.overhear()
        index = control.index + next(self._forged)
        seal = change(parse_seal(control.clear_compound).seal)
        compound = build_seal(seal, SenderCounts(0, 0, 0), "x", srtcp.index_word(index), signer.sign)
        return sealed_control(tek or self.tek, compound, control.ssrc, index)

    def overhear(self, now: int = SECOND) -> srtcp.ControlPacket:
        """Return the SEAL packet that the attacker keeps from the receiver and starts from."""
        if self._overheard is None:
            self._overheard = srtcp.split_control(self.next_seal(now))
        return self._overheard

    def keys_of(self, tek: Tek) -> srtp.SessionKey:
        """Return the control key of an epoch, as every subscriber has it."""
        return srtp.derive_rtcp(tek.key, tek.salt)

    def small_packet(self, number: int = 10) -> bytes:
        """Return the sender's next data packet, with a payload of 32 bytes."""
        return seal(self.sender, [Media(number.to_bytes(8, "big") + bytes(24), number)], 0)[0]

    def publish_next(self) -> Tek:
        """Let the sender publish its next key, at half of the lifetime, and the receiver be granted it."""
        half_ns = self.spec.lifetime_ms * 500_000
        actions = serve(self.sender, half_ns)
        tek = next(action.tek for action in actions if isinstance(action, PublishKey))
        self.receiver.handle_grant(
            make_grant(self.spec, copy_key(self.tek), tek, remaining_ms=5_000), half_ns
        )
        assert self.receiver.state(half_ns).holds_next
        return tek


def joined(spec: ChannelSpec, tek: Tek) -> ReceiverSession:
    """Return a receiver that was granted one key."""
    session = make_receiver()
    assert session.poll_fetch(0) is not None
    session.handle_grant(make_grant(spec, copy_key(tek)), 0)
    return session


def sealed_control(tek: Tek, compound: bytes, ssrc: int, index: int) -> bytes:
    """Return a control packet as any holder of the key can seal it."""
    key = srtp.derive_rtcp(tek.key, tek.salt)
    return srtcp.seal_control(key, compound, ssrc, index, tek.key_id.pack())


def forged_data(tek: Tek, ssrc: int, index: int, body: bytes = b"forged") -> bytes:
    """Return a data packet as any holder of the key can seal it."""
    header = rtp.pack_header(33, index % rtp.SEQ_MODULUS, 0, ssrc)
    key = srtp.derive_rtp(tek.key, tek.salt).stream(ssrc)
    return seal_single(key, header, body, index, tek.key_id.pack())


def one_by_one(session: ReceiverSession, packets: list[bytes], now: int) -> None:
    """Hand over data packets one by one."""
    session.handle_data(packets, now)


def as_trains(session: ReceiverSession, packets: list[bytes], now: int) -> None:
    """Hand over data packets as the kernel gathers them: neighbours of one length together."""
    for length, neighbours in groupby(packets, len):
        train = b"".join(neighbours)
        session.train_buffer[: len(train)] = train
        session.handle_train(len(train), length, now)


WAYS = (one_by_one, as_trains)
"""Both ways in which data reaches a session."""


def flip(packet: bytes, bit: int) -> bytes:
    """Return the packet with one bit changed, counted from the first."""
    changed = bytearray(packet)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


def flips(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield each byte's place and the packet with each of its bits changed."""
    for bit in range(8 * len(packet)):
        yield bit // 8, flip(packet, bit)


def fates(session: ReceiverSession) -> dict[str, int]:
    """Return what a receiver counts, by name."""
    return dataclasses.asdict(session.stats)


def rose(before: dict[str, int], session: ReceiverSession) -> dict[str, int]:
    """Return the counters that rose, and by how much."""
    return {name: value - before[name] for name, value in fates(session).items() if value != before[name]}
