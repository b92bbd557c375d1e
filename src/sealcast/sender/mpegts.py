"""Owns the layout of MPEG transport stream packets (ISO/IEC 13818-1 §2.4.3); knows no stream, no pace.

A packet has 188 bytes:

    0      0x47
    1..2   error 1 ‖ unit start (PUSI) 1 ‖ priority 1 ‖ PID 13
    3      scrambling 2 ‖ adaptation field 1 ‖ payload 1 ‖ continuity counter 4
    4..    adaptation field, when its bit is set, then the payload, when its bit is set

Adaptation field (§2.4.3.5), from byte 4:

    0      length of what follows (0 is a single stuffing byte)
    1      discontinuity 1 ‖ random access 1 ‖ priority 1 ‖ PCR 1 ‖ OPCR 1 ‖ splice 1 ‖ private 1 ‖ more 1
    2..7   PCR: base 33 (90 kHz) ‖ reserved 6 ‖ extension 9 (27 MHz); the clock is base · 300 + extension

PES header (§2.4.3.7), at the payload of a packet with PUSI:

    0..2   00 00 01
    3      stream ID
    4..5   length
    6      10 ‖ scrambling 2 ‖ priority 1 ‖ alignment 1 ‖ copyright 1 ‖ original 1
    7      PTS 1 ‖ DTS 1 ‖ six more flags
    8      bytes of header that follow
    9..13  PTS: prefix 4 ‖ 32..30 ‖ 1 ‖ 29..15 ‖ 1 ‖ 14..0 ‖ 1, then DTS of the same form

Functions take the buffer and the position `at` of a packet in it, so that nothing is copied on the way.
"""

from dataclasses import dataclass

from sealcast.core.errors import FormatError

PACKET_BYTES = 188
SYNC_BYTE = 0x47
NULL_PID = 0x1FFF
"""PID of the packets that only fill a constant rate; their continuity counter has no meaning."""

PCR_HZ = 27_000_000
PTS_HZ = 90_000
TICKS_PER_PTS = 300
"""PCR ticks (27 MHz) to one PTS tick (90 kHz)."""

PTS_MODULUS = 1 << 33
PCR_MODULUS = PTS_MODULUS * TICKS_PER_PTS
"""A PCR wraps here, after about 26.5 hours."""

PROBE_PACKETS = 5
"""Packets looked at to recognise a transport stream: chance passes with 2^-40."""

_PCR_FIELD_BYTES = 7
_PES_START = b"\x00\x00\x01"
_PES_FIXED_BYTES = 9
_TIMESTAMP_BYTES = 5

_BITS_ADAPTATION = bytes((value >> 5) & 1 for value in range(256))
_BITS_PCR = bytes((value >> 4) & 1 for value in range(256))
_BITS_UNIT_START = bytes((value >> 6) & 1 for value in range(256))
"""Translation tables: one flag of a header byte as 0 or 1, for whole columns of packets at once."""

_WITHOUT_PES_HEADER = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})
"""Stream IDs whose PES packets carry no timestamps (§2.4.3.7): maps, padding, ECM, EMM and their like."""

Buffer = bytes | bytearray | memoryview
"""What the readers take; the writers need a bytearray."""


@dataclass(frozen=True, slots=True)
class PacketHeader:
    """The fixed four bytes of a packet, read."""

    pid: int
    unit_start: bool
    scrambled: bool
    has_adaptation: bool
    has_payload: bool
    continuity: int


@dataclass(frozen=True, slots=True)
class PesTimes:
    """Timestamps of a PES header in 90 kHz ticks, and the ID of its stream."""

    stream_id: int
    pts: int
    dts: int | None

    @property
    def decode(self) -> int:
        """When the unit is decoded: the DTS, or the PTS where both are the same."""
        return self.pts if self.dts is None else self.dts

    @property
    def is_video(self) -> bool:
        """Tell whether the stream ID is one of the video streams (§2.4.3.7, table 2-22)."""
        return self.stream_id & 0xF0 == 0xE0


