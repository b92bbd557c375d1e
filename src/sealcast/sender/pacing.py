"""Owns the pace: turns the bytes of an input into datagrams, each with the time at which it leaves.

Times are offsets in ns on the stream's own clock; the first datagram has 0. When that is on the clock of the
machine is the run loop's business. A pacer is fed with pieces of any size and gives the datagrams whose time
it knows; `finish` gives the rest. Nothing is added, dropped or padded: the payloads joined are the input.

A transport stream is paced by the PCRs of the first PID that has any (ISO/IEC 13818-1 §2.4.2.1): the bytes
between two PCRs are spread evenly over the time between them, so that a datagram has a time once the PCR
after it is known. Where the clock jumps, the bytes go on at the last known rate.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from sealcast.core.errors import UsageError
from sealcast.core.ports import NS_PER_S
from sealcast.sender.mpegts import (
    PACKET_BYTES,
    PCR_HZ,
    PCR_MODULUS,
    PTS_HZ,
    check_rhythm,
    looks_like_transport_stream,
    packets_with_pcr,
    read_discontinuity,
    read_pcr,
    read_pid,
)
from sealcast.sender.runs import Cut, Run

DATAGRAM_BYTES = 7 * PACKET_BYTES
"""Seven packets are what fits an Ethernet frame with all headers (RFC 2250 §2)."""

MAX_LOOKAHEAD_BYTES = 4 * 1024 * 1024
"""Held while the next PCR is awaited. The standard wants one each 100 ms: enough for 300 Mbit/s."""

MAX_PCR_STEP_TICKS = 5 * PCR_HZ
"""A longer step between two PCRs is a jump of the clock, not a pause of 5 s in the stream."""

RTP_MODULUS = 1 << 32
BITS_NS = 8 * NS_PER_S
"""Divided by a rate in bit/s: nanoseconds for a byte."""


class Pacer(Protocol):
    """Turns bytes into datagrams with departure times that never decrease."""

    def feed(self, data: bytes | bytearray) -> Run:
        """Take the next bytes; return the datagrams whose time is now known, maybe none."""
        ...

    def finish(self) -> Run:
        """Return the remaining datagrams; the last may be shorter. Call once, at the end."""
        ...

    @property
    def end_offset_ns(self) -> int:
        """When the last byte of the stream is due; final after `finish`."""
        ...


def rtp_timestamp(offset_ns: int, base: int = 0) -> int:
    """Return the RTP timestamp of an offset: 90 kHz from `base`, modulo 2^32 (RFC 2250 §2)."""
    return (base + offset_ns * PTS_HZ // NS_PER_S) % RTP_MODULUS


def rtp_timestamps(offsets_ns: Sequence[int], base: int = 0) -> list[int]:
    """Return `rtp_timestamp` of each offset, of which there is one at least. About 0.15 µs each.

    90 kHz is 9 for each 100 µs. Written for numbers that are small, since they are the quick ones.
    """
    first_ns = offsets_ns[0]
    ticks, rest = divmod(first_ns * 9, 100_000)
    first = (base + ticks) % RTP_MODULUS
    if isinstance(offsets_ns, range):
        step = offsets_ns.step * 9
        stamps = [first + part // 100_000 for part in range(rest, rest + len(offsets_ns) * step, step)]
    else:
        stamps = [first + (rest + (offset_ns - first_ns) * 9) // 100_000 for offset_ns in offsets_ns]
    if stamps[-1] >= RTP_MODULUS:
        return [stamp % RTP_MODULUS for stamp in stamps]
    return stamps


class RatePacer:
    """Paces raw data at a constant rate in bits per second of payload."""

    def __init__(self, rate_bits_per_s: int, payload_bytes: int = DATAGRAM_BYTES) -> None:
        if rate_bits_per_s <= 0:
            raise UsageError("the rate must be above 0 bit/s; write for instance --rate 8M")
        self._rate_bits_per_s = rate_bits_per_s
        self._payload_bytes = payload_bytes
        self._held = b""
        self._sent_bytes = 0

    @property
    def rate_bits_per_s(self) -> int:
        """The pace."""
        return self._rate_bits_per_s

    def feed(self, data: bytes | bytearray) -> Run:
        """Cut the bytes into payloads of the full size, without copying them: they may change no more."""
        data = self._held + data if self._held else data
        whole_bytes = len(data) // self._payload_bytes * self._payload_bytes
        self._held = bytes(data[whole_bytes:])
        return self._cut(memoryview(data)[:whole_bytes])

    def finish(self) -> Run:
        """Return what did not fill a payload, if anything."""
        rest, self._held = self._held, b""
        return self._cut(memoryview(rest))

    @property
    def end_offset_ns(self) -> int:
        """When the last byte given out is due."""
        return self._offset_ns()

    def _cut(self, view: memoryview) -> Run:
        size = self._payload_bytes
        begins = range(0, len(view), size)
        run = Run(Cut(view, size), self._offsets_ns(begins))
        self._sent_bytes += len(view)
        return run

    def _offsets_ns(self, begins: range) -> Sequence[int]:
        """Return the times of datagrams that begin at these bytes, counted from the last byte given out."""
        sent, rate = self._sent_bytes, self._rate_bits_per_s
        step_ns, rest = divmod(begins.step * BITS_NS, rate)
        first_ns, first_rest = divmod(sent * BITS_NS, rate)
        if not rest:
            # Whole nanoseconds apart: what is rounded off the first is rounded off all.
            return (
                range(first_ns, first_ns + step_ns * len(begins), step_ns)
                if step_ns
                else [first_ns] * len(begins)
            )
        return [first_ns + (first_rest + at * BITS_NS) // rate for at in begins]

    def _offset_ns(self) -> int:
        return self._sent_bytes * BITS_NS // self._rate_bits_per_s


class PcrPacer:
    """Paces a transport stream by its PCRs.

    Positions count the bytes of the stream. `_anchor` is the last PCR and its position; everything before
    `_timed_until` has a time. Only datagram starts get one, in `_offsets`, in order.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._held_from = 0
        self._scanned_until = 0
        self._timed_until = 0
        self._timed_ticks = 0
        self._next_start = 0
        self._offsets: deque[int] = deque()
        self._anchor: tuple[int, int] | None = None
        self._clock_pid: int | None = None
        self._rate: tuple[int, int] | None = None

    def feed(self, data: bytes | bytearray) -> Run:
        """Take the next bytes; return the datagrams before the last PCR. About 1 µs a datagram.

        Raises UsageError when this is no transport stream or has no PCRs, FormatError when a packet does not
        begin where it should.
        """
        self._held += data
        self._scan()
        if self._received_until - self._timed_until > MAX_LOOKAHEAD_BYTES:
            self._go_on_without_clock()
        return self._cut(last=False)

    def finish(self) -> Run:
        """Return the rest at the last rate, a packet cut short included; raises as `feed`."""
        if self._received_until:
            self._require_transport_stream()
            self._go_on_without_clock()
        return self._cut(last=True)

    @property
    def end_offset_ns(self) -> int:
        """When the last byte that has a time is due."""
        return _ticks_to_ns(self._timed_ticks)

    @property
    def _received_until(self) -> int:
        return self._held_from + len(self._held)

    def _scan(self) -> None:
        """Find the PCRs in the whole packets that were not looked at yet."""
        first = self._scanned_until - self._held_from
        whole_bytes = (len(self._held) - first) // PACKET_BYTES * PACKET_BYTES
        if not whole_bytes:
            return
        if not self._scanned_until:
            self._require_transport_stream()
        block = self._held[first : first + whole_bytes]
        check_rhythm(block, self._scanned_until)
        for at in packets_with_pcr(block):
            self._see_pcr(block, at)
        self._scanned_until += whole_bytes

    def _see_pcr(self, block: bytearray, at: int) -> None:
        """Give times to the bytes between the last PCR and this one."""
        pid, pcr = read_pid(block, at), read_pcr(block, at)
        if pcr is None or (self._clock_pid is not None and pid != self._clock_pid):
            return
        self._clock_pid = pid
        position = self._scanned_until + at
        if self._anchor is None:
            self._anchor = (position, pcr)
            return
        step_bytes, step_ticks = position - self._anchor[0], (pcr - self._anchor[1]) % PCR_MODULUS
        if not step_ticks and not read_discontinuity(block, at):
            return
        if step_ticks <= MAX_PCR_STEP_TICKS and not read_discontinuity(block, at):
            self._go_on_until(self._anchor[0], (step_bytes, step_ticks))
            self._rate = (step_bytes, step_ticks)
        if self._rate is not None:
            self._go_on_until(position, self._rate)
        self._anchor = (position, pcr)

    def _go_on_without_clock(self) -> None:
        """Time everything received at the last rate, and take the next PCR of whichever PID."""
        if self._rate is None:
            raise UsageError(
                "the transport stream has no clock: fewer than two PCRs in "
                f"{self._received_until - self._timed_until} bytes; give its rate, for instance --rate 8M",
            )
        self._go_on_until(self._received_until, self._rate)
        self._anchor = None
        self._clock_pid = None

    def _go_on_until(self, position: int, rate: tuple[int, int]) -> None:
        """Give times to the datagrams that start before `position`, at `rate` = (bytes, ticks)."""
        step_bytes, step_ticks = rate
        begin, ticks = self._timed_until, self._timed_ticks
        for start in range(self._next_start, position, DATAGRAM_BYTES):
            self._offsets.append(_ticks_to_ns(ticks + (start - begin) * step_ticks // step_bytes))
            self._next_start = start + DATAGRAM_BYTES
        if position > begin:
            self._timed_ticks += (position - begin) * step_ticks // step_bytes
            self._timed_until = position

    def _cut(self, *, last: bool) -> Run:
        """Take the datagrams that are complete and have a time off the held bytes."""
        whole, rest = divmod(len(self._held), DATAGRAM_BYTES)
        count = min(len(self._offsets), whole + (1 if last and rest else 0))
        data = bytes(memoryview(self._held)[: count * DATAGRAM_BYTES])
        del self._held[: len(data)]
        self._held_from += len(data)
        return Run(
            Cut(data, DATAGRAM_BYTES),
            [self._offsets.popleft() for _ in range(count)],
        )

    def _require_transport_stream(self) -> None:
        if not self._held_from and not looks_like_transport_stream(self._held):
            raise UsageError("the input is not an MPEG transport stream; send it as raw data with --rate")


def _ticks_to_ns(ticks: int) -> int:
    return ticks * 1_000 // 27
