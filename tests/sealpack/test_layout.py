"""Shows where things stand in a package, and that nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.messages.package import CHUNK_BYTES, SIZE_MAX
from sealcast.sealpack.layout import (
    GROUP_CHUNKS,
    HEADER_BYTES_MAX,
    PREFIX_BYTES,
    Layout,
    pack_prefix,
    read_prefix,
)

SIZES = st.one_of(
    st.integers(0, 40 * GROUP_CHUNKS * CHUNK_BYTES),
    st.sampled_from((0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1)),
    st.sampled_from((GROUP_CHUNKS * CHUNK_BYTES, GROUP_CHUNKS * CHUNK_BYTES + 1, SIZE_MAX)),
)


@given(st.integers(1, HEADER_BYTES_MAX), SIZES)
def test_everything_follows_one_another(header_bytes: int, size: int) -> None:
    """Header, tops, leaves and chunks stand without a gap, and the chunks hold the content exactly."""
    layout = Layout(header_bytes, size)
    assert layout.tops_at == PREFIX_BYTES + header_bytes
    assert layout.leaves_span(0)[0] == layout.leaves_at == layout.tops_at + 32 * layout.groups
    assert sum(layout.leaves_span(layout.groups - 1)) == layout.chunks_at == layout.chunk_span(0)[0]
    last = layout.chunks - 1
    assert sum(layout.chunk_span(last)) == layout.total
    assert layout.is_last(last)
    assert last * CHUNK_BYTES + layout.content_bytes(last) == size
    assert layout.content_bytes(last) > 0 or size == 0
    if last:
        assert sum(layout.chunk_span(last - 1)) == layout.chunk_span(last)[0]
        assert not layout.is_last(last - 1)
    assert (layout.groups - 1) * GROUP_CHUNKS + layout.group_chunks(layout.groups - 1) == layout.chunks


@pytest.mark.parametrize("chunk", [-1, 1])
def test_no_chunk_beside(chunk: int) -> None:
    """A chunk that is not there has no length."""
    with pytest.raises(IndexError):
        Layout(100, 5).content_bytes(chunk)


@pytest.mark.parametrize(("header_bytes", "size"), [(0, 1), (HEADER_BYTES_MAX + 1, 1), (1, SIZE_MAX + 1)])
def test_what_is_not_made(header_bytes: int, size: int) -> None:
    """A size beyond what chunk numbers reach, or a header that nobody reads, is refused."""
    with pytest.raises(FormatError):
        Layout(header_bytes, size)


def test_the_first_bytes() -> None:
    """The prefix names format, version and the header's length, and comes back."""
    prefix = pack_prefix(4_660)
    assert prefix == b"SEALPACK\x00\x01\x00\x00\x00\x00\x12\x34"
    assert read_prefix(prefix) == 4_660


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SEALPACK",
        b"sealpack\x00\x01\x00\x00\x00\x00\x12\x34",
        b"SEALPACK\x00\x02\x00\x00\x00\x00\x12\x34",
        b"SEALPACK\x00\x01\x00\x01\x00\x00\x12\x34",
        b"SEALPACK\x00\x01\x00\x00\x00\x00\x00\x00",
        b"SEALPACK\x00\x01\x00\x00\xff\xff\xff\xff",
        b"SEALPACK\x00\x01\x00\x00\x00\x00\x12\x34\x00",
    ],
)
def test_what_is_no_package(data: bytes) -> None:
    """Other formats, versions and lengths are refused by name."""
    with pytest.raises(FormatError):
        read_prefix(data)
