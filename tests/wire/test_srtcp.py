"""SRTCP against an independent implementation, readable to all and changeable by none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import AuthenticationError, FormatError
from sealcast.core.secret import Secret
from sealcast.wire import rtcp, srtcp, srtp
from wire import oracle

KEY, SALT = bytes(range(16)), bytes(range(20, 32))
MKI = b"\0\0\0\7\0\0\0\3"
COMPOUND = rtcp.sender_report(0xCAFE, 9, 8, 7) + rtcp.source_description(0xCAFE, "sender")


def session(key: bytes = KEY, salt: bytes = SALT) -> srtp.SessionKey:
    """Return the derived RTCP key."""
    return srtp.derive_rtcp(Secret(key), Secret(salt))


@given(
    key=st.one_of(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32)),
    salt=st.binary(min_size=12, max_size=12),
    ssrc=st.integers(0, 0xFFFFFFFF),
    index=st.integers(0, srtcp.INDEX_MAX),
    data=st.binary(max_size=300).map(lambda data: data + bytes(-len(data) % 4)),
)
def test_tagged_as_the_rfc_says(*, key: bytes, salt: bytes, ssrc: int, index: int, data: bytes) -> None:
    """For any key, index and content our packet is the oracle's, and opens again."""
    compound = rtcp.sender_report(ssrc, 1, 2, 3) + rtcp.application(ssrc, b"TEST", data)
    ours = session(key, salt)
    sealed = srtcp.seal_control(ours, compound, ssrc, index, MKI)
    assert sealed == oracle.seal_rtcp(key, salt, compound, index, MKI)
    packet = srtcp.split_control(sealed)
    assert (packet.ssrc, packet.index, packet.mki) == (ssrc, index, MKI)
    assert packet.clear_compound == compound == srtcp.open_control(ours, packet)


def test_encrypted_round_trip() -> None:
    """With E = 1 all behind the first 8 bytes is hidden, and nobody reads it without the key."""
    sealed = srtcp.seal_control(session(), COMPOUND, 0xCAFE, 4, MKI, encrypted=True)
    assert sealed[:8] == COMPOUND[:8]
    assert b"sender" not in sealed
    packet = srtcp.split_control(sealed)
    with pytest.raises(FormatError):
        _ = packet.clear_compound
    assert srtcp.open_control(session(), packet) == COMPOUND


@pytest.mark.parametrize("encrypted", [False, True])
def test_every_flipped_bit_is_refused(encrypted: bool) -> None:  # noqa: FBT001 pytest passes it by name
    """Compound, tag, E flag and index are all authenticated."""
    sealed = srtcp.seal_control(session(), COMPOUND, 0xCAFE, 4, MKI, encrypted=encrypted)
    for bit in range(8 * (len(sealed) - len(MKI))):
        forged = bytearray(sealed)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            srtcp.open_control(session(), srtcp.split_control(bytes(forged)))


def test_the_data_key_does_not_open_control() -> None:
    """A control packet never opens under the session key of the data."""
    packet = srtcp.split_control(srtcp.seal_control(session(), COMPOUND, 0xCAFE, 4, MKI))
    with pytest.raises(AuthenticationError):
        srtcp.open_control(srtp.derive_rtp(Secret(KEY), Secret(SALT)), packet)


def test_a_cut_packet_is_refused() -> None:
    """Every shorter packet raises a remote error."""
    sealed = srtcp.seal_control(session(), COMPOUND, 0xCAFE, 4, MKI)
    for length in range(len(sealed)):
        with pytest.raises((FormatError, AuthenticationError)):
            srtcp.open_control(session(), srtcp.split_control(sealed[:length]))


def test_index_word() -> None:
    """The word is E ‖ index, 31 bits."""
    assert srtcp.index_word(5) == b"\0\0\0\5"
    assert srtcp.index_word(5, encrypted=True) == b"\x80\0\0\5"
    assert srtcp.index_word(srtcp.INDEX_MAX) == b"\x7f\xff\xff\xff"
