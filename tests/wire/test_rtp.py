"""The RTP header, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.wire import rtp

U32 = st.integers(0, 0xFFFFFFFF)


@given(
    payload_type=st.integers(0, 127),
    seq=st.integers(0, 0xFFFF),
    timestamp=U32,
    ssrc=U32,
    marker=st.booleans(),
    payload=st.binary(max_size=50),
)
def test_round_trip(
    *, payload_type: int, seq: int, timestamp: int, ssrc: int, marker: bool, payload: bytes
) -> None:
    """What is packed is read back."""
    packed = rtp.pack_header(payload_type, seq, timestamp, ssrc, marker=marker)
    assert len(packed) == rtp.HEADER_BYTES
    assert rtp.parse_header(packed + payload) == rtp.RtpHeader(
        payload_type=payload_type,
        marker=marker,
        seq=seq,
        timestamp=timestamp,
        ssrc=ssrc,
        length_bytes=rtp.HEADER_BYTES,
        padded=False,
    )


def test_layout() -> None:
    """The bytes of RFC 3550 §5.1, written by hand; a timestamp past 32 bits wraps."""
    packed = rtp.pack_header(33, 0xF17B, (1 << 32) + 0x8041F8D3, 0x5501A0B2, marker=True)
    assert packed.hex(" ", 4) == "80a1f17b 8041f8d3 5501a0b2"


@pytest.mark.parametrize(("csrcs", "extension_words"), [(0, None), (2, None), (15, 0), (1, 3)])
def test_length_counts_csrcs_and_extension(csrcs: int, extension_words: int | None) -> None:
    """The payload begins behind CSRCs and extension; one byte less is not a packet."""
    first = 2 << 6 | (extension_words is not None) << 4 | csrcs
    packet = bytes([first]) + rtp.pack_header(96, 1, 2, 3)[1:] + bytes(4 * csrcs)
    if extension_words is not None:
        packet += b"\xbe\xde" + extension_words.to_bytes(2, "big") + bytes(4 * extension_words)
    assert rtp.parse_header(packet).length_bytes == len(packet)
    with pytest.raises(FormatError):
        rtp.parse_header(packet[:-1])


def test_padding_is_reported() -> None:
    """The P bit is handed on: padding stands in the ciphertext."""
    assert rtp.parse_header(b"\xa0" + rtp.pack_header(96, 1, 2, 3)[1:]).padded


@pytest.mark.parametrize("first", [0x00, 0x40, 0xC0])
def test_other_versions_are_refused(first: int) -> None:
    """Only version 2 is RTP."""
    with pytest.raises(FormatError):
        rtp.parse_header(bytes([first]) + bytes(11))
