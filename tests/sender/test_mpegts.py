"""Shows that packets are read and rewritten as ISO/IEC 13818-1 lays them out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.sender import mpegts
from sender.streams import packet, pes_header

PCRS = st.integers(0, mpegts.PCR_MODULUS - 1)
STAMPS = st.integers(0, mpegts.PTS_MODULUS - 1)


@given(pid=st.integers(0, 0x1FFF), counter=st.integers(0, 15), pcr=st.none() | PCRS, starts=st.booleans())
def test_a_header_is_read_as_written(pid: int, counter: int, pcr: int | None, *, starts: bool) -> None:
    """Each field of the header comes back, and the PCR with its 9-bit extension."""
    made = packet(pid, counter, pcr=pcr, starts=starts)
    header = mpegts.read_header(made)
    assert (header.pid, header.continuity, header.unit_start) == (pid, counter, starts)
    assert header.has_adaptation == (pcr is not None)
    assert header.has_payload
    assert not header.scrambled
    assert mpegts.read_pcr(made) == pcr


@given(old=PCRS, new=PCRS)
def test_a_pcr_is_replaced_and_nothing_else(old: int, new: int) -> None:
    """Writing a PCR gives the packet that would have been made with it."""
    block = bytearray(packet(0x100, 3, pcr=old, payload=b"abc"))
    mpegts.write_pcr(block, new)
    assert bytes(block) == packet(0x100, 3, pcr=new, payload=b"abc")


@given(pts=STAMPS, dts=st.none() | STAMPS, shift=st.integers(0, 3 * mpegts.PTS_MODULUS))
def test_pes_times_are_shifted_modulo_their_wrap(pts: int, dts: int | None, shift: int) -> None:
    """PTS and DTS move by the same time, and nothing else in the packet changes."""
    block = bytearray(packet(0x100, 0, pcr=5, payload=pes_header(pts, dts) + b"data", starts=True))
    times = mpegts.read_pes_times(block)
    assert times == mpegts.PesTimes(0xE0, pts, dts)
    mpegts.shift_pes_times(block, shift)
    moved = [None if each is None else (each + shift) % mpegts.PTS_MODULUS for each in (pts, dts)]
    header = pes_header(moved[0], moved[1])
    assert bytes(block) == packet(0x100, 0, pcr=5, payload=header + b"data", starts=True)


@pytest.mark.parametrize(
    "made",
    [
        packet(0x100, payload=pes_header(None), starts=True),
        packet(0x100, payload=pes_header(5), starts=False),
        packet(0x100, payload=pes_header(5, stream_id=0xBE), starts=True),
        packet(0x100, payload=pes_header(5), starts=True, scrambled=True),
        packet(0x000, payload=b"\x00\x00\xb0\x0d", starts=True),
        packet(0x100, payload=None, starts=True),
        packet(0x100, payload=b"\x00\x00\x01\xe0\x00\x00\x0f\xff\xff", starts=True),
    ],
    ids=["no PTS", "no start", "padding stream", "scrambled", "section", "no payload", "MPEG-1"],
)
def test_what_carries_no_timestamps_has_none(made: bytes) -> None:
    """Sections, padding, scrambled payloads and headers without a PTS are left alone."""
    block = bytearray(made)
    assert mpegts.read_pes_times(block) is None
    mpegts.shift_pes_times(block, 1000)
    assert bytes(block) == made


def test_a_discontinuity_is_read_and_cleared() -> None:
    """The indicator is seen, and clearing it leaves the PCR."""
    block = bytearray(packet(0x100, pcr=77, jumps=True))
    assert mpegts.read_discontinuity(block)
    mpegts.clear_discontinuity(block)
    assert bytes(block) == packet(0x100, pcr=77)


def _cut_off(header: bytes) -> bytes:
    """Return a packet whose adaptation field leaves room for `header` only."""
    stuffing = 184 - 1 - len(header)
    return b"\x47\x41\x00\x30" + bytes([stuffing, 0]) + b"\xff" * (stuffing - 1) + header


@pytest.mark.parametrize(
    "bad",
    [
        _cut_off(pes_header(5)[:6]),
        _cut_off(pes_header(5)[:12]),
        _cut_off(pes_header(5, 4)[:15]),
        packet(0x100, payload=pes_header(5)[:9] + b"\x20\x00\x00\x00\x00", starts=True),
        b"\x47\x41\x00\x30\xff" + b"\xff" * 183,
    ],
    ids=["cut in the header", "cut in the PTS", "cut in the DTS", "no marker bits", "long adaptation field"],
)
def test_a_damaged_pes_header_is_refused(bad: bytes) -> None:
    """Headers that are cut off or lack their marker bits raise FormatError."""
    assert len(bad) == mpegts.PACKET_BYTES
    with pytest.raises(FormatError):
        mpegts.read_pes_times(bad)


@given(st.binary(min_size=188, max_size=188))
def test_any_bytes_raise_only_format_errors(data: bytes) -> None:
    """Whatever stands in a packet, readers answer or raise FormatError."""
    block = bytearray(data)
    for read in (mpegts.read_header, mpegts.read_pes_times, mpegts.payload_start):
        try:
            read(block)
        except FormatError:
            continue
    mpegts.read_pcr(block)
    mpegts.read_discontinuity(block)


@given(st.lists(st.tuples(st.none() | PCRS, st.booleans()), max_size=40))
def test_columns_find_what_a_walk_finds(kinds: list[tuple[int | None, bool]]) -> None:
    """The packets with a PCR or a unit start are found in a block as one by one."""
    packets = [packet(0x100, i, pcr=pcr, starts=starts) for i, (pcr, starts) in enumerate(kinds)]
    block = b"".join(packets)
    assert mpegts.packets_with_pcr(block) == [i * 188 for i, (pcr, _) in enumerate(kinds) if pcr is not None]
    assert mpegts.packets_with_unit_start(block) == [i * 188 for i, (_, starts) in enumerate(kinds) if starts]


def test_a_transport_stream_is_recognised(constant_clip: Path) -> None:
    """A real clip is one; text, an MP4 header, a shifted stream and too few bytes are not."""
    head = constant_clip.read_bytes()[:2000]
    assert mpegts.looks_like_transport_stream(head)
    assert mpegts.looks_like_transport_stream(head[:188])
    for other in (b"", head[:187], head[1:], b"G" + b"x" * 1000, b"\x00\x00\x00\x20ftypisom" * 100):
        assert not mpegts.looks_like_transport_stream(other)


def test_a_lost_rhythm_is_refused_with_its_place() -> None:
    """The message names the byte at which no packet begins."""
    block = packet(1) + packet(1) + b"\x00" + packet(1)[1:]
    mpegts.check_rhythm(block[:376])
    with pytest.raises(FormatError, match="at byte 1376"):
        mpegts.check_rhythm(block, 1000)
    with pytest.raises(FormatError):
        mpegts.read_header(block, 376)
