"""Owns when SEAL packets are due: 200 ms or 8,192 data packets, three around a change, 5 % of the rate."""

from sealcast.core.ports import NS_PER_MS, NS_PER_S

INTERVAL_NS = 200 * NS_PER_MS
"""A late joiner waits at most this long for the counters."""

INTERVAL_NS_MAX = 5 * NS_PER_S
"""Slower than this no stream is told of its keys (the least interval of RFC 3550 §6.2)."""

PACKETS_MAX = 8_192
"""An eighth of a ROC: at any speed a joiner hears of the ROC before it changes again."""

DATA_PER_CONTROL = 20
"""Bytes of data that must flow for each byte of control: 5 % of the stream's rate (RFC 3550 §6.2)."""

BURST = 3
BURST_SPACING_NS = 30 * NS_PER_MS
"""The packets around a change are spread, so that one burst of loss does not take them all."""


class ControlSchedule:
    """Decides when the next SEAL packet leaves; holds no packet itself."""

    __slots__ = ("_burst_left", "_burst_ns", "_due_ns", "_next_ns", "_owed_bytes", "_packets", "_sent_ns")

    def __init__(self, now: int) -> None:
        self._due_ns = now
        self._sent_ns = now
        self._packets = 0
        self._owed_bytes = 0
        self._burst_left = 0
        self._burst_ns = now
        # Asked for with each batch of packets, so it is kept.
        self._next_ns = now

    def note_data(self, packets: int, size_bytes: int) -> None:
        """Count what the stream sent."""
        self._packets += packets
        if self._owed_bytes:
            self._owed_bytes = max(0, self._owed_bytes - size_bytes)
            if not self._owed_bytes:
                self._due_ns = self._sent_ns + INTERVAL_NS
                self._schedule()

    def start_burst(self, now: int) -> None:
        """Make three packets due, the first at once."""
        self._burst_left = BURST
        self._burst_ns = now
        self._schedule()

    def is_due(self, now: int) -> bool:
        """Whether a SEAL packet should leave now."""
        return now >= self._next_ns or self._packets >= PACKETS_MAX

    def note_control(self, size_bytes: int, now: int) -> None:
        """Count a SEAL packet that left; the next one waits until enough data has paid for it."""
        if self._burst_left:
            self._burst_left -= 1
            self._burst_ns = now + BURST_SPACING_NS
        cost_bytes = size_bytes * DATA_PER_CONTROL
        self._owed_bytes = min(self._owed_bytes + cost_bytes, BURST * cost_bytes)
        self._sent_ns, self._due_ns, self._packets = now, now + INTERVAL_NS_MAX, 0
        self._schedule()

    def next_timeout(self) -> int:
        """Return when the next packet is due by time."""
        return self._next_ns

    def _schedule(self) -> None:
        self._next_ns = min(self._due_ns, self._burst_ns) if self._burst_left else self._due_ns
