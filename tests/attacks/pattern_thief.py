"""Owns what an observer without any key does to one scrambled packet of a transport stream.

Nothing of Sealcast is used: bytes of the group, and what ISO/IEC 13818-1 says stands in every stream.
"""

from collections.abc import Iterator, Sequence

TS_BYTES = 188
SYNC = 0x47
STUFFING_BYTES = 128
"""Tables (PAT, PMT) and null packets end in at least so many bytes 0xFF."""


def bits_of(data: bytes) -> list[int]:
    """Return the bits of bytes, the highest first."""
    return [byte >> shift & 1 for byte in data for shift in range(7, -1, -1)]


def known_from(scrambled: bytes, known: dict[int, int], cycle_bits: int) -> dict[int, int] | None:
    """Return the bits of the cycle that known bytes at their places give; None where two contradict."""
    cycle: dict[int, int] = {}
    for at, byte in known.items():
        for place, bit in enumerate(bits_of(bytes([scrambled[at] ^ byte])), 8 * at):
            if cycle.setdefault(place % cycle_bits, bit) != bit:
                return None
    return cycle


def sync_bytes(scrambled: bytes) -> dict[int, int]:
    """Return what is known of every transport stream: 0x47 each 188 bytes."""
    return dict.fromkeys(range(0, len(scrambled), TS_BYTES), SYNC)


def stuffing_bytes(scrambled: bytes, end: int) -> dict[int, int]:
    """Return what is known if the TS packet that ends there is a table's or a null packet."""
    return sync_bytes(scrambled) | dict.fromkeys(range(end - STUFFING_BYTES, end), 0xFF)


def recover(scrambled: bytes, lengths: Sequence[int]) -> list[int] | None:
    """Return a cycle that explains one payload, the shortest of these lengths in bits that does; else None.

    One TS packet after the other is taken for stuffing; its bits and those of the 0x47 must not contradict.
    """
    for cycle_bits in lengths:
        for end in range(TS_BYTES, len(scrambled) + 1, TS_BYTES):
            cycle = known_from(scrambled, stuffing_bytes(scrambled, end), cycle_bits)
            if cycle is not None and len(cycle) == cycle_bits:
                return [cycle[place] for place in range(cycle_bits)]
    return None


def undo(scrambled: bytes, cycle: Sequence[int]) -> bytes:
    """Return a payload in the clear."""
    clear = [bit ^ cycle[place % len(cycle)] for place, bit in enumerate(bits_of(scrambled))]
    return bytes(int("".join(map(str, clear[at : at + 8])), 2) for at in range(0, len(clear), 8))


def recover_from_headers(scrambled: bytes, pid: int) -> Iterator[list[int]]:
    """Yield the cycles of 32 bits that make TS headers of that PID, counting up, of one payload."""
    for counter in range(16):
        known: dict[int, int] = {}
        for place, start in enumerate(range(0, len(scrambled), TS_BYTES)):
            header = bytes([SYNC, pid >> 8, pid & 0xFF, 0x10 | (counter + place) % 16])
            known |= dict(enumerate(header, start))
        cycle = known_from(scrambled, known, 32)
        if cycle is not None:
            yield [cycle[place] for place in range(32)]
