"""Decides what the removal of a device means for the stream: its fence epoch, and what its sender is told.

```
on air 12, next 13 published        13 granted to the device: fence 14, 13 is skipped
                                    13 not granted to it:     fence 13, nothing is skipped
in a chain, 12 granted:  13 follows from 12: fence 14, 13 is skipped; 14 is a fresh start
                         nothing published:  fence 13, which is a fresh start
```
A *fence epoch* is the first that the device cannot have. Epochs below it go on air no more, but that which
is: the sender hears so with the answers to its reports, until one not below it is on air.
"""

from collections.abc import Container, Iterable
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
    chains: Container[Epoch] = (),
) -> FencePlan:
    """Return what the removal of a device from a channel means, before anything is written.

    `highest_on_air` is the highest epoch that ever was on air, `highest_granted` the highest of which the
    device got the key. `window_ms` is how long receivers have to fetch the key of a change at once.

    `chains` are those of which the device was granted any key, each by its next fresh start: it can follow
    them without another grant, so what is on air of them needs a fence whatever the schedule is.
    """
    followed = [row.epoch for row in view.epochs if row.has_link and row.fresh_at in chains]
    known = [epoch for epoch in (highest_on_air, highest_granted, *followed) if epoch is not None]
    epoch = Epoch(max(known) + 1) if known else FIRST_EPOCH
    is_needed = bool(followed) or (is_urgent and view.on_air is not None)
    if is_needed:
        epoch = _beyond_chain(view, epoch)
    skipped = tuple(each for each in published(view) if each < epoch)
    is_needed = is_needed or bool(skipped)
    return FencePlan(epoch, skipped, Fence(epoch, is_urgent, window_ms) if is_needed else None)


def plan_fresh_start(
    view: ChannelView, highest_on_air: int | None, *, is_urgent: bool, window_ms: int
) -> FencePlan:
    """Return what a commanded fresh start of a chain means: all that is published is skipped (S0-11).

    With nothing on air or published there is no fence: the next key follows from none.
    """
    skipped = published(view)
    epoch = Epoch(max((*skipped, highest_on_air or 0)) + 1)
    is_needed = bool(skipped) or view.on_air is not None
    fence = Fence(epoch, is_urgent, window_ms, is_commanded=True) if is_needed else None
    return FencePlan(epoch, skipped, fence)


def published(view: ChannelView) -> tuple[Epoch, ...]:
    """Return the epochs whose keys are published and that were not on air yet, in order."""
    return tuple(row.epoch for row in view.epochs if row.state is KeyState.PUBLISHED and row.has_key)


def _beyond_chain(view: ChannelView, epoch: Epoch) -> Epoch:
    """Return the first epoch from `epoch` on that no published key reaches from below: a fresh start."""
    for row in view.epochs:
        if row.epoch >= epoch and row.has_link and row.follows is not None and row.follows < epoch:
            epoch = Epoch(row.epoch + 1)
    return epoch


def order_for(fences: Iterable[Fence], epoch: int) -> FenceOrder | None:
    """Return what a sender is told that is on air under `epoch`: all fences ahead of it in one order."""
    ahead = [fence for fence in fences if fence.epoch > epoch]
    if not ahead:
        return None
    return FenceOrder(
        epoch=max(fence.epoch for fence in ahead),
        window_ms=max(fence.window_ms for fence in ahead),
        urgent=any(fence.is_urgent for fence in ahead),
        commanded=all(fence.is_commanded for fence in ahead),
    )
