"""The published vectors: RFC 7714 for sealing, RFC 3711 and RFC 6188 for key derivation."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealcast.core.channel import Suite
from sealcast.core.secret import Secret
from sealcast.wire import rtp, srtcp, srtp
from wire import oracle
from wire.single import seal_single

RFC7714 = oracle.load_vectors("rfc7714.json")
DERIVATIONS = oracle.load_vectors("srtp-derivation.json")["derivations"]


def session_key(vector: dict[str, Any]) -> srtp.SessionKey:
    """Return the vector's session key; the RFC gives it without derivation."""
    assert len(vector["key"]) == 2 * Suite(vector["suite"]).key_bytes
    return srtp.SessionKey(AESGCM(bytes.fromhex(vector["key"])), int(vector["salt"], 16))


@pytest.mark.parametrize("vector", RFC7714["srtp"], ids=lambda v: v["name"])
def test_rfc7714_srtp(vector: dict[str, Any]) -> None:
    """Sealing and opening give the packets of RFC 7714 §16."""
    packet, sealed = bytes.fromhex(vector["packet"]), bytes.fromhex(vector["sealed"])
    header = rtp.parse_header(packet)
    key = session_key(vector).stream(header.ssrc)
    index = vector["roc"] * rtp.SEQ_MODULUS + header.seq
    assert (key.base ^ index).to_bytes(12, "big").hex() == vector["iv"]
    assert seal_single(key, packet[:12], packet[12:], index) == sealed
    assert srtp.open_packet(key, sealed, 12, index, mki_bytes=0) == packet[12:]


@pytest.mark.parametrize("vector", RFC7714["srtcp"], ids=lambda v: v["name"])
def test_rfc7714_srtcp(vector: dict[str, Any]) -> None:
    """Sealing and opening give the packets of RFC 7714 §17, encrypted and tagged only."""
    compound, sealed = bytes.fromhex(vector["packet"]), bytes.fromhex(vector["sealed"])
    # The length field of the RFC's compound is a word too long, so only the sealing layer takes it.
    key, ssrc = session_key(vector), int.from_bytes(compound[4:8], "big")
    made = srtcp.seal_control(key, compound, ssrc, vector["index"], encrypted=vector["encrypted"])
    assert made == sealed
    packet = srtcp.split_control(sealed, mki_bytes=0)
    assert (packet.index, packet.ssrc, packet.mki) == (vector["index"], ssrc, b"")
    assert srtcp.open_control(key, packet) == compound
    assert oracle.rtcp_iv(bytes.fromhex(vector["salt"]), ssrc, vector["index"]).hex() == vector["iv"]


@pytest.mark.parametrize("vector", DERIVATIONS, ids=lambda v: v["name"])
def test_derivation_of_the_oracle(vector: dict[str, Any]) -> None:
    """The tests' own derivation gives the keys of RFC 3711 §B.3 and RFC 6188 §7."""
    key, salt = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["master_salt"])
    for output in vector["outputs"]:
        value = bytes.fromhex(output["value"])
        assert oracle.prf(key, salt, output["label"], len(value)) == value


@pytest.mark.parametrize("vector", DERIVATIONS, ids=lambda v: v["name"])
def test_derivation_from_a_salt_of_twelve_bytes(vector: dict[str, Any]) -> None:
    """Ours is that derivation with the 12-byte salt padded with zeros at its end (RFC 7714 §11)."""
    key, salt = bytes.fromhex(vector["master_key"]), bytes.fromhex(vector["master_salt"])[:12]
    for label, derive in ((0, srtp.derive_rtp), (3, srtp.derive_rtcp)):
        session = derive(Secret(key), Secret(salt))
        expected_key, expected_salt = oracle.session(key, salt, label)
        assert session.salt == int.from_bytes(expected_salt, "big")
        iv = bytes(12)
        assert session.aead.encrypt(iv, b"text", b"aad") == oracle.gcm(expected_key, iv, b"aad", b"text")
