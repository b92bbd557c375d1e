"""Decides what the removal of a device means for the stream: its fence epoch, and what its sender is told.

```
on air 12, next 13 published        13 granted to the device: fence 14, 13 is skipped
                                    13 not granted to it:     fence 13, nothing is skipped
```
A *fence epoch* is the first that the device cannot have. Epochs below it go on air no more, but that which
is: the sender hears so with the answers to its reports, until one not below it is on air.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.ids import Epoch
from sealcast.keys.table import KeyState
from sealcast.keyserver.values import ChannelView, Fence
from sealcast.messages.answers import FenceOrder

FIRST_EPOCH = Epoch(1)
"""Of every channel: nobody has its key while nothing was granted."""


@dataclass(frozen=True, slots=True)
class FencePlan:
    """`epoch` is the device's fence epoch, `skipped` the published ones that never go on air.

    `fence` is what the channel's senders must hear of, None if the schedule alone shuts the device out.
    """

    epoch: Epoch
    skipped: tuple[Epoch, ...]
    fence: Fence | None


def plan_fence(
    view: ChannelView,
    highest_on_air: int | None,
    highest_granted: int | None,
    *,
    is_urgent: bool,
    window_ms: int,
) -> FencePlan:
    """Return what the removal of a device from a channel means, before anything is written.

    `highest_on_air` is the highest epoch that ever was on air, `highest_granted` the highest of which the
    device got the key. `window_ms` is how long receivers have to fetch the key of a change at once.
    """
    known = [epoch for epoch in (highest_on_air, highest_granted) if epoch is not None]
    epoch = Epoch(max(known) + 1) if known else FIRST_EPOCH
    published = (row for row in view.epochs if row.state is KeyState.PUBLISHED and row.has_key)
    skipped = tuple(row.epoch for row in published if row.epoch < epoch)
    is_needed = bool(skipped) or (is_urgent and view.on_air is not None)
    return FencePlan(epoch, skipped, Fence(epoch, is_urgent, window_ms) if is_needed else None)


def order_for(fences: Iterable[Fence], epoch: int) -> FenceOrder | None:
    """Return what a sender is told that is on air under `epoch`: all fences ahead of it in one order."""
    ahead = [fence for fence in fences if fence.epoch > epoch]
    if not ahead:
        return None
    return FenceOrder(
        epoch=max(fence.epoch for fence in ahead),
        window_ms=max(fence.window_ms for fence in ahead),
        urgent=any(fence.is_urgent for fence in ahead),
    )
