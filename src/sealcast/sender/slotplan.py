"""Owns which run slots a session has left: used ones go, burned ones are recorded before any other."""

from sealcast.core.ids import Epoch
from sealcast.keys.lease import RUN_SLOTS, Lease, RunSlot

RENEW_BELOW = RUN_SLOTS // 2 + RUN_SLOTS // 4
"""A lease with fewer free slots is topped up, along with the next change."""


class SlotPlan:
    """The slots of one run, from its first; raises LocalError if the lease has none."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.first_unused = lease.peek().epoch
        """The lowest epoch that may still be used."""
        self._recorded = self._burned = self.first_unused - 1

    @property
    def wants_more(self) -> bool:
        """Whether so few are left that more should be asked for."""
        return len(self.lease.slots) < RENEW_BELOW

    @property
    def unrecorded(self) -> Epoch | None:
        """The highest burned epoch that is not durably recorded yet."""
        return Epoch(self._burned) if self._recorded < self._burned else None

    def extend(self, slots: tuple[RunSlot, ...]) -> bool:
        """Take more slots; whether there were any new ones."""
        before = len(self.lease.slots)
        self.lease = self.lease.extend(slots)
        return len(self.lease.slots) > before

    def note_recorded(self, epoch: Epoch) -> None:
        """Note that an epoch, and all below it, is durably recorded as used."""
        self._recorded = max(self._recorded, epoch)
        self._consume(epoch)

    def burn(self, epoch: int) -> None:
        """Let no epoch up to this one be used any more; it is to be recorded."""
        self._burned = max(self._burned, epoch)
        self._consume(Epoch(self._burned))

    def _consume(self, epoch: Epoch) -> None:
        self.lease = self.lease.consume(epoch)
        self.first_unused = Epoch(max(self.first_unused, epoch + 1))
