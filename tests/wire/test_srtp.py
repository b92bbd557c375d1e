"""SRTP against an independent implementation: MKI, IV, AAD, and what must not open."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.wire import rtp, srtp
from wire import oracle
from wire.single import seal_single

U32 = st.integers(0, 0xFFFFFFFF)
KEYS = st.one_of(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
SALTS = st.binary(min_size=12, max_size=12)
MKI = KeyId(ChannelNumber(7), Epoch(3)).pack()


def stream(key: bytes, salt: bytes, ssrc: int) -> srtp.StreamKey:
    """Return the derived key of an SSRC."""
    return srtp.derive_rtp(Secret(key), Secret(salt)).stream(ssrc)


@given(
    key=KEYS,
    salt=SALTS,
    ssrc=U32,
    roc=U32,
    seq=st.integers(0, 0xFFFF),
    timestamp=U32,
    payload=st.binary(max_size=1400),
)
def test_sealed_as_the_rfc_says(
    *, key: bytes, salt: bytes, ssrc: int, roc: int, seq: int, timestamp: int, payload: bytes
) -> None:
    """For any key, counters and payload our packet is the oracle's, MKI last, and opens again."""
    header = rtp.pack_header(rtp.PAYLOAD_TYPE_MP2T, seq, timestamp, ssrc)
    index = roc * rtp.SEQ_MODULUS + seq
    ours = stream(key, salt, ssrc)
    sealed = seal_single(ours, header, payload, index, MKI)
    assert sealed == oracle.seal_rtp(key, salt, header + payload, roc, MKI)
    assert len(sealed) == len(header) + len(payload) + srtp.OVERHEAD_BYTES
    assert srtp.open_packet(ours, sealed, len(header), index) == payload


@pytest.fixture
def key() -> srtp.StreamKey:
    """Return a key of fixed bytes."""
    return stream(bytes(range(16)), bytes(range(12)), 0x1234)


@pytest.fixture
def sealed(key: srtp.StreamKey) -> bytes:
    """Return a short packet at index 5."""
    return seal_single(key, rtp.pack_header(33, 5, 90, 0x1234), b"forty bytes of no meaning", 5, MKI)


def test_every_flipped_bit_is_refused(key: srtp.StreamKey, sealed: bytes) -> None:
    """A packet changed in any bit of header, ciphertext or tag does not open."""
    for bit in range(8 * (len(sealed) - len(MKI))):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            srtp.open_packet(key, bytes(forged), 12, 5)


@pytest.mark.parametrize("index", [4, 6, 5 + 0x10000, 5 + 0x100000000])
def test_another_index_is_refused(key: srtp.StreamKey, sealed: bytes, index: int) -> None:
    """The ROC is authenticated although it is not sent."""
    with pytest.raises(AuthenticationError):
        srtp.open_packet(key, sealed, 12, index)


def test_another_key_ssrc_or_salt_is_refused(sealed: bytes) -> None:
    """Only key, salt and SSRC together open a packet."""
    for other in (
        stream(bytes(range(1, 17)), bytes(range(12)), 0x1234),
        stream(bytes(range(16)), bytes(range(1, 13)), 0x1234),
        stream(bytes(range(16)), bytes(range(12)), 0x1235),
    ):
        with pytest.raises(AuthenticationError):
            srtp.open_packet(other, sealed, 12, 5)


def test_a_cut_packet_is_refused(key: srtp.StreamKey, sealed: bytes) -> None:
    """Every shorter packet raises a remote error, whatever its header claims."""
    for length in range(len(sealed)):
        with pytest.raises((FormatError, AuthenticationError)):
            srtp.open_packet(key, sealed[:length], 12, 5)
    with pytest.raises(FormatError):
        srtp.open_packet(key, sealed, len(sealed) - srtp.OVERHEAD_BYTES + 1, 5)


def test_a_header_with_csrcs_and_extension_is_authenticated(key: srtp.StreamKey) -> None:
    """A peer's longer header is all AAD (RFC 7714 §8.2)."""
    header = bytes([0x92]) + rtp.pack_header(33, 5, 90, 0x1234)[1:]
    header += bytes(8) + b"\xbe\xde\x00\x01" + b"ext!"
    packet = seal_single(key, header, b"payload", 5, MKI)
    parsed = rtp.parse_header(packet)
    assert parsed.length_bytes == len(header)
    assert srtp.open_packet(key, packet, parsed.length_bytes, 5) == b"payload"
    with pytest.raises(AuthenticationError):
        srtp.open_packet(key, packet.replace(b"ext!", b"EXT!"), parsed.length_bytes, 5)


def test_rtp_and_rtcp_keys_differ() -> None:
    """One master key gives two session keys and salts that have nothing in common."""
    master = Secret(bytes(16)), Secret(bytes(12))
    data, control = srtp.derive_rtp(*master), srtp.derive_rtcp(*master)
    assert data.salt != control.salt
    assert data.aead.encrypt(bytes(12), b"x", b"") != control.aead.encrypt(bytes(12), b"x", b"")
