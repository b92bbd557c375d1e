"""Packets without key ID: what is left out, and that the rest is what other programs expect."""

import dataclasses

import pylibsrtp
import pytest

from sealcast.core.channel import ChannelSpec, Framing, Suite
from sealcast.core.errors import UsageError
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.sender.keyless import check_source
from sealcast.sender.session import SenderSession
from sealcast.wire import rtp
from sealcast.wire.cycles import make_cycle
from sealcast.wire.patterns import Pattern, Rule
from sealcast.wire.scramble import scramble_payload
from sealcast.wire.sealing import SealedBatch
from simulation.parts import MS, copy_key, make_sender, make_spec, on_air, payload

BITS = 128
PLAIN = dataclasses.replace(make_spec(600_000), ask="127.0.0.1:9000")
SEALED = dataclasses.replace(PLAIN, framing=Framing.RTP)
SCRAMBLED = dataclasses.replace(
    PLAIN, suite=Suite.SCRAMBLE, framing=Framing.RTP, patterns=PatternPolicy("single", BITS, after_ms=1_000)
)
BARE = dataclasses.replace(SCRAMBLED, framing=Framing.UDP)
PAYLOADS = [*(payload(number) for number in range(30)), payload(30, 188)]


def batch_of(session: SenderSession, now: int = MS) -> SealedBatch:
    """Return all payloads in one batch, the last shorter."""
    batch = session.seal_batch(PAYLOADS, [90 * number for number in range(len(PAYLOADS))], now)
    assert len(batch) == len(PAYLOADS)
    return batch


def test_sealed_packets_are_standard_srtp_without_mki() -> None:
    """libsrtp, which is told of no MKI, opens each packet as it is."""
    session = make_sender(SEALED, first_seq=65_520)
    tek = on_air(session, 0)
    master = tek.key.reveal() + tek.salt.reveal()
    profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    any_ssrc = pylibsrtp.Policy.SSRC_ANY_INBOUND
    peer = pylibsrtp.Session(pylibsrtp.Policy(key=master, ssrc_type=any_ssrc, srtp_profile=profile))
    for sent, packet in zip(PAYLOADS, batch_of(session), strict=True):
        assert peer.unprotect(bytes(packet))[rtp.HEADER_BYTES :] == sent


def test_what_leaves_is_the_keyed_packet_cut_short() -> None:
    """The same run with and without key IDs seals the same: so no nonce is used that would not be."""
    keyed, keyless = make_sender(PLAIN), make_sender(SEALED)
    for session in (keyed, keyless):
        on_air(session, 0)
    whole, cut = batch_of(keyed), batch_of(keyless)
    assert [bytes(packet) for packet in cut] == [bytes(packet[:-8]) for packet in whole]
    assert cut.segment_bytes == whole.segment_bytes - 8
    assert keyed.state(0) == keyless.state(0)


@pytest.mark.parametrize(("spec", "head_bytes"), [(SCRAMBLED, rtp.HEADER_BYTES), (BARE, 0)])
def test_scrambled_packets_have_nothing_behind_the_payload(spec: ChannelSpec, head_bytes: int) -> None:
    """There is a header or none, then the payload XOR the pattern that SEAL packets name."""
    session = make_sender(spec)
    tek = copy_key(on_air(session, 0))
    told = session.told(MS)
    assert told is not None
    assert told.patterns is not None
    rule = Rule.parse("single")
    pattern = Pattern(BITS, derive_pattern_bits(tek, "a", told.patterns.number, BITS))
    cycle = make_cycle(rule, dict.fromkeys(rule.terms, pattern))
    for sent, packet in zip(PAYLOADS, batch_of(session), strict=True):
        assert len(packet) == head_bytes + len(sent)
        assert scramble_payload(cycle, packet[head_bytes:]) == sent


def test_patterns_without_number_need_a_transport_stream() -> None:
    """Other input is refused with one clear line, where receivers would not know the pattern."""
    for spec in (SCRAMBLED, BARE):
        check_source(spec, rtp.PAYLOAD_TYPE_MP2T)
        with pytest.raises(UsageError, match="send a transport stream"):
            check_source(spec, rtp.PAYLOAD_TYPE_DATA)
    for spec in (PLAIN, SEALED, dataclasses.replace(SCRAMBLED, framing=Framing.KEYED)):
        check_source(spec, rtp.PAYLOAD_TYPE_DATA)
