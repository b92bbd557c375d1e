"""Shows that server-sent events are read the same in whatever pieces they come, and never without bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.sse import DATA_BYTES_MAX, LINE_BYTES_MAX, EventReader
from sealcast.core.errors import FormatError

STREAM = (
    b": hello\n\n"
    b"data: one\n\n"
    b"data:two\r\n\r\n"
    b"event: news\nid: 7\nretry: 10\ndata: three\ndata: more\n\n"
    b":\n"
    b"nothing\n\n"
    b"data\n\n"
    b"data: half"
)
EVENTS = [b"one", b"two", b"three\nmore", b""]


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Return `data` cut at places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[begin:end] for begin, end in pairwise(places)]


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    """However the bytes are cut, the same events come out, comments and other fields none."""
    reader = EventReader()
    assert [event for piece in pieces(STREAM, cuts) for event in reader.feed(piece)] == EVENTS


def test_byte_by_byte() -> None:
    """Also one byte at a time."""
    reader = EventReader()
    assert [event for byte in STREAM for event in reader.feed(bytes([byte]))] == EVENTS


def feed_all(reader: EventReader, data: bytes, step: int) -> None:
    """Feed `data` in pieces of `step` bytes."""
    for begin in range(0, len(data), step):
        reader.feed(data[begin : begin + step])


@pytest.mark.parametrize("step", [1, 100, 100_000])
def test_bounds(step: int) -> None:
    """A line without end and an event without end are refused, before they take more room than allowed."""
    for endless, most in (
        (b"data: " + bytes(100_000), LINE_BYTES_MAX),
        (b"data: x\n" * 9_000, DATA_BYTES_MAX),
    ):
        reader = EventReader()
        with pytest.raises(FormatError):
            feed_all(reader, endless, step)
        assert len(reader._line) + len(reader._data) <= most + 8


@given(st.binary(max_size=300))
def test_anything(data: bytes) -> None:
    """Whatever comes, there are events or our own error."""
    for event in EventReader().feed(data):
        assert isinstance(event, bytes)
