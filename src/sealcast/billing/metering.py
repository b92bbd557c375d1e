"""Owns metering: which epochs a subscriber is charged for, from grants and from what went on air.

```
on air      │ 1 schedule      │ 2 schedule x 3 start │ 4 schedule …     the sender crashed in 2
turns       │ a               │ b                    │ c                3 belongs to the turn that 2 began
granted       ●                              ●                          charged: 1, 3; key epochs: a, b
```
A *turn* is one place of the schedule: an epoch that began by it, with those that cut it short before its
lifetime had passed. So a sender that crashes ten times in an hour costs nobody more key epochs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sealcast.billing.usage import UsageEvent

SCHEDULED = "schedule"
"""The cause of an epoch that the schedule began; others cut one short: start, eviction, command."""


@dataclass(frozen=True, slots=True)
class Aired:
    """One epoch as it was on air; instants by the key server's clock, totals as its sender reported them."""

    channel: int
    epoch: int
    cause: str
    start_ms: int
    end_ms: int
    bytes: int
    packets: int


def turns(aired: Iterable[Aired], lifetime_ms: int) -> dict[int, int]:
    """Return for each epoch of one channel the epoch that began its turn.

    An epoch with another cause than the schedule belongs to the turn under way, unless a lifetime has passed
    since that turn began, or there is none.
    """
    begun: dict[int, int] = {}
    turn: Aired | None = None
    for each in sorted(aired, key=lambda one: one.epoch):
        cuts_short = turn is not None and each.start_ms - turn.start_ms < lifetime_ms
        if turn is None or each.cause == SCHEDULED or not cuts_short:
            turn = each
        begun[each.epoch] = turn.epoch
    return begun


def meter(
    device: str, charged: Iterable[int], aired: Sequence[Aired], turn_of: Mapping[int, int]
) -> tuple[UsageEvent, ...]:
    """Return one event for each epoch that a device is charged for and that went on air, in order.

    `charged` are the epochs that its grants count for; one that several count for is one event.
    """
    wanted = set(charged)
    return tuple(
        UsageEvent(
            id=f"{each.channel}/{each.epoch}/{device}",
            start_ms=each.start_ms,
            end_ms=each.end_ms,
            bytes=each.bytes,
            packets=each.packets,
            turn=f"{each.channel}/{turn_of[each.epoch]}",
        )
        for each in sorted(aired, key=lambda one: one.epoch)
        if each.epoch in wanted
    )
