"""Owns telling commits of which replicas hear nothing from the others: after those nobody looks for changes.

A journal's rows and a round's own bookkeeping change nothing that is published. Units of work that say so are
counted; a transaction of others as well is none of these. All of it happens in the writer's thread.
"""

from sealcast.storage.unitofwork import Batch


class QuietUnits:
    """Counts quiet units: `begin` with a transaction, `unit` in each of them, `is_all` after the commit."""

    def __init__(self) -> None:
        self._count = 0

    def begin(self) -> None:
        """Begin a transaction."""
        self._count = 0

    def unit(self) -> None:
        """Say that the unit of work that runs changes nothing that is published."""
        self._count += 1

    def is_all(self, batch: Batch) -> bool:
        """Whether the transaction that was committed had quiet units alone."""
        return self._count >= batch.units
