"""Owns how a carousel's packets look (ALC, RFC 5775) and how files are cut into what they carry.

```
10 90 04 05             LCT header (RFC 5651): 4 words, TSI of 48 and TOI of 16 bits, code point 5
CCI 4 ‖ TSI 6 ‖ TOI 2   no congestion control; which file; which of its segments, from 1
[EXT_FTI 12]            then 07 in place of 04: transfer length 6, symbol 2, block 1, max_n 1 (RFC 5510)
SBN 3 ‖ ESI 1           which block of the segment, which symbol of the block
symbol
```
A file is cut into segments, each a FLUTE object of its own, so that nothing grows with the file; a segment
into blocks by RFC 5052 §9.1; behind a block's source symbols come its repair symbols (Reed-Solomon over
GF(2^8), RFC 5510). What else FLUTE sends, its file delivery tables for one, has TOI 0 and is passed over.
"""

import struct
from dataclasses import dataclass

from sealcast.core.errors import FormatError

SYMBOL_BYTES = 1296
"""With its header a symbol is as long as seven packets of MPEG-TS, which fits an Ethernet frame."""

CONTENTS_SYMBOL_BYTES = 1284
"""The same with EXT_FTI."""

BLOCK_SYMBOLS = 200
"""Long blocks even out losses; with repair symbols there are no more than 255 (GF(2^8))."""

SEGMENT_BLOCKS = 16
"""Sent interleaved: at 15 % repair, a gap of 480 packets costs each block no more than it can repair."""

SEGMENT_BYTES = SEGMENT_BLOCKS * BLOCK_SYMBOLS * SYMBOL_BYTES
SEGMENTS_MAX = 0xFFFF
FILE_BYTES_MAX = SEGMENTS_MAX * SEGMENT_BYTES
"""272 GB: the TOI has 16 bits."""

REPAIR_SYMBOLS_MIN = 2
"""Of a file that is a single packet, two more are sent."""

REPAIR_PERCENT_MAX = 27
"""200 source symbols and 55 for repair are all that GF(2^8) has."""

CONTENTS_TSI = 0x5345 << 32
"""Sessions that begin with these 16 bits carry the list of contents; the rest is from its digest."""

FILE_TSI_BIT = 1 << 47
"""Sessions of files have it, and the first 47 bits of a digest."""

_TSI_KIND = 0xFFFF << 32
_FLAGS_MASK = 0xFFFFFFFF ^ 0x00030000
"""All but A and B, by which a session and an object are closed: a carousel goes on."""

_PLAIN, _WITH_FTI = 0x10900405, 0x10900705
_PLAIN_FIELDS = struct.Struct(">IIHIHI")
_FTI_FIELDS = struct.Struct(">IIHIHHHIHBBI")
_EXT_FTI = 0x4003
PLAIN_BYTES, FTI_BYTES = _PLAIN_FIELDS.size, _FTI_FIELDS.size


def is_contents(tsi: int) -> bool:
    """Whether a session carries the list of contents."""
    return tsi & _TSI_KIND == CONTENTS_TSI


def repair_symbols(source_symbols: int, percent: int) -> int:
    """Return how many repair symbols each block of an object has whose longest block has so many."""
    return max(REPAIR_SYMBOLS_MIN, -(-source_symbols * percent // 100))


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """The blocks of one object of `size_bytes`, not 0 (RFC 5052 §9.1)."""

    size_bytes: int
    symbol_bytes: int
    blocks: int
    short_symbols: int
    long_blocks: int
    """So many blocks, the first ones, have one symbol more than `short_symbols`."""

    @property
    def longest(self) -> int:
        """Source symbols of the longest block."""
        return self.short_symbols + (1 if self.long_blocks else 0)

    def source_symbols(self, block: int) -> int:
        """How many source symbols a block has."""
        return self.short_symbols + (1 if block < self.long_blocks else 0)

    def first_symbol(self, block: int) -> int:
        """Which symbol of the object a block begins with."""
        return block * self.short_symbols + min(block, self.long_blocks)


def shape_of(size_bytes: int, symbol_bytes: int = SYMBOL_BYTES) -> ObjectShape:
    """Cut an object that is not empty into blocks (RFC 5052 §9.1)."""
    symbols = -(-size_bytes // symbol_bytes)
    blocks = -(-symbols // BLOCK_SYMBOLS)
    short, long_blocks = divmod(symbols, blocks)
    return ObjectShape(size_bytes, symbol_bytes, blocks, short, long_blocks)


def segment_count(size_bytes: int) -> int:
    """Return how many segments a file has; an empty one has none."""
    return -(-size_bytes // SEGMENT_BYTES)


def segment_bytes(size_bytes: int, segment: int) -> int:
    """Return how long a segment of a file of `size_bytes` is."""
    return min(SEGMENT_BYTES, size_bytes - segment * SEGMENT_BYTES)


@dataclass(frozen=True, slots=True)
class TransferInfo:
    """What EXT_FTI says of an object: its length, and how it is cut."""

    size_bytes: int
    symbol_bytes: int
    block_symbols: int
    max_n: int


def read_symbol(packet: memoryview) -> tuple[int, int, int, int, memoryview] | None:
    """Return TSI, TOI, block, ESI and symbol of a packet without EXT_FTI; None for any other. 0.5 µs."""
    if len(packet) <= PLAIN_BYTES:
        return None
    flags, _, high, low, toi, place = _PLAIN_FIELDS.unpack_from(packet)
    if flags & _FLAGS_MASK != _PLAIN:
        return None
    return high << 32 | low, toi, place >> 8, place & 0xFF, packet[PLAIN_BYTES:]


def read_self_contained(packet: memoryview) -> tuple[int, int, int, TransferInfo, memoryview] | None:
    """Return TSI, block, ESI, what EXT_FTI says, and the symbol; None for a packet without EXT_FTI.

    Raises FormatError where EXT_FTI contradicts itself or the packet.
    """
    if len(packet) <= FTI_BYTES:
        return None
    flags, _, high, low, toi, ext, length_high, length_low, symbol, block, max_n, place = (
        _FTI_FIELDS.unpack_from(packet)
    )
    if flags & _FLAGS_MASK != _WITH_FTI or ext != _EXT_FTI or not toi:
        return None
    info = TransferInfo(length_high << 32 | length_low, symbol, block, max_n)
    data = packet[FTI_BYTES:]
    if len(data) != symbol or not info.size_bytes or not block < max_n:
        raise FormatError("a carousel's packet that does not fit its own description")
    return high << 32 | low, place >> 8, place & 0xFF, info, data
