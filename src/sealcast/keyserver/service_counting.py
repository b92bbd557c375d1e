"""Decides which epochs on air a grant counts for: what a device could open by it, and so is to be charged.

```
on air        5   6   7   8 | 9  10          a fresh start at 9: another chain
grant 6-11        ●   ●   ●                  of the chain of 6, whose next fresh start was to be 11
erased in 7       ●   ●                      a verified statement that the keys are destroyed
```
A grant of a fetched key counts for its own epoch. Two grants of a device may count for the same one, if it
destroyed its keys in it and came back: that is charged once. Whether the device received is no question here:
heartbeats never end a charge, and who leaves in silence can follow a chain to its end.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.ids import Epoch


@dataclass(frozen=True, slots=True)
class AiredEpoch:
    """An epoch that went on air at `on_air_at_ms`; `fresh_at` names its chain, None for a fetched key."""

    epoch: Epoch
    on_air_at_ms: int
    fresh_at: Epoch | None = None


@dataclass(frozen=True, slots=True)
class GrantRow:
    """A grant as it is recorded: of `epoch`, and of a chain up to `until_epoch`, which is not in it."""

    epoch: Epoch
    granted_at_ms: int
    until_epoch: Epoch | None = None


def counted(
    grant: GrantRow, aired: Iterable[AiredEpoch], erased_at_ms: Iterable[int] = ()
) -> tuple[Epoch, ...]:
    """Return the epochs that a grant counts for, in order.

    `erased_at_ms` are the instants of the device's verified erasure statements that cover a key of this grant
    and are not void; those before the grant say nothing of it. The epoch on air at such an instant counts.
    """
    end_ms = min((at_ms for at_ms in erased_at_ms if at_ms >= grant.granted_at_ms), default=None)
    return tuple(
        sorted(
            each.epoch
            for each in aired
            if _is_of(grant, each) and (end_ms is None or each.on_air_at_ms < end_ms)
        )
    )


def _is_of(grant: GrantRow, aired: AiredEpoch) -> bool:
    """Whether the key of an epoch is the granted one, or follows from it."""
    if grant.until_epoch is None:
        return aired.epoch == grant.epoch
    return grant.epoch <= aired.epoch < grant.until_epoch and aired.fresh_at == grant.until_epoch
