"""Owns what is learnt from one pass over a transport stream that is to be looped; changes no byte.

The duration of a pass is the time from its first to its last PCR and that of the bytes outside the two, at
the mean rate. Where a stream's last unit would still overlap its first one, the pass counts as longer, so
that timestamps rise over the seam.
"""

from dataclasses import dataclass, field

from sealcast.sender.adts import frames_duration
from sealcast.sender.mpegts import (
    NULL_PID,
    PACKET_BYTES,
    PCR_HZ,
    PCR_MODULUS,
    PTS_MODULUS,
    TICKS_PER_PTS,
    PesTimes,
    packets_with_pcr,
    payload_start,
    pes_payload,
    read_discontinuity,
    read_pcr,
    read_pes_times,
    read_pid,
)

MAX_SEAM_TICKS = 2 * PCR_HZ
"""Longest stretch of a pass for the sake of one stream; what would need more has a clock of its own."""

MAX_PCR_STEP_TICKS = 5 * PCR_HZ
"""A longer step between two PCRs is a jump of the clock and tells nothing of the rate."""


MAX_UNIT_BYTES = 1 << 16
"""Longest PES packet that says its length; only pictures are longer, and those are not kept."""


@dataclass(slots=True)
class _Units:
    """What one PID's PES packets say about the ends of a pass; times are in 90 kHz ticks."""

    first: int
    last: int
    is_video: bool
    step: int = 0
    bytes_before_last: int = 0
    last_unit: bytearray = field(default_factory=bytearray)

    def begin(self, times: PesTimes) -> None:
        """Note that the next unit begins."""
        self.step = (times.decode - self.last) % PTS_MODULUS
        self.last = times.decode
        self.bytes_before_last += len(self.last_unit)
        self.last_unit.clear()

    def extend(self, block: bytes, at: int) -> None:
        """Keep what the packet adds to the unit, unless it is part of a picture."""
        if not self.is_video and len(self.last_unit) < MAX_UNIT_BYTES:
            self.last_unit += block[payload_start(block, at) : at + PACKET_BYTES]

    def span(self) -> int:
        """Return how long the pass is for this PID: from its first unit to the end of its last.

        A picture lasts as long as the one before it, AAC as long as its frames say. What else there is lasts
        as long as its size lets expect, and one tick at least.
        """
        until_last = (self.last - self.first) % PTS_MODULUS
        if self.is_video or not self.bytes_before_last:
            return until_last + max(self.step, 1)
        by_size = until_last * len(self.last_unit) // self.bytes_before_last
        return until_last + max(frames_duration(pes_payload(self.last_unit)) or by_size, 1)


class _Clock:
    """The PCRs of the first PID that has any; positions are bytes from the start of the pass."""

    def __init__(self, pid: int, pcr: int, position: int) -> None:
        self.pid = pid
        self.first, self.first_at = pcr, position
        self.last, self.last_at = pcr, position
        self._steady_bytes = 0
        self._steady_ticks = 0

    def see(self, pcr: int, position: int, *, jumps: bool) -> None:
        """Take the next PCR; `jumps` where the stream announces a new time base."""
        step_ticks = (pcr - self.last) % PCR_MODULUS
        if not jumps and 0 < step_ticks <= MAX_PCR_STEP_TICKS:
            self._steady_bytes += position - self.last_at
            self._steady_ticks += step_ticks
        self.last, self.last_at = pcr, position

    def duration_ticks(self, total_bytes: int) -> int:
        """Return the shift that lets the first PCR of the next pass follow the last of this one."""
        outside_bytes = total_bytes - (self.last_at - self.first_at)
        outside_ticks = outside_bytes * self._steady_ticks // self._steady_bytes if self._steady_bytes else 0
        return (self.last - self.first) % PCR_MODULUS + outside_ticks


class PassMeasure:
    """Takes the whole packets of one pass and answers what moves at its end."""

    def __init__(self) -> None:
        self.is_scrambled = False
        self._total_bytes = 0
        self._clock: _Clock | None = None
        self._units: dict[int, _Units] = {}
        self._first_flags: dict[int, int] = {}
        self._last_flags: dict[int, int] = {}

    def take(self, block: bytes) -> None:
        """Look at the next whole packets of the pass; raises FormatError for damaged PES headers."""
        for at in packets_with_pcr(block):
            self._take_pcr(block, at)
        columns = zip(block[1::PACKET_BYTES], block[2::PACKET_BYTES], block[3::PACKET_BYTES], strict=True)
        for i, (high, low, flags) in enumerate(columns):
            pid = (high & 0x1F) << 8 | low
            if pid == NULL_PID:
                continue
            if pid not in self._first_flags:
                self._first_flags[pid] = flags
            self._last_flags[pid] = flags
            if flags & 0xC0:
                self.is_scrambled = True
            if high & 0x40:
                self._take_unit(pid, read_pes_times(block, i * PACKET_BYTES))
            if pid in self._units:
                self._units[pid].extend(block, i * PACKET_BYTES)
        self._total_bytes += len(block)

    def duration_ticks(self) -> int:
        """Return the duration in 27 MHz ticks, a multiple of 300 so that PTS move by the same time.

        Without a PCR it is 0; such a stream cannot be paced and never comes to a second pass.
        """
        if self._clock is None:
            return 0
        ticks = self._clock.duration_ticks(self._total_bytes)
        lacks = [_signed(units.span() * TICKS_PER_PTS - ticks) for units in self._units.values()]
        ticks += max((lack for lack in lacks if 0 < lack <= MAX_SEAM_TICKS), default=0)
        return -(-ticks // TICKS_PER_PTS) * TICKS_PER_PTS

    def counter_steps(self) -> dict[int, int]:
        """Return per PID what its counters of the next pass lack to go on from this one, modulo 16.

        A packet with payload counts one up, one without repeats the counter (§2.4.3.3).
        """
        steps: dict[int, int] = {}
        for pid, first in self._first_flags.items():
            counts_up = first >> 4 & 1
            steps[pid] = ((self._last_flags[pid] & 0x0F) + counts_up - (first & 0x0F)) % 16
        return steps

    def _take_pcr(self, block: bytes, at: int) -> None:
        pid, pcr, position = read_pid(block, at), read_pcr(block, at), self._total_bytes + at
        if pcr is None:
            return
        if self._clock is None:
            self._clock = _Clock(pid, pcr, position)
        elif pid == self._clock.pid:
            self._clock.see(pcr, position, jumps=read_discontinuity(block, at))

    def _take_unit(self, pid: int, times: PesTimes | None) -> None:
        if times is None:
            return
        if pid in self._units:
            self._units[pid].begin(times)
        else:
            self._units[pid] = _Units(times.decode, times.decode, times.is_video)


def _signed(ticks: int) -> int:
    """Return a difference of clock readings modulo the wrap, from minus half to half of it."""
    half = PCR_MODULUS // 2
    return (ticks + half) % PCR_MODULUS - half
