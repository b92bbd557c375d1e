"""Owns metering: which epochs a subscriber is charged for, from grants and from what went on air.

```
on air      │ 1 schedule      │ 2 schedule x 3 start │ 4 schedule …     the sender crashed in 2
turns       │ a               │ b                    │ c                3 belongs to the turn that 2 began
granted       ●                              ●                          charged: 1, 3; key epochs: a, b
```
A *turn* is one place of the schedule: an epoch that began by it, with those that cut it short before its
lifetime had passed. So a sender that crashes ten times in an hour costs nobody more key epochs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sealcast.billing.air import Aired, AirLog
from sealcast.billing.usage import UsageEvent

SCHEDULED = "schedule"
"""The cause of an epoch that the schedule began; others cut one short: start, eviction, command."""

UNREPORTED = "unreported"
"""The cause of an epoch of which the key server heard only when it was over."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn of the schedule: the epoch that began it, and when."""

    epoch: int
    start_ms: int


def turn_of(turn: Turn | None, cause: str, epoch: int, start_ms: int, lifetime_ms: int) -> Turn:
    """Return the turn of an epoch that follows while `turn` is under way; None: it is the first.

    An epoch with another cause than the schedule belongs to the turn under way, unless a lifetime has passed
    since that turn began, or there is none.
    """
    if turn is None or cause == SCHEDULED or start_ms - turn.start_ms >= lifetime_ms:
        return Turn(epoch, start_ms)
    return turn


def turns(aired: Iterable[Aired], lifetime_ms: int) -> dict[int, int]:
    """Return for each epoch of one channel the epoch that began its turn."""
    begun: dict[int, int] = {}
    turn: Turn | None = None
    for each in sorted(aired, key=lambda one: one.epoch):
        if each.part == 1:
            turn = turn_of(turn, each.cause, each.epoch, each.start_ms, lifetime_ms)
            begun[each.epoch] = turn.epoch
    return begun


def air_log(channel: int, aired: Iterable[Aired], lifetime_ms: int) -> AirLog:
    """Return the log of all that went on air on a channel, each epoch under its turn."""
    parts = tuple(aired)
    begun = turns(parts, lifetime_ms)
    return AirLog(channel, (replace(each, turn=begun[each.epoch]) for each in parts))


def meter(device: str, charged: Iterable[int], air: AirLog) -> tuple[UsageEvent, ...]:
    """Return one event for each part of an epoch that a device is charged for and that went on air, in order.

    `charged` are the epochs that its grants count for; one that several count for is one event.
    """
    return air.events(device, charged)
