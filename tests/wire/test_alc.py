"""Shows that files are cut as RFC 5052 says, and that packets are read as flute-alc writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError
from sealcast.testing import SimRandom
from sealcast.wire import alc

SYMBOL = bytes(alc.SYMBOL_BYTES)
PLAIN = bytes.fromhex("10900405 00000000 800000000005 0007 000002 09") + SYMBOL
"""By RFC 5651 and RFC 5510: TSI 0x800000000005, TOI 7, block 2, symbol 9."""

WITH_FTI = bytes.fromhex(
    "10910705 00000000 534500000001 0001 40030000 000004d2 0504 c8 e6 000000 01"
) + bytes(1284)
"""The last packet of an object (B is set): 1234 bytes, symbols of 1284, 200 to a block, 230 with repair."""


def test_a_symbol_is_read() -> None:
    """The two vectors above, and what is neither."""
    read = alc.read_symbol(memoryview(PLAIN))
    assert read is not None
    assert read[:4] == (0x800000000005, 7, 2, 9)
    assert bytes(read[4]) == SYMBOL
    assert alc.read_self_contained(memoryview(PLAIN)) is None

    assert alc.read_symbol(memoryview(WITH_FTI)) is None
    full = alc.read_self_contained(memoryview(WITH_FTI))
    assert full is not None
    assert full[:4] == (0x534500000001, 0, 1, alc.TransferInfo(1234, 1284, 200, 230))
    assert alc.is_contents(full[0])
    assert not alc.is_contents(read[0])


def test_a_packet_that_contradicts_itself_is_refused() -> None:
    """EXT_FTI has to fit the symbol behind it; no length and no repair is nothing to begin with."""
    for at, value in ((24, "0404"), (26, "e6c8"), (26, "c8c8"), (18, "000000000000")):
        bent = bytearray(WITH_FTI)
        bent[at : at + len(value) // 2] = bytes.fromhex(value)
        with pytest.raises(FormatError):
            alc.read_self_contained(memoryview(bytes(bent)))
    with pytest.raises(FormatError):
        alc.read_self_contained(memoryview(WITH_FTI + b"x"))


@given(st.binary(max_size=80))
def test_garbage_is_nothing(data: bytes) -> None:
    """No bytes raise anything but FormatError."""
    assert alc.read_symbol(memoryview(data)) is None or len(data) > alc.PLAIN_BYTES
    try:
        alc.read_self_contained(memoryview(data))
    except FormatError:
        return


@given(st.integers(min_value=1, max_value=alc.SEGMENT_BYTES))
def test_blocks_cover_an_object_once(size_bytes: int) -> None:
    """RFC 5052 §9.1: blocks differ by one symbol at most, the longer ones first, and none is too long."""
    shape = alc.shape_of(size_bytes)
    counts = [shape.source_symbols(block) for block in range(shape.blocks)]
    assert sum(counts) == -(-size_bytes // alc.SYMBOL_BYTES)
    assert counts == sorted(counts, reverse=True)
    assert shape.longest == max(counts) <= min(counts) + 1
    assert shape.longest <= alc.BLOCK_SYMBOLS
    assert [shape.first_symbol(block) for block in range(shape.blocks)] == [
        sum(counts[:block]) for block in range(shape.blocks)
    ]


def test_segments_cover_a_file() -> None:
    """None for an empty file; the last is what is left."""
    assert alc.segment_count(0) == 0
    for size_bytes in (1, alc.SEGMENT_BYTES, alc.SEGMENT_BYTES + 1, alc.FILE_BYTES_MAX):
        count = alc.segment_count(size_bytes)
        assert 0 < alc.segment_bytes(size_bytes, count - 1) <= alc.SEGMENT_BYTES
        assert (count - 1) * alc.SEGMENT_BYTES + alc.segment_bytes(size_bytes, count - 1) == size_bytes
    assert alc.segment_count(alc.FILE_BYTES_MAX) == alc.SEGMENTS_MAX
    assert alc.repair_symbols(1, 15) == alc.REPAIR_SYMBOLS_MIN
    assert alc.BLOCK_SYMBOLS + alc.repair_symbols(alc.BLOCK_SYMBOLS, alc.REPAIR_PERCENT_MAX) <= 255


def test_the_library_writes_what_is_read() -> None:
    """Every packet has the length of a datagram; the source symbols in their places are the object."""
    from sealcast.sender.carouselpackets import Packer  # noqa: PLC0415 - needs the extra

    data = SimRandom(4).bytes(alc.SYMBOL_BYTES * 401 + 5)
    packer, shape = Packer(alc.FILE_TSI_BIT | 5, 10), alc.shape_of(len(data))
    for toi in (1, 2):
        packets, there = packer.pack(data, "sealcast:0"), bytearray(len(data) + alc.SYMBOL_BYTES)
        assert {len(packet) for packet in packets} == {1316}
        symbols = [read for packet in packets if (read := alc.read_symbol(memoryview(packet))) is not None]
        for tsi, object_, block, esi, symbol in symbols:
            assert (tsi, object_) == (alc.FILE_TSI_BIT | 5, toi)
            if esi < shape.source_symbols(block):
                begin = (shape.first_symbol(block) + esi) * alc.SYMBOL_BYTES
                there[begin : begin + alc.SYMBOL_BYTES] = symbol
        assert bytes(there[: len(data)]) == data
        repair = alc.repair_symbols(shape.longest, 10)
        assert len(symbols) == 402 + shape.blocks * repair
