"""Owns the replay window (RFC 3711 §3.3.2): which packet indices of one (SSRC, epoch) were opened."""

WINDOW_PACKETS = 2_048
"""Above the 1,024 that reordering in networks with several paths needs; 256 bytes each."""


class ReplayWindow:
    """Remembers the last `WINDOW_PACKETS` indices; anything older counts as seen."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest = -1
        self._seen = 0

    def is_new(self, index: int) -> bool:
        """Whether a packet of that index may still be opened. Changes nothing."""
        behind = self._highest - index
        if behind < 0:
            return True
        return behind < WINDOW_PACKETS and not self._seen >> behind & 1

    def mark(self, index: int) -> None:
        """Record a packet that verified; call it only after `is_new`."""
        ahead = index - self._highest
        if ahead > 0:
            shifted = self._seen << ahead if ahead < WINDOW_PACKETS else 0
            self._seen = (shifted | 1) & _MASK
            self._highest = index
        else:
            self._seen |= 1 << -ahead

    def is_ahead(self, index: int) -> bool:
        """Whether a packet of that index, and all that follow, are newer than any seen."""
        return index > self._highest

    def mark_run(self, index: int, count: int) -> None:
        """Record `count` packets that verified, the first at `index`; call it only after `is_ahead`."""
        last = index + count - 1
        ahead = last - self._highest
        shifted = self._seen << ahead if ahead < WINDOW_PACKETS else 0
        self._seen = (shifted | (1 << count) - 1) & _MASK
        self._highest = last


_MASK = (1 << WINDOW_PACKETS) - 1
