"""Owns when a SEAL packet carries the update to the next key: k times for each change, spread (S0-9)."""

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import update_spacing_ms
from sealcast.keys.schedule import Update
from sealcast.wire.rekey import Rekey, pack_rekey


class Rekeying:
    """The repeats of one update; the first is due when the window opens, or at once if it is open."""

    __slots__ = ("_left", "_next_ns", "_spacing_ns", "message")

    def __init__(
        self, update: Update, spec: ChannelSpec, *, switch_ns: int, window_ms: int, now: int
    ) -> None:
        """Plan the repeats in the window of `window_ms` that ends with the switch."""
        self.message = pack_rekey(Rekey(update.follows, update.key_id, update.wrapped))
        self._left = spec.repeats
        self._next_ns = max(now, switch_ns - window_ms * NS_PER_MS)
        self._spacing_ns = update_spacing_ms(spec, window_ms) * NS_PER_MS

    @property
    def due_ns(self) -> int | None:
        """When the next repeat is due, None after the last."""
        return self._next_ns if self._left else None

    def take(self, now: int) -> bool:
        """Whether a repeat leaves now; it is counted as sent.

        One that is late does not put the next one off: all leave before the receivers that missed them ask.
        """
        if not self._left or now < self._next_ns:
            return False
        self._left -= 1
        self._next_ns += self._spacing_ns
        return True
