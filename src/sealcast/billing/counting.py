"""Decides which epochs on air a grant counts for: what a device could open by it, and so is to be charged.

```
on air        5   6   7   8 | 9  10          a fresh start at 9: another chain
grant 6-11        ●   ●   ●                  of the chain of 6, whose next fresh start was to be 11
erased in 7       ●   ●                      a verified statement that 7, or what is after it, is destroyed
```
A grant of a fetched key counts for its own epoch. Two grants of a device may count for the same one, if it
destroyed its keys in it and came back: that is charged once. Whether the device received is no question here:
heartbeats never end a charge, and who leaves in silence can follow a chain to its end.

A device is told all its live keys when it begins to withdraw. A statement that names only older ones of a
chain than the newest on air at that time proves nothing: from that one the rest of the chain follows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class AiredEpoch(NamedTuple):
    """An epoch that went on air at `on_air_at_ms`; `fresh_at` names its chain, None for a fetched key."""

    epoch: int
    on_air_at_ms: int
    fresh_at: int | None = None


class GrantRow(NamedTuple):
    """A grant as it is recorded: of `epoch`, and of a chain up to `until_epoch`, which is not in it."""

    epoch: int
    granted_at_ms: int
    until_epoch: int | None = None


class Erasure(NamedTuple):
    """A key that a verified statement names, that is not void; `fresh_at` names the chain of its epoch.

    The withdrawal began at `begun_at_ms`, and its statement arrived at `erased_at_ms`.
    """

    epoch: int
    begun_at_ms: int
    erased_at_ms: int
    fresh_at: int | None = None


def counted(
    grant: GrantRow, aired: Iterable[AiredEpoch], erasures: Iterable[Erasure] = ()
) -> tuple[int, ...]:
    """Return the epochs that a grant counts for, in order.

    `aired` are those of the channel, at least all of the grant's chain; `erasures` those of the device on it.
    What was erased before the grant says nothing of it. The epoch on air at an erasure counts.
    """
    mine = [each for each in aired if is_of(grant, each)]
    end_ms = min((each.erased_at_ms for each in erasures if _ends(each, grant, mine)), default=None)
    return tuple(sorted(each.epoch for each in mine if end_ms is None or each.on_air_at_ms < end_ms))


def is_of(grant: GrantRow, aired: AiredEpoch) -> bool:
    """Whether the key of an epoch is the granted one, or follows from it."""
    if grant.until_epoch is None:
        return aired.epoch == grant.epoch
    return grant.epoch <= aired.epoch < grant.until_epoch and aired.fresh_at == grant.until_epoch


def _ends(erasure: Erasure, grant: GrantRow, mine: Sequence[AiredEpoch]) -> bool:
    """Whether an erasure proves that nothing of a grant is left, `mine` being its epochs on air."""
    if erasure.erased_at_ms < grant.granted_at_ms:
        return False
    if grant.until_epoch is None:
        return erasure.epoch == grant.epoch
    on_air = [each.epoch for each in mine if each.on_air_at_ms <= erasure.begun_at_ms]
    return erasure.fresh_at == grant.until_epoch and erasure.epoch >= max((grant.epoch, *on_air))
