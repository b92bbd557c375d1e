"""Shows what becomes of the datagrams of a live input: RTP taken off, gaps counted, repetitions dropped."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.sender.liveinput import MAX_DROPOUT_PACKETS, PAYLOAD_BYTES_MAX, LiveInput, unwrap_rtp
from sealcast.sender.runs import Run
from sealcast.wire.rtp import HEADER_BYTES
from sender.streams import packet

TS = packet(0x100) * 7


def _rtp(
    seq: int,
    payload: bytes = TS,
    *,
    ssrc: int = 1,
    payload_type: int = 33,
    sources: int = 0,
    extension: bytes | None = None,
    padding: bytes = b"",
) -> bytes:
    first = 0x80 | (0x20 if padding else 0) | (0x10 if extension is not None else 0) | sources
    head = struct.pack(">BBHII", first, payload_type, seq % 65536, seq * 1000 % 2**32, ssrc)
    head += b"\xaa\xbb\xcc\xdd" * sources
    if extension is not None:
        head += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + padding


def _skips(packets: list[bytes]) -> tuple[list[int | None], LiveInput]:
    live = LiveInput(rtp=True)
    taken = [live.take(each) for each in packets]
    return [None if each is None else each.skipped for each in taken], live


@given(
    sources=st.integers(0, 15),
    extension=st.none() | st.sampled_from([b"", b"abcd", b"abcdefgh"]),
    padding=st.sampled_from([b"", b"\x01", b"\x00\x00\x00\x04"]),
    payload=st.binary(max_size=60),
)
def test_everything_around_an_rtp_payload_is_taken_off(
    sources: int, extension: bytes | None, padding: bytes, payload: bytes
) -> None:
    """CSRCs, a header extension and padding go; payload, timestamp and payload type stay."""
    made = _rtp(5, payload, sources=sources, extension=extension, padding=padding, payload_type=97)
    expected = Run([payload], timestamps=[5000], payload_type=97)
    assert unwrap_rtp(made) == (expected, 5, 1)


def test_the_marker_is_kept() -> None:
    """The bit beside the payload type is the marker."""
    run, _, _ = unwrap_rtp(_rtp(5, payload_type=0x80 | 96))
    assert (run.marker, run.payload_type) == (True, 96)


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"\x80" * 11,
        b"\x40" + _rtp(1)[1:],
        _rtp(1, b"", padding=b"\x05"),
        _rtp(1, b"ab", padding=b"\x00"),
        _rtp(1, b"", sources=3)[:20],
        _rtp(1, payload_type=200),
    ],
    ids=["empty", "short", "version 1", "much padding", "no padding", "cut CSRCs", "RTCP"],
)
def test_what_is_no_rtp_is_dropped_and_counted(bad: bytes) -> None:
    """Malformed packets raise FormatError in the reader; the input counts them and goes on."""
    with pytest.raises(FormatError):
        unwrap_rtp(bad)
    skips, live = _skips([_rtp(1), bad, _rtp(2)])
    assert skips == [0, None, 0]
    assert live.counters.malformed == 1


def test_what_fits_no_datagram_once_sealed_is_dropped() -> None:
    """The longest datagrams of UDP count as malformed, also where they follow others of their source."""
    live = LiveInput(rtp=True)
    longest = PAYLOAD_BYTES_MAX + HEADER_BYTES
    lengths = []
    for seq, length in enumerate((100, longest, longest + 1, 65_507, 100)):
        datagram = _rtp(seq, bytes(length - HEADER_BYTES))
        lengths += [len(p) for run in live.take_train(datagram, length) for p in run.payloads]
    assert lengths == [100 - HEADER_BYTES, PAYLOAD_BYTES_MAX, 100 - HEADER_BYTES]
    assert (live.counters.malformed, live.counters.missing) == (2, 2)


def test_gaps_repetitions_and_late_packets() -> None:
    """A gap is told once; what comes twice or too late is dropped, each counted as what it is."""
    skips, live = _skips([_rtp(seq) for seq in (10, 11, 14, 14, 13, 13, 11, 15)])
    assert skips == [0, 0, 2, None, None, None, None, 0]
    assert (live.counters.missing, live.counters.duplicates, live.counters.late) == (2, 3, 1)


def test_sequence_numbers_wrap() -> None:
    """65,535 is followed by 0, and a gap over the wrap has its size."""
    skips, live = _skips([_rtp(seq) for seq in (65534, 65535, 65536, 65540)])
    assert skips == [0, 0, 0, 3]
    assert live.counters.restarts == 0


@pytest.mark.parametrize("seq", [1000 - 100, 1000 + MAX_DROPOUT_PACKETS + 1, 1000 + 32768])
def test_a_long_jump_is_a_new_beginning(seq: int) -> None:
    """Far back or very far forward counts as a gap of one, and the order goes on from there."""
    skips, live = _skips([_rtp(1000), _rtp(seq), _rtp(seq + 1)])
    assert skips == [0, 1, 0]
    assert live.counters.restarts == 1


def test_a_new_source_is_a_new_beginning() -> None:
    """Another SSRC counts as a gap of one, whatever its sequence number."""
    skips, _ = _skips([_rtp(1000, ssrc=1), _rtp(1000, ssrc=2), _rtp(1001, ssrc=2)])
    assert skips == [0, 1, 0]


def test_the_kind_of_input_is_seen() -> None:
    """Bare packets pass as they are; RTP with payload type 33 is taken off; other data is opaque."""
    bare, wrapped, opaque = LiveInput(), LiveInput(), LiveInput()
    assert bare.take(TS) == Run([TS], payload_type=33)
    assert wrapped.take(_rtp(7)) == Run([TS], timestamps=[7000], payload_type=33)
    assert opaque.take(b"\x80!some data") == Run([b"\x80!some data"], payload_type=96)
    assert (bare.is_rtp, wrapped.is_rtp, opaque.is_rtp) == (False, True, None)
    assert opaque.take(TS) == Run([TS], payload_type=33)


@given(st.lists(st.binary(max_size=40), max_size=8), st.booleans())
def test_any_datagrams_do_no_harm(datagrams: list[bytes], rtp: bool) -> None:  # noqa: FBT001 - hypothesis
    """Whatever arrives is passed on or counted."""
    live = LiveInput(rtp=rtp)
    taken = [live.take(each) for each in datagrams]
    counted = live.counters
    dropped = counted.malformed + counted.duplicates + counted.late
    assert counted.received == len(datagrams) == dropped + sum(each is not None for each in taken)
