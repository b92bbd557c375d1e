"""Tests of probe.evidence and probe.looks: in the clear, sealed, or not to be told, from packets alone."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from probe.streams import TS, clear, sealed
from sealcast.core.ids import KEY_ID_BYTES
from sealcast.probe.evidence import ENDINGS_MAX, Evidence, Protection, Verdict
from sealcast.probe.looks import look_at
from sealcast.testing import SimRandom
from sealcast.wire import rtp
from simulation.parts import Media, make_sender, make_spec, on_air, seal
from wire.patterning import scrambled


def judge(packets: list[bytes]) -> Verdict:
    """Return the verdict over packets."""
    evidence = Evidence()
    for packet in packets:
        evidence.add(look_at(packet))
    return evidence.verdict()


def test_nothing_is_nothing() -> None:
    """Without a packet there is no verdict."""
    assert judge([]).protection is Protection.NOTHING


def test_a_sealed_stream_is_encrypted() -> None:
    """Packets of ours are told by tag, MKI and even bytes, and the sizes name AES-GCM."""
    verdict = judge(sealed(100))
    assert (verdict.protection, verdict.suite, verdict.mki_bytes) == (
        Protection.ENCRYPTED,
        "AES-GCM, 128 or 256 bits",
        KEY_ID_BYTES,
    )
    assert "an MKI of 8 bytes, a tag of 16 bytes" in verdict.why


def test_few_packets_are_enough_for_the_mki() -> None:
    """A dozen small packets of data are too little for statistics; that they end alike is enough."""
    verdict = judge(sealed(12, payload=bytes(40)))
    assert (verdict.protection, verdict.suite) == (Protection.ENCRYPTED, None)


def test_other_tags_are_named() -> None:
    """SRTP with HMAC-SHA1 tags and without an MKI, as other senders make it, is told by its sizes."""
    random = SimRandom(5)
    for tag_bytes, name in ((10, "AES-CM with HMAC-SHA1-80"), (4, "AES-CM with HMAC-SHA1-32")):
        packets = [
            rtp.pack_header(33, number, 0, 1) + random.bytes(1_316 + tag_bytes) for number in range(100)
        ]
        verdict = judge(packets)
        assert (verdict.protection, verdict.suite, verdict.mki_bytes) == (Protection.ENCRYPTED, name, 0)


def test_a_transport_stream_in_the_clear_is_clear() -> None:
    """MPEG-TS with RTP and without is seen by its sync bytes."""
    for with_rtp in (True, False):
        verdict = judge(clear(10, with_rtp=with_rtp))
        assert verdict.protection is Protection.CLEAR
        assert "byte 47" in verdict.why


def test_conditional_access_is_scrambled() -> None:
    """A transport stream whose packets say that they are scrambled is not called clear."""
    scrambled = (b"\x47\x01\x00\x90" + bytes(184)) * 7
    assert judge(clear(10, payload=scrambled)).protection is Protection.SCRAMBLED


def test_xor_with_patterns_is_scrambled() -> None:
    """A scrambled channel is not taken for an encrypted one, whatever its packets and patterns are."""
    for policy in ("single;32;10000ms", "inverted;512;20p"):
        sender = make_sender(scrambled(make_spec(), policy))
        on_air(sender, 0)
        verdict = judge(seal(sender, [Media(TS, 0)] * 200, 0))
        assert verdict.protection is Protection.SCRAMBLED
        assert "protects nothing" in verdict.why


def test_some_packets_in_the_clear_are_told() -> None:
    """A stream that is sealed and leaks is called mixed, with numbers."""
    verdict = judge(sealed(90) + clear(10))
    assert verdict.protection is Protection.MIXED
    assert "10 of 100" in verdict.why


def test_plain_data_is_clear() -> None:
    """Text and even compressed text differ from a cipher's output in how often each byte comes."""
    text = b"".join(f"{number * 7919} sheep jumped over the fence\n".encode() for number in range(9_000))
    header = rtp.pack_header(96, 0, 0, 1)
    for data in (text, zlib.compress(text, 1)):
        packets = [header + data[at : at + 1_000] for at in range(0, len(data), 1_000)]
        assert judge(packets).protection is Protection.CLEAR


def test_even_bytes_alone_are_no_verdict() -> None:
    """Random bytes without any sign of SRTP may be anything, and that is what is said."""
    random = SimRandom(6)
    packets = [rtp.pack_header(96, number, 0, 1) + random.bytes(1_000) for number in range(50)]
    verdict = judge(packets)
    assert verdict.protection is Protection.UNCLEAR
    assert "encrypted, or well compressed" in verdict.why
    assert judge(packets[:2]).why.startswith("too little")


def test_a_false_sync_byte_is_no_transport_stream() -> None:
    """One byte 47 at the front of 188 is chance, unless the header says MPEG-TS."""
    assert not look_at(rtp.pack_header(96, 0, 0, 1) + TS[:188]).ts_packets
    assert look_at(rtp.pack_header(33, 0, 0, 1) + TS[:188]).ts_packets == 1


@given(st.lists(st.binary(max_size=300), max_size=40))
def test_any_bytes_get_a_verdict(datagrams: list[bytes]) -> None:
    """Whatever arrives is judged, and nothing raises."""
    assert judge(datagrams).protection in Protection


def test_a_flood_of_endings_costs_little() -> None:
    """Invented key IDs fill a bounded table, and are no MKI."""
    random = SimRandom(7)
    evidence = Evidence()
    for number in range(2_000):
        evidence.add(look_at(rtp.pack_header(33, number, 0, 1) + random.bytes(1_340)))
    assert all(len(endings) == ENDINGS_MAX for endings in evidence._endings.values())
    assert evidence.mki_bytes() == 0
