"""Owns what is known of a file in parts: which symbols are there, where they belong, what is complete.

It does no I/O and grows with the open blocks alone: 100 bytes each, and a byte for each block of the file.
"""

from dataclasses import dataclass

import msgspec

from sealcast.wire.alc import (
    SEGMENT_BLOCKS,
    SEGMENT_BYTES,
    SYMBOL_BYTES,
    ObjectShape,
    repair_symbols,
    segment_bytes,
    segment_count,
    shape_of,
)

_MASK_BYTES = 32
"""A bit for each of up to 255 symbols."""


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a symbol belongs: in the file, or among the repair symbols; `size_bytes` of it count."""

    block: int
    bit: int
    is_repair: bool
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Block:
    """One block: where it is in the file and how long, its symbols, and where its repair symbols are kept."""

    offset: int
    size_bytes: int
    source_symbols: int
    repair_symbols: int
    repair_offset: int


class _Kept(msgspec.Struct, frozen=True):
    """What one receiver leaves to the next."""

    complete: bytes
    open: dict[int, bytes]


class Marks:
    """Of one file of `size_bytes`, protected by `repair_percent`."""

    def __init__(self, size_bytes: int, repair_percent: int) -> None:
        self._size_bytes, self._percent = size_bytes, repair_percent
        self._segments = segment_count(size_bytes)
        self._whole = _shape_and_repair(SEGMENT_BYTES, repair_percent)
        last = segment_bytes(size_bytes, self._segments - 1) if self._segments else 1
        self._last = _shape_and_repair(last, repair_percent)
        blocks = (self._segments - 1) * SEGMENT_BLOCKS + self._last[0].blocks if self._segments else 0
        self._complete = bytearray(blocks)
        self._open: dict[int, int] = {}
        self._left = blocks
        self.held_symbols = 0
        """How many symbols of complete blocks, and useful ones of open blocks."""

    @property
    def is_complete(self) -> bool:
        """Whether all blocks are."""
        return not self._left

    def spot(self, toi: int, block: int, esi: int) -> Spot | None:
        """Return where a symbol belongs; None if it is there already, of no use, or of no such block."""
        segment = toi - 1
        if not 0 <= segment < self._segments:
            return None
        shape, repair = self._shape(segment)
        if block >= shape.blocks:
            return None
        number, source = segment * SEGMENT_BLOCKS + block, shape.source_symbols(block)
        if esi >= source + repair or self._complete[number]:
            return None
        bit = 1 << esi
        if self._open.get(number, 0) & bit:
            return None
        if esi >= source:
            return Spot(
                number, bit, True, self._repair_offset(number) + (esi - source) * SYMBOL_BYTES, SYMBOL_BYTES
            )
        offset = segment * SEGMENT_BYTES + (shape.first_symbol(block) + esi) * SYMBOL_BYTES
        return Spot(number, bit, False, offset, min(SYMBOL_BYTES, self._size_bytes - offset))

    def mark(self, spot: Spot) -> bool:
        """Note that a symbol is in its spot; True if its block has enough of them now."""
        mask = self._open.get(spot.block, 0) | spot.bit
        self._open[spot.block] = mask
        self.held_symbols += 1
        return mask.bit_count() >= self._source_symbols(spot.block)

    def block(self, number: int) -> Block:
        """Return what must be known to complete a block."""
        segment, block = divmod(number, SEGMENT_BLOCKS)
        shape, repair = self._shape(segment)
        source = shape.source_symbols(block)
        offset = segment * SEGMENT_BYTES + shape.first_symbol(block) * SYMBOL_BYTES
        size_bytes = min(source * SYMBOL_BYTES, self._size_bytes - offset)
        return Block(offset, size_bytes, source, repair, self._repair_offset(number))

    def symbols(self, number: int) -> list[int]:
        """Return the ESIs that are there of an open block, in order."""
        mask = self._open.get(number, 0)
        return [esi for esi in range(mask.bit_length()) if mask >> esi & 1]

    def complete(self, number: int) -> None:
        """Note that a block is in its place."""
        self._open.pop(number, None)
        self._complete[number] = 1
        self._left -= 1

    def forget(self, number: int) -> None:
        """Begin a block again."""
        self.held_symbols -= self._open.pop(number, 0).bit_count()

    def encode(self) -> bytes:
        """Return all of it, for `decode`."""
        masks = {number: mask.to_bytes(_MASK_BYTES, "big") for number, mask in self._open.items()}
        return msgspec.msgpack.encode(_Kept(bytes(self._complete), masks))

    @classmethod
    def decode(cls, kept: bytes, size_bytes: int, repair_percent: int) -> "Marks | None":
        """Read what `encode` gave for a file of the same size and protection; None if it is not that."""
        marks = cls(size_bytes, repair_percent)
        try:
            read = msgspec.msgpack.decode(kept, type=_Kept)
        except msgspec.DecodeError:
            return None
        if len(read.complete) != len(marks._complete) or not all(
            0 <= number < len(marks._complete) and not read.complete[number] for number in read.open
        ):
            return None
        for number, done in enumerate(read.complete):
            if done:
                marks.complete(number)
                marks.held_symbols += marks._source_symbols(number)
        marks._open = {number: int.from_bytes(mask, "big") for number, mask in read.open.items()}
        marks.held_symbols += sum(mask.bit_count() for mask in marks._open.values())
        return marks

    def _shape(self, segment: int) -> tuple[ObjectShape, int]:
        return self._whole if segment + 1 < self._segments else self._last

    def _source_symbols(self, number: int) -> int:
        segment, block = divmod(number, SEGMENT_BLOCKS)
        return self._shape(segment)[0].source_symbols(block)

    def _repair_offset(self, number: int) -> int:
        return number * max(self._whole[1], self._last[1]) * SYMBOL_BYTES


def _shape_and_repair(size_bytes: int, repair_percent: int) -> tuple[ObjectShape, int]:
    shape = shape_of(size_bytes)
    return shape, repair_symbols(shape.longest, repair_percent)