def looks_like_transport_stream(first_bytes: Buffer) -> bool:
    """Tell whether a stream that begins so is a transport stream: a sync byte at each 188, one at least.

    Looks at `PROBE_PACKETS` packets, or as many as there are. A packet cut short counts by its sync byte.
    """
    syncs = bytes(first_bytes[: PROBE_PACKETS * PACKET_BYTES : PACKET_BYTES])
    return len(first_bytes) >= PACKET_BYTES and syncs == bytes([SYNC_BYTE]) * len(syncs)


def check_rhythm(block: Buffer, position: int = 0) -> None:
    """Raise FormatError unless each packet of `block` begins with the sync byte.

    `position` is the place of the block in the stream, for the message. About 1 ns a packet.
    """
    syncs = bytes(block[::PACKET_BYTES])
    if syncs.count(SYNC_BYTE) == len(syncs):
        return
    first_bad = next(i for i, value in enumerate(syncs) if value != SYNC_BYTE)
    raise FormatError(
        f"the transport stream is damaged at byte {position + first_bad * PACKET_BYTES}: "
        f"no packet begins there; repair the file, or send it as raw data with --rate",
    )


def packets_with_pcr(block: bytes | bytearray) -> list[int]:
    """Return the positions in `block` of the packets with a PCR; `block` holds whole packets.

    Compares columns of header bytes, not packets: about 5 ns a packet.
    """
    has_adaptation = block[3::PACKET_BYTES].translate(_BITS_ADAPTATION)
    has_pcr = block[5::PACKET_BYTES].translate(_BITS_PCR)
    return [at for at in _positions(has_adaptation, has_pcr) if block[at + 4] >= _PCR_FIELD_BYTES]


def packets_with_unit_start(block: bytes | bytearray) -> list[int]:
    """Return the positions in `block` of the packets in which a PES packet or a section begins."""
    starts = block[1::PACKET_BYTES].translate(_BITS_UNIT_START)
    return _positions(starts, starts)


def read_header(block: Buffer, at: int = 0) -> PacketHeader:
    """Read the fixed header; raises FormatError when no whole packet stands at `at`."""
    if at + PACKET_BYTES > len(block) or block[at] != SYNC_BYTE:
        raise FormatError(f"no transport stream packet at byte {at}")
    flags = block[at + 3]
    return PacketHeader(
        pid=read_pid(block, at),
        unit_start=bool(block[at + 1] & 0x40),
        scrambled=bool(flags & 0xC0),
        has_adaptation=bool(flags & 0x20),
        has_payload=bool(flags & 0x10),
        continuity=flags & 0x0F,
    )


def read_pid(block: Buffer, at: int = 0) -> int:
    """Return the PID, 13 bits."""
    return (block[at + 1] & 0x1F) << 8 | block[at + 2]


def read_pcr(block: Buffer, at: int = 0) -> int | None:
    """Return the PCR in 27 MHz ticks, or None where the packet has none."""
    if not _has_field(block, at, 0x10) or block[at + 4] < _PCR_FIELD_BYTES:
        return None
    field = int.from_bytes(block[at + 6 : at + 12], "big")
    return (field >> 15) * TICKS_PER_PTS + (field & 0x1FF)


def write_pcr(block: bytearray, pcr: int, at: int = 0) -> None:
    """Replace the PCR of a packet that has one; `pcr` is taken modulo its wrap."""
    base, extension = divmod(pcr % PCR_MODULUS, TICKS_PER_PTS)
    block[at + 6 : at + 12] = (base << 15 | 0x3F << 9 | extension).to_bytes(6, "big")


def read_discontinuity(block: Buffer, at: int = 0) -> bool:
    """Return the discontinuity indicator: a new time base or a jump of the counter is announced."""
    return _has_field(block, at, 0x80)


def clear_discontinuity(block: bytearray, at: int = 0) -> None:
    """Clear the discontinuity indicator, if there is one."""
    if _has_field(block, at, 0x80):
        block[at + 5] &= 0x7F


def read_pes_times(block: Buffer, at: int = 0) -> PesTimes | None:
    """Return the timestamps of the PES packet that begins in this packet, or None.

    None stands for sections, streams without PES headers and headers without a PTS. Raises FormatError for
    a header that is cut off, or whose timestamps lack their marker bits.
    """
    start = _find_pes(block, at)
    if start is None:
        return None
    has_dts = block[start + 7] & 0x40
    pts = _read_timestamp(block, start + _PES_FIXED_BYTES)
    dts = _read_timestamp(block, start + _PES_FIXED_BYTES + _TIMESTAMP_BYTES) if has_dts else None
    return PesTimes(block[start + 3], pts, dts)


