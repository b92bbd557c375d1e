"""Owns when a SEAL packet carries the update to the next key: k times for each change, spread (S0-9)."""

from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS
from sealcast.core.update import Update
from sealcast.keys.policy import update_spacing_ms
from sealcast.wire.rekey import pack_rekey


class Rekeying:
    """The repeats of one update; the first is due when the window opens, or at once if it is open.

    `left` are to be sent, the next one at `due_ns`; both are read with each batch of packets.
    """

    __slots__ = ("_spacing_ns", "due_ns", "left", "message")

    def __init__(
        self, update: Update, spec: ChannelSpec, *, switch_ns: int, window_ms: int, now: int
    ) -> None:
        """Plan the repeats in the window of `window_ms` that ends with the switch."""
        self.message = pack_rekey(update)
        self.left = spec.repeats
        self.due_ns = max(now, switch_ns - window_ms * NS_PER_MS)
        self._spacing_ns = update_spacing_ms(spec, window_ms) * NS_PER_MS

    def take(self, now: int) -> bool:
        """Whether a repeat leaves now; it is counted as sent.

        One that is late does not put the next one off: all leave before the receivers that missed them ask.
        """
        if not self.left or now < self.due_ns:
            return False
        self.left -= 1
        self.due_ns += self._spacing_ns
        return True
