"""Owns where in a file a stream is after some time: joined late, it is sent from there on.

Of a transport stream the PCRs of the first PID that has any tell (ISO/IEC 13818-1 §2.4.2.1); where its clock
jumps within the file, the place found is one of several that fit.
"""

from collections.abc import Callable

from sealcast.sender.mpegts import PACKET_BYTES, PCR_MODULUS, packets_with_pcr, read_pcr, read_pid

LOOK_BYTES = 1_600 * PACKET_BYTES
"""Read to find a PCR, of which there is one in 100 ms: 300 kB are enough for 24 Mbit/s at once."""

LOOKS_MAX = 16
"""Looks one behind the other: 38 Mbit/s per 100 ms; a file without PCRs is given up."""

TICKS_PER_US = 27
LAST_TICKS = 1_000_000 * TICKS_PER_US
"""A second: what may follow the last PCR of a file."""

NS_PER_US = 1_000
BITS_NS = 8_000_000_000

Read = Callable[[int, int], bytes]
"""Returns so many bytes from a position, fewer at the end."""


def position_by_rate(elapsed_ns: int, rate_bits_per_s: int, datagram_bytes: int) -> int:
    """Return how many bytes of raw data were sent after so long, in whole datagrams."""
    return elapsed_ns * rate_bits_per_s // BITS_NS // datagram_bytes * datagram_bytes


def position_by_clock(read: Read, size_bytes: int, elapsed_ns: int) -> int:
    """Return where a transport stream is after so long: at a packet, `size_bytes` if it is over by then.

    0 where the stream has no clock to tell. Some 20 reads of 300 kB.
    """
    wanted_ticks = elapsed_ns // NS_PER_US * TICKS_PER_US
    first = _pcr_from(read, 0, None)
    if first is None:
        return 0
    pid, begin, low = first[0], first[1], 0
    high = size_bytes // PACKET_BYTES
    while high - low > 1:
        middle = (low + high) // 2
        found = _pcr_from(read, middle * PACKET_BYTES, pid)
        if found is None:
            high = middle
        elif (found[1] - begin) % PCR_MODULUS <= wanted_ticks:
            low = middle
        else:
            high = middle
    last = _pcr_from(read, low * PACKET_BYTES, pid)
    is_last = last is not None and _pcr_from(read, (low + 1) * PACKET_BYTES, pid) is None
    if last is not None and is_last and (last[1] - begin) % PCR_MODULUS + LAST_TICKS < wanted_ticks:
        return size_bytes
    return low * PACKET_BYTES


def _pcr_from(read: Read, position: int, pid: int | None) -> tuple[int, int] | None:
    """Return PID and value of the first PCR from a position on, of one PID if given."""
    for look in range(LOOKS_MAX):
        block = read(position + look * LOOK_BYTES, LOOK_BYTES)
        block = block[: len(block) // PACKET_BYTES * PACKET_BYTES]
        for at in packets_with_pcr(block):
            pcr = read_pcr(block, at)
            if pcr is not None and pid in {None, read_pid(block, at)}:
                return read_pid(block, at), pcr
        if len(block) < LOOK_BYTES:
            return None
    return None