def shift_pes_times(block: bytearray, shift: int, at: int = 0) -> None:
    """Add `shift` 90 kHz ticks to PTS and DTS of the PES packet that begins here, modulo 2^33.

    Does nothing where `read_pes_times` gives None; raises what it raises.
    """
    times = read_pes_times(block, at)
    start = _find_pes(block, at)
    if times is None or start is None:
        return
    _write_timestamp(block, start + _PES_FIXED_BYTES, times.pts + shift)
    if times.dts is not None:
        _write_timestamp(block, start + _PES_FIXED_BYTES + _TIMESTAMP_BYTES, times.dts + shift)


def pes_payload(unit: bytes | bytearray) -> bytes:
    """Return what follows the header of a PES packet; `unit` is its payloads joined."""
    return bytes(unit[_PES_FIXED_BYTES + unit[8] :]) if len(unit) >= _PES_FIXED_BYTES else b""


def payload_start(block: Buffer, at: int = 0) -> int:
    """Return where in `block` the payload begins: the packet's end when it has none.

    Raises FormatError for an adaptation field longer than the packet.
    """
    flags = block[at + 3]
    if not flags & 0x10:
        return at + PACKET_BYTES
    start = at + (5 + block[at + 4] if flags & 0x20 else 4)
    if start > at + PACKET_BYTES:
        raise FormatError("an adaptation field is longer than its packet")
    return start


def _positions(left: bytes | bytearray, right: bytes | bytearray) -> list[int]:
    """Return the packet positions at which both columns hold 1."""
    both = (int.from_bytes(left, "big") & int.from_bytes(right, "big")).to_bytes(len(left), "big")
    positions: list[int] = []
    found = both.find(1)
    while found >= 0:
        positions.append(found * PACKET_BYTES)
        found = both.find(1, found + 1)
    return positions


def _has_field(block: Buffer, at: int, flag: int) -> bool:
    """Tell whether the packet has an adaptation field with this flag."""
    return bool(block[at + 3] & 0x20 and block[at + 4] and block[at + 5] & flag)


def _find_pes(block: Buffer, at: int) -> int | None:
    """Return where a PES header with a PTS begins, or None; raises FormatError if it is cut off."""
    if not block[at + 1] & 0x40 or block[at + 3] & 0xC0:
        return None
    start, end = payload_start(block, at), at + PACKET_BYTES
    if end - start <= len(_PES_START) or block[start : start + 3] != _PES_START:
        return None
    if block[start + 3] in _WITHOUT_PES_HEADER:
        return None
    if end - start < _PES_FIXED_BYTES:
        raise FormatError("a PES header is cut off at the end of its packet")
    if block[start + 6] & 0xC0 != 0x80:
        return None
    flags = block[start + 7]
    needed = _PES_FIXED_BYTES + _TIMESTAMP_BYTES * ((flags >> 7) + (flags >> 6 & flags >> 7 & 1))
    if end - start < needed:
        raise FormatError("a PES header is cut off at the end of its packet")
    return start if flags & 0x80 else None


def _read_timestamp(block: Buffer, start: int) -> int:
    field = int.from_bytes(block[start : start + _TIMESTAMP_BYTES], "big")
    if field & 0x100010001 != 0x100010001:
        raise FormatError("a PES timestamp lacks its marker bits")
    return (field >> 33 & 0x7) << 30 | (field >> 17 & 0x7FFF) << 15 | field >> 1 & 0x7FFF


def _write_timestamp(block: bytearray, start: int, value: int) -> None:
    """Write 33 bits, keeping the four prefix bits."""
    value %= PTS_MODULUS
    field = (value >> 30) << 33 | (value >> 15 & 0x7FFF) << 17 | (value & 0x7FFF) << 1 | 0x100010001
    field |= (block[start] >> 4) << 36
    block[start : start + _TIMESTAMP_BYTES] = field.to_bytes(_TIMESTAMP_BYTES, "big")
