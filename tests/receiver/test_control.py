"""The judgement of control packets: what is believed, and what is refused before it costs anything."""

import struct
from collections.abc import Callable

import pytest

from sealcast.core.errors import AuthenticationError, FormatError, RemoteError, ReplayError
from sealcast.receiver.control import SENDERS_MAX, ControlJudge
from sealcast.receiver.keyring import KeyRing
from sealcast.sender.session import SenderSession
from sealcast.wire import srtcp, srtp
from simulation import parts

SPEC = parts.make_spec()


@pytest.fixture
def sender() -> SenderSession:
    """Return a sender on air under epoch 1."""
    session = parts.make_sender(SPEC)
    parts.on_air(session, 0)
    return session


def key_on_air() -> srtp.SessionKey:
    """Return the control key of the sender's first epoch: its session draws it first."""
    session = parts.make_sender(SPEC)
    tek = parts.on_air(session, 0)
    return srtp.derive_rtcp(tek.key, tek.salt)


@pytest.fixture
def judge() -> ControlJudge:
    """Return a judge who holds that epoch's key and knows the sender."""
    ring = KeyRing()
    ring.learn(parts.on_air(parts.make_sender(SPEC), 0), SPEC.lifetime_ms, 0)
    judge = ControlJudge(ring)
    judge.set_senders([parts.SIGNER.public_key().public_bytes_raw()])
    return judge


def test_a_good_packet_says_what_the_sender_said(sender: SenderSession, judge: ControlJudge) -> None:
    """A packet of the registered sender under a key that we hold is believed."""
    (packet,) = sender.poll_control(0)
    seal = judge.verify(packet, -1)
    assert (seal.current.epoch, seal.remaining_ms, seal.ssrc) == (1, SPEC.lifetime_ms, sender.ssrc)


def test_an_index_that_does_not_rise_is_refused(sender: SenderSession, judge: ControlJudge) -> None:
    """The same packet a second time, or an older one, is a replay."""
    (first,) = sender.poll_control(0)
    (second,) = sender.poll_control(parts.SECOND)
    judge.verify(second, 1)
    for packet in (first, second):
        with pytest.raises(ReplayError):
            judge.verify(packet, 2)


def test_a_stranger_s_signature_is_refused(judge: ControlJudge) -> None:
    """A subscriber, who holds the group key, cannot make a packet that others believe."""
    stranger = parts.make_sender(SPEC, signer=parts.STRANGER)
    parts.on_air(stranger, 0)
    (packet,) = stranger.poll_control(0)
    with pytest.raises(AuthenticationError):
        judge.verify(packet, -1)


def flip_any_byte(packet: bytes) -> list[bytes]:
    """Return the packet with each of its bytes changed in turn."""
    return [packet[:i] + bytes([packet[i] ^ 0x80]) + packet[i + 1 :] for i in range(len(packet))]


def test_a_packet_changed_anywhere_is_refused(sender: SenderSession, judge: ControlJudge) -> None:
    """No byte of a packet can be changed on the way."""
    (packet,) = sender.poll_control(0)
    for changed in flip_any_byte(packet):
        with pytest.raises(RemoteError):
            judge.verify(changed, -1)


def reseal(packet: bytes, *, encrypted: bool = False, index: int | None = None) -> bytes:
    """Seal a sender's signed compound anew, as a subscriber can: it holds the key."""
    control = srtcp.split_control(packet)
    number = control.index if index is None else index
    compound = control.clear_compound
    return srtcp.seal_control(key_on_air(), compound, control.ssrc, number, control.mki, encrypted=encrypted)


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "encrypted": lambda packet: reseal(packet, encrypted=True),
    "another index": lambda packet: reseal(packet, index=77),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_packet_sealed_anew_by_a_subscriber_is_refused(
    sender: SenderSession, judge: ControlJudge, change: Callable[[bytes], bytes]
) -> None:
    """The signature holds for one form of one packet: else an insider could run the index up."""
    (packet,) = sender.poll_control(0)
    assert reseal(packet) == packet
    with pytest.raises(RemoteError):
        judge.verify(change(packet), -1)


def test_a_key_that_is_not_held_verifies_nothing(sender: SenderSession) -> None:
    """Without the key a packet is a hint: it can be read, and is not believed."""
    judge = ControlJudge(KeyRing())
    (packet,) = sender.poll_control(0)
    assert judge.hint(packet).key_servers == ("https://keys.example:8443",)
    assert judge.key_of(packet).epoch == 1
    with pytest.raises(AuthenticationError):
        judge.verify(packet, -1)


def test_senders_that_are_no_keys_change_nothing(sender: SenderSession, judge: ControlJudge) -> None:
    """A grant with a misshapen sender's key is refused, and the senders known before stay known."""
    with pytest.raises(FormatError):
        judge.set_senders([b"short"])
    (packet,) = sender.poll_control(0)
    assert judge.verify(packet, -1).current.epoch == 1


def test_the_number_of_signatures_tried_is_bounded(sender: SenderSession, judge: ControlJudge) -> None:
    """Of a long list of senders the first sixteen count."""
    strangers = [parts.STRANGER.public_key().public_bytes_raw()] * SENDERS_MAX
    judge.set_senders([*strangers, parts.SIGNER.public_key().public_bytes_raw()])
    (packet,) = sender.poll_control(0)
    with pytest.raises(AuthenticationError):
        judge.verify(packet, -1)


def test_truncated_packets_are_refused(sender: SenderSession, judge: ControlJudge) -> None:
    """A packet cut anywhere, with any MKI behind, raises nothing but a remote error."""
    (packet,) = sender.poll_control(0)
    for length in range(len(packet) - 8):
        cut = packet[:length] + struct.pack(">II", parts.CHANNEL, 1)
        with pytest.raises(RemoteError):
            judge.verify(cut, -1)
