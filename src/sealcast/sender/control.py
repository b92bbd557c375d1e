"""Owns when SEAL packets are due: 200 ms or 8,192 data packets, three around a change, 5 % of the rate."""

from sealcast.core.ports import NS_PER_MS, NS_PER_S

INTERVAL_NS = 200 * NS_PER_MS
"""A late joiner waits at most this long for the counters."""

INTERVAL_NS_MAX = 5 * NS_PER_S
"""Slower than this no stream is told of its keys (the least interval of RFC 3550 §6.2)."""

PACKETS_MAX = 8_192
"""An eighth of a ROC: at any speed a joiner hears of the ROC before it changes again."""

RATE_SHARE = 0.05
"""Control traffic's share of the stream (RFC 3550 §6.2)."""

BURST = 3
BURST_SPACING_NS = 30 * NS_PER_MS
"""The packets around a change are spread, so that one burst of loss does not take them all."""


class ControlSchedule:
    """Decides when the next SEAL packet leaves; holds no packet itself."""

    __slots__ = ("_burst_left", "_burst_ns", "_bytes", "_due_ns", "_last_ns", "_packets")

    def __init__(self, now: int) -> None:
        self._last_ns = now
        self._due_ns = now
        self._packets = 0
        self._bytes = 0
        self._burst_left = 0
        self._burst_ns = now

    def note_data(self, packets: int, size_bytes: int) -> None:
        """Count what the stream sent."""
        self._packets += packets
        self._bytes += size_bytes

    def start_burst(self, now: int) -> None:
        """Make three packets due, the first at once."""
        self._burst_left = BURST
        self._burst_ns = now

    def is_due(self, now: int) -> bool:
        """Whether a SEAL packet should leave now."""
        return now >= self.next_timeout() or self._packets >= PACKETS_MAX

    def note_control(self, size_bytes: int, now: int) -> None:
        """Count a SEAL packet that left, and plan the next."""
        if self._burst_left:
            self._burst_left -= 1
            self._burst_ns = now + BURST_SPACING_NS
        elapsed_ns = max(1, now - self._last_ns)
        affordable_ns = int(size_bytes * elapsed_ns / (RATE_SHARE * max(1, self._bytes)))
        self._due_ns = now + min(INTERVAL_NS_MAX, max(INTERVAL_NS, affordable_ns))
        if elapsed_ns >= INTERVAL_NS or self._packets >= PACKETS_MAX:
            self._last_ns, self._packets, self._bytes = now, 0, 0

    def next_timeout(self) -> int:
        """Return when the next packet is due by time."""
        return min(self._due_ns, self._burst_ns) if self._burst_left else self._due_ns
