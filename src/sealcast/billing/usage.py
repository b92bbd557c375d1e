"""Owns usage: what a subscriber had of a channel, from what servers recorded, and how it falls into spans.

```
event     ├──────────── epoch on air, 10 s, 12,500,000 bytes ────────────┤
cuts                 │ price changes           │ period ends
parts     ├─ 3 s ────┼────── 4 s ──────────────┼──── 3 s ───────────────┤   sums are exact
```
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

from sealcast.core.errors import LocalError


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities that add up: ms granted on air, bytes, packets, key epochs of the schedule."""

    received_ms: int = 0
    bytes: int = 0
    packets: int = 0
    epochs: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One epoch that was granted and on air, as charged: the whole of it, from `start_ms` to `end_ms`.

    `id` is the same for the same fact, however often and in whatever order it is told. `turn` names the turn
    of the schedule to which the epoch belongs (`metering.turns`): all of one turn are one key epoch.
    """

    id: str
    start_ms: int
    end_ms: int
    bytes: int = 0
    packets: int = 0
    turn: str = ""

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms or self.bytes < 0 or self.packets < 0:
            raise LocalError(f"usage {self.id} ends before it begins, or is less than nothing")


def unique(events: Iterable[UsageEvent]) -> tuple[UsageEvent, ...]:
    """Return events once each, in one order; raises LocalError if two facts have one id."""
    known: dict[str, UsageEvent] = {}
    for event in events:
        if known.setdefault(event.id, event) != event:
            raise LocalError(f"two different facts are recorded as usage {event.id}")
    return tuple(sorted(known.values(), key=lambda event: (event.start_ms, event.id)))


def split_event(event: UsageEvent, cuts: Sequence[int]) -> tuple[tuple[int, Amounts], ...]:
    """Return (start, amounts) of the parts of an event between `cuts`, rising instants; none outside of it.

    Time, bytes and packets go by the share of its time; what does not divide goes to the later part. Parts
    add up to the event. Key epochs are counted apart (`first_of_turns`).
    """
    inside = [cut for cut in cuts if event.start_ms < cut < event.end_ms]
    bounds = [event.start_ms, *inside, event.end_ms]
    length_ms = event.end_ms - event.start_ms
    parts: list[tuple[int, Amounts]] = []
    for start_ms, end_ms in pairwise(bounds):
        first, last = start_ms - event.start_ms, end_ms - event.start_ms
        amounts = Amounts(
            received_ms=end_ms - start_ms,
            bytes=_between(event.bytes, first, last, length_ms),
            packets=_between(event.packets, first, last, length_ms),
        )
        parts.append((start_ms, amounts))
    return tuple(parts)


def first_of_turns(events: Sequence[UsageEvent]) -> tuple[int, ...]:
    """Return when each turn of the schedule begins for somebody: at its first event. Takes `unique` ones."""
    begins: dict[str, int] = {}
    for event in events:
        begins.setdefault(event.turn or event.id, event.start_ms)
    return tuple(sorted(begins.values()))


def _between(total: int, first: int, last: int, length: int) -> int:
    """Return the part of `total` from `first` to `last` of `length`; an event without length is one part."""
    if not length:
        return total
    return total * last // length - total * first // length
