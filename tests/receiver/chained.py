"""Owns a sender of chained keys made by hand: its keys, its SEAL packets with updates, and grants of them."""

from collections.abc import Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.core.update import Update
from sealcast.keys.material import Tek
from sealcast.keys.policy import repair_window
from sealcast.keys.schedule import ChainSchedule
from sealcast.messages.answers import FetchWindow, Grant, GrantedKey, KeyMaterial, StreamState
from sealcast.messages.channels import channel_data
from sealcast.messages.material import key_material, update_material
from sealcast.receiver.session import ReceiverSession
from sealcast.testing import SimRandom
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.rekey import pack_rekey
from sealcast.wire.seal import NextKey, Seal, SealWindow, SenderCounts, build_seal
from simulation.parts import CHANNEL, SIGNER, make_receiver, make_spec, payload, sender_key
from wire.single import seal_single

SSRC = 0x5EA1
FRESH_EPOCHS = 4


def make_chain_spec(lifetime_ms: int = 10_000) -> ChannelSpec:
    """Return a channel with chained keys, a fresh start every `FRESH_EPOCHS`."""
    return make_spec(lifetime_ms, fresh_epochs=FRESH_EPOCHS)


def key_id(epoch: int) -> KeyId:
    """Return the key ID of an epoch of our channel."""
    return KeyId(ChannelNumber(CHANNEL), Epoch(epoch))


class Chain:
    """Keys of epochs from 1 on, a fresh start every `FRESH_EPOCHS`; and who sends under them."""

    def __init__(self, spec: ChannelSpec | None = None, seed: str = "chain", epochs: int = 10) -> None:
        self.spec = spec or make_chain_spec()
        self.teks: dict[int, Tek] = {}
        self.updates: dict[int, Update] = {}
        self.control_index = 0
        schedule = ChainSchedule(
            self.spec.suite, SimRandom(seed), fresh_epochs=self.spec.fresh_epochs, cycle=0
        )
        before = None
        for epoch in range(1, epochs + 1):
            planned = schedule.make(key_id(epoch), before, is_fresh=False)
            before = self.teks[epoch] = planned.tek
            if planned.update is not None:
                self.updates[epoch] = planned.update

    def message(self, epoch: int, **changes: object) -> bytes:
        """Return the rekey message that leads to an epoch, perhaps with other parts."""
        return pack_rekey(replace(self.updates[epoch], **changes))

    def seal(
        self,
        epoch: int,
        *rekeys: bytes,
        coming: int | None = None,
        remaining_ms: int = 5_000,
        window: tuple[int, int] | None = None,
        signer: Ed25519PrivateKey = SIGNER,
    ) -> bytes:
        """Return a SEAL packet of an epoch with these rekey messages, each packet with the next index."""
        self.control_index += 1
        content = Seal(
            ssrc=SSRC,
            current=key_id(epoch),
            remaining_ms=remaining_ms,
            lifetime_ms=self.spec.lifetime_ms,
            roc=0,
            seq=0,
            next=None if coming is None else NextKey(key_id(coming), remaining_ms),
            window=None if window is None else SealWindow(*window),
            rekeys=rekeys,
        )
        word = srtcp.index_word(self.control_index)
        compound = build_seal(content, SenderCounts(0, 0, 0), "x", word, signer.sign)
        tek = self.teks[epoch]
        key = srtp.derive_rtcp(tek.key, tek.salt)
        return srtcp.seal_control(key, compound, SSRC, self.control_index, tek.key_id.pack())

    def data(self, epoch: int, number: int) -> bytes:
        """Return the data packet of a number under the key of an epoch."""
        tek = self.teks[epoch]
        key = srtp.derive_rtp(tek.key, tek.salt).stream(SSRC)
        return seal_single(
            key, rtp.pack_header(33, number, 0, SSRC), payload(number), number, tek.key_id.pack()
        )

    def grant(
        self,
        current: KeyMaterial | None,
        *following: KeyMaterial,
        remaining_ms: int | None = None,
        has_window: bool = True,
    ) -> Grant:
        """Return a grant of keys as they stand in messages."""
        left_ms = self.spec.lifetime_ms if remaining_ms is None else remaining_ms
        window = repair_window(self.spec, left_ms)
        keys = [self._granted(current, "current", left_ms)] if current is not None else []
        return Grant(
            jti="1",
            channel=channel_data(self.spec),
            keys=keys + [self._granted(each, "next", self.spec.lifetime_ms) for each in following],
            streams=[StreamState(ssrc=SSRC, roc=0, seq=0, age_ms=0)],
            senders=[sender_key()],
            window=FetchWindow(opens_in_ms=window.opens_in_ms, closes_in_ms=window.closes_in_ms)
            if has_window
            else None,
        )

    def link(self, epoch: int) -> KeyMaterial:
        """Return a key as its link, with the update that led to it."""
        return key_material(self.teks[epoch])

    def update(self, epoch: int) -> KeyMaterial:
        """Return a key as the update alone."""
        return update_material(self.teks[epoch])

    def _granted(self, material: KeyMaterial, state: str, remaining_ms: int) -> GrantedKey:
        lifetime_ms = self.spec.lifetime_ms
        return GrantedKey(material=material, state=state, remaining_ms=remaining_ms, lifetime_ms=lifetime_ms)


def joined(chain: Chain, epoch: int = 1, *following: KeyMaterial) -> ReceiverSession:
    """Return a receiver that was granted the link of an epoch, on air, and perhaps more."""
    session = make_receiver()
    assert session.poll_fetch(0) is not None
    session.handle_grant(chain.grant(chain.link(epoch), *following), 0)
    return session


def held(session: ReceiverSession) -> list[int]:
    """Return the epochs whose keys a receiver holds."""
    return sorted(each.epoch for each in session._ring.held)


def links(session: ReceiverSession) -> list[int]:
    """Return the epochs whose C a receiver holds: those from which it could follow."""
    found = []
    for each in session._ring.held:
        tek = session._ring.tek(each)
        if tek is not None and tek.origin is not None and len(tek.origin.link):
            found.append(each.epoch)
    return sorted(found)


def secrets_of(session: ReceiverSession, epoch: int) -> Sequence[Secret]:
    """Return the Secret objects of a key's origin, as the receiver holds them: C, and Ku if there is one."""
    tek = session._ring.tek(key_id(epoch))
    assert tek is not None
    assert tek.origin is not None
    return [each for each in (tek.origin.link, tek.origin.update) if each is not None]
