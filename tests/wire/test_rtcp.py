"""Compounds of RTCP packets, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.wire import rtcp

SSRC = 0x01020304
PACKETS = st.lists(
    st.one_of(
        st.builds(rtcp.sender_report, st.just(SSRC), *[st.integers(0, 1 << 40)] * 3),
        st.builds(rtcp.source_description, st.just(SSRC), st.text(max_size=60)),
        st.builds(rtcp.goodbye, st.just(SSRC)),
        st.builds(
            rtcp.application,
            st.just(SSRC),
            st.binary(min_size=4, max_size=4),
            st.binary(max_size=40).map(lambda data: data + bytes(-len(data) % 4)),
        ),
    ),
    max_size=rtcp.PACKETS_MAX,
)


@given(PACKETS)
def test_split_gives_back_what_was_joined(packets: list[bytes]) -> None:
    """Each packet of a compound comes back with its type, body and place."""
    compound = b"".join(packets)
    split = rtcp.split_compound(compound)
    assert [packet.packet_type for packet in split] == [packet[1] for packet in packets]
    for packet, data in zip(split, packets, strict=True):
        assert packet.ssrc == SSRC
        assert packet.body == data[8:] == compound[packet.offset : packet.offset + len(packet.body)]


@given(PACKETS)
def test_every_packet_is_whole_words(packets: list[bytes]) -> None:
    """RTCP packets end at 32 bits (RFC 3550 §6.1), and the length field says where."""
    for packet in packets:
        assert len(packet) == 4 * (int.from_bytes(packet[2:4], "big") + 1)


def test_layouts() -> None:
    """The four packets, written by hand from RFC 3550 §6."""
    report = rtcp.sender_report(SSRC, 0x11223344, 5, 6)
    assert report.hex(" ", 4) == "80c80006 01020304 00000000 00000000 11223344 00000005 00000006"
    assert rtcp.source_description(SSRC, "ab").hex(" ", 4) == "81ca0003 01020304 01026162 00000000"
    assert rtcp.goodbye(SSRC).hex(" ", 4) == "81cb0001 01020304"
    assert rtcp.application(SSRC, b"SEAL", b"data").hex(" ", 4) == "80cc0003 01020304 5345414c 64617461"


@given(st.text(max_size=300))
def test_source_description_ends_in_a_null(cname: str) -> None:
    """The list of items ends in at least one null octet (RFC 3550 §6.5); a long CNAME is cut to 255."""
    body = rtcp.split_compound(rtcp.source_description(SSRC, cname))[0].body
    length = body[1]
    assert body[2 : 2 + length] == cname.encode()[: rtcp.CNAME_BYTES_MAX]
    assert 1 <= len(body[2 + length :]) <= 4
    assert not any(body[2 + length :])


@pytest.mark.parametrize(
    "compound",
    [
        b"\x80\xc8",
        rtcp.goodbye(SSRC)[:-1],
        rtcp.goodbye(SSRC) + b"\0",
        b"\x41" + rtcp.goodbye(SSRC)[1:],
        b"\xa1" + rtcp.goodbye(SSRC)[1:],
        b"\x80\xcb\x00\x00" + bytes(4),
        b"\x81\xcb\x00\x02" + bytes(4),
        rtcp.goodbye(SSRC) * (rtcp.PACKETS_MAX + 1),
    ],
    ids=["short", "cut", "trailing", "version", "padded", "empty", "too long", "too many"],
)
def test_what_is_no_compound(compound: bytes) -> None:
    """Packets that do not fill the compound exactly are refused."""
    with pytest.raises(FormatError):
        rtcp.split_compound(compound)
