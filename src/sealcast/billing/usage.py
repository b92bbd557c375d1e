"""Owns usage: what a subscriber had of a channel, from what servers recorded, and how it falls into spans.

```
event     ├──────────── epoch on air, 10 s, 12,500,000 bytes ────────────┤
cuts                 │ price changes           │ period ends
parts     ├─ 3 s ────┼────── 4 s ──────────────┼──── 3 s ───────────────┤   sums are exact
```
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from operator import attrgetter, lt
from typing import NamedTuple

from sealcast.core.errors import LocalError

_START, _PLACE = attrgetter("start_ms"), attrgetter("start_ms", "id")


@dataclass(frozen=True, slots=True)
class Amounts:
    """Quantities that add up: ms granted on air, bytes, packets, key epochs of the schedule."""

    received_ms: int = 0
    bytes: int = 0
    packets: int = 0
    epochs: int = 0

    def __add__(self, other: "Amounts") -> "Amounts":
        return Amounts(
            self.received_ms + other.received_ms,
            self.bytes + other.bytes,
            self.packets + other.packets,
            self.epochs + other.epochs,
        )


class UsageEvent(NamedTuple):
    """One epoch that was granted and on air, as charged: the whole of it, from `start_ms` to `end_ms`.

    `id` is the same for the same fact, however often and in whatever order it is told. `turn` names the turn
    of the schedule to which the epoch belongs (`metering.turns`): all of one turn are one key epoch. It ends
    no earlier than it begins, and nothing of it is below 0 (`air.Aired`). A tuple, made three times as fast
    as a dataclass: a bill run makes millions.
    """

    id: str
    start_ms: int
    end_ms: int
    bytes: int = 0
    packets: int = 0
    turn: str = ""


def unique(events: Iterable[UsageEvent]) -> tuple[UsageEvent, ...]:
    """Return events once each, in one order; raises LocalError if two facts have one id."""
    told = tuple(events)
    known = {event.id: event for event in told}
    if len(known) < len(told):
        for event in told:
            if event is not known[event.id] and event != known[event.id]:
                raise LocalError(f"two different facts are recorded as usage {event.id}")
        told = tuple(known.values())
    if _is_rising(told):
        return told
    in_order = tuple(sorted(told, key=_START))
    return in_order if _is_rising(in_order) else tuple(sorted(in_order, key=_PLACE))


@dataclass(frozen=True, slots=True)
class Usage:
    """Usage events once each and in order of time, and when each of their turns begins: for any period.

    `longest_ms` bounds how long before its end an event begins. Make it with `collect`.
    """

    events: tuple[UsageEvent, ...]
    starts_ms: Sequence[int]
    turns_ms: Sequence[int]
    longest_ms: int

    def within(self, start_ms: int, end_ms: int) -> tuple[UsageEvent, ...]:
        """Return the events that begin before the end of a span, and may reach into it."""
        first = bisect_left(self.starts_ms, start_ms - self.longest_ms)
        return self.events[first : bisect_left(self.starts_ms, end_ms)]

    def turns_within(self, start_ms: int, end_ms: int) -> int:
        """Return how many turns begin in a span."""
        return bisect_left(self.turns_ms, end_ms) - bisect_left(self.turns_ms, start_ms)


def collect(events: Iterable[UsageEvent]) -> Usage:
    """Return events as rating takes them, however often and in whatever order they are told; about 1 µs each.

    Raises LocalError if two facts have one id.
    """
    known = unique(events)
    longest_ms = max((event.end_ms - event.start_ms for event in known), default=0)
    return Usage(known, [event.start_ms for event in known], first_of_turns(known), longest_ms)


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


def _is_rising(events: Sequence[UsageEvent]) -> bool:
    """Whether each event begins later than the one before: then there is one order."""
    starts_ms = [event.start_ms for event in events]
    return all(map(lt, starts_ms, islice(starts_ms, 1, None)))


def first_of_turns(events: Sequence[UsageEvent]) -> tuple[int, ...]:
    """Return when each turn of the schedule begins for somebody: at its first event. Takes `unique` ones."""
    begins = {event.turn or event.id: event.start_ms for event in reversed(events)}
    return tuple(sorted(begins.values()))


def _between(total: int, first: int, last: int, length: int) -> int:
    """Return the part of `total` from `first` to `last` of `length`; an event without length is one part."""
    if not length:
        return total
    return total * last // length - total * first // length
