"""Owns the counts of one SSRC from its sequence numbers alone: lost, out of order, twice, begun anew."""

from sealcast.wire.counters import estimate_index
from sealcast.wire.rtp import SEQ_MODULUS

WINDOW_PACKETS = 1_024
"""How far back a packet is still told from its copy."""

JUMP_PACKETS = 3_000
"""A greater step is a new beginning, not loss (MAX_DROPOUT of RFC 3550 §A.1)."""

_MASK = (1 << WINDOW_PACKETS) - 1


class SequenceTracker:
    """Follows the sequence numbers of one SSRC; none of this is authenticated."""

    __slots__ = (
        "_base",
        "_highest",
        "_seen",
        "_span",
        "_unique",
        "duplicates",
        "jumps",
        "packets",
        "reordered",
    )

    def __init__(self) -> None:
        self.packets = 0
        self.reordered = 0
        self.duplicates = 0
        self.jumps = 0
        self._base = -1
        self._highest = -1
        self._seen = 0
        self._unique = 0
        self._span = 0

    @property
    def highest_seq(self) -> int:
        """The highest sequence number so far."""
        return self._highest % SEQ_MODULUS

    @property
    def lost(self) -> int:
        """Packets between the first and the last that did not come, over all beginnings."""
        return max(0, self._span + self._highest - self._base + 1 - self._unique) if self.packets else 0

    def add(self, seq: int) -> None:
        """Take the sequence number of a packet that arrived."""
        self.packets += 1
        index = estimate_index(self._highest, seq) if self._highest >= 0 else SEQ_MODULUS + seq
        step = index - self._highest
        if self._highest < 0 or abs(step) > JUMP_PACKETS:
            self._begin(index)
        elif step > 0:
            self._seen = (self._seen << step | 1) & _MASK
            self._highest = index
            self._unique += 1
        else:
            self._take_late(-step)

    def _begin(self, index: int) -> None:
        if self._highest >= 0:
            self.jumps += 1
            self._span += self._highest - self._base + 1
        self._base = self._highest = SEQ_MODULUS + index % SEQ_MODULUS
        self._seen = 1
        self._unique += 1

    def _take_late(self, behind: int) -> None:
        bit = 1 << behind
        if behind >= WINDOW_PACKETS or self._seen & bit:
            self.duplicates += 1
            return
        self._seen |= bit
        self._base = min(self._base, self._highest - behind)
        self.reordered += 1
        self._unique += 1
