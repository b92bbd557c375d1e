"""Owns run slots: (SSRC, epoch) pairs that a sender has reserved, each consumed before its first packet.

Slots of a lease have consecutive epochs and fresh SSRCs. A start takes the next slot's SSRC and epoch; a
scheduled change takes the next slot's epoch and keeps the SSRC. So a start after a crash finds, as its next
slot, the epoch that the last run had published and not used, which receivers may hold already.
"""

from dataclasses import dataclass, replace
from typing import Self

from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch, Ssrc

RUN_SLOTS = 16
"""How many slots a lease keeps free: as many starts as a sender has without any key server."""


@dataclass(frozen=True, slots=True)
class RunSlot:
    """One reserved pair."""

    ssrc: Ssrc
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class Lease:
    """The slots not yet consumed, in order of their epochs; none up to the epoch `consumed` comes back."""

    slots: tuple[RunSlot, ...] = ()
    consumed: int = -1

    def peek(self) -> RunSlot:
        """Return the next slot; raises LocalError if none is left."""
        if not self.slots:
            raise LocalError("no run slot is left and no key server gives more; start again when one answers")
        return self.slots[0]

    def consume(self, epoch: Epoch) -> Self:
        """Return the lease without the slots up to `epoch`."""
        left = tuple(slot for slot in self.slots if slot.epoch > epoch)
        return replace(self, slots=left, consumed=max(self.consumed, epoch))

    def extend(self, slots: tuple[RunSlot, ...]) -> Self:
        """Return the lease with those of `slots` that follow the last one.

        The answer may have crossed a consumption on its way: a slot consumed meanwhile is not taken again,
        also when it was the last.
        """
        last = self.slots[-1].epoch if self.slots else self.consumed
        return replace(self, slots=self.slots + tuple(slot for slot in slots if slot.epoch > last))
