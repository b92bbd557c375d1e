"""Owns what was on air on one channel, as recorded, and how it becomes usage of those who were granted it.

```
aired    │ 41 │ 42        │ 43    │ 44 …       42 part 2: what was reported of 42 after it was recorded
grants   ●      ●           ●                  of one device, with its erasures
usage    7/41/TV   7/42/TV   7/42.2/TV   7/43/TV
```
Nothing is kept per device and epoch: usage follows from grants and from this, with the same ids each time.
"""

from collections.abc import Container, Iterable
from dataclasses import dataclass

from sealcast.billing.counting import AiredEpoch, Erasure, GrantRow, counted, is_of
from sealcast.billing.usage import UsageEvent
from sealcast.core.errors import LocalError

Grant = tuple[int, int, int | None]
"""A `GrantRow` as databases give it."""


@dataclass(frozen=True, slots=True)
class Aired:
    """One epoch as it was on air; instants by the key server's clock, totals as its sender reported them.

    Part 1 is what was known when the epoch had settled; another part holds the difference that was reported
    later. `turn` is the epoch that began its turn of the schedule, its own unless given. `fresh_at` names the
    chain of the epoch. `given_up_at_ms` is when it was recorded, if its sender was silent and it may go on:
    who is granted it from then on is not charged for this part.
    """

    channel: int
    epoch: int
    cause: str
    start_ms: int
    end_ms: int
    bytes: int
    packets: int
    part: int = 1
    turn: int = 0
    fresh_at: int | None = None
    given_up_at_ms: int | None = None

    def __post_init__(self) -> None:
        if self.end_ms < self.start_ms or self.bytes < 0 or self.packets < 0:
            raise LocalError(f"usage {self.name} ends before it begins, or is less than nothing")

    @property
    def name(self) -> str:
        """What usage events of it begin with: `7/42`, or `7/42.2` for its second part."""
        return f"{self.channel}/{self.epoch}" + (f".{self.part}" if self.part > 1 else "")


class AirLog:
    """The parts on air of one channel from `first_epoch` on, with whole turns and chains.

    `open_since_ms` is when the first epoch began that is not settled yet: usage since then is not all here.
    """

    __slots__ = (
        "_chains",
        "_lines",
        "_part_1",
        "channel",
        "first_epoch",
        "given_up",
        "open_since_ms",
        "parts",
    )

    def __init__(
        self,
        channel: int,
        parts: Iterable[Aired],
        *,
        open_since_ms: int | None = None,
        first_epoch: int = 0,
    ) -> None:
        self.channel = channel
        self.parts = tuple(sorted(parts, key=lambda each: (each.epoch, each.part)))
        self.open_since_ms = open_since_ms
        self.given_up = tuple(each for each in self.parts if each.given_up_at_ms is not None)
        self.first_epoch = first_epoch
        self._part_1: dict[int, AiredEpoch] = {}
        self._chains: dict[int, list[AiredEpoch]] = {}
        self._lines: dict[int, list[tuple[str, int, int, int, int, str]]] = {}
        for each in self.parts:
            self._add(each)

    def epochs(self, grants: Iterable[Grant], erasures: Iterable[Erasure] = ()) -> set[int]:
        """Return the epochs of the log that a device is charged for."""
        erased = tuple(erasures)
        known, found = self._part_1, set[int]()
        for grant in grants:
            epoch, granted_at_ms, until = grant
            if until is not None or erased:
                row = GrantRow(epoch, granted_at_ms, until)
                found.update(counted(row, self._of(row), erased))
            elif epoch in known:
                found.add(epoch)
        return found

    def events(
        self, device: str, epochs: Iterable[int], missed: Container[str] = ()
    ) -> tuple[UsageEvent, ...]:
        """Return the usage of a device charged for `epochs`, less parts it `missed`, in order; each once."""
        lines = self._lines
        events = [
            UsageEvent(name + device, start_ms, end_ms, size, packets, turn)
            for epoch in sorted(set(epochs))
            if epoch in lines
            for name, start_ms, end_ms, size, packets, turn in lines[epoch]
        ]
        return tuple([event for event in events if event.id not in missed] if missed else events)

    def missed(self, device: str, grants: Iterable[Grant]) -> set[str]:
        """Return the ids of what a device is not charged for, because it was granted none of it in time.

        Their epochs had been given up before its first grant of them.
        """
        if not self.given_up:
            return set()
        held = [GrantRow(*grant) for grant in grants]
        found = set()
        for part in self.given_up:
            epoch = self._part_1[part.epoch]
            since_ms = min((each.granted_at_ms for each in held if is_of(each, epoch)), default=None)
            if since_ms is not None and since_ms >= (part.given_up_at_ms or 0):
                found.add(f"{part.name}/{device}")
        return found

    def usage(
        self, device: str, grants: Iterable[Grant], erasures: Iterable[Erasure] = ()
    ) -> tuple[UsageEvent, ...]:
        """Return the usage of a device by its grants on the channel, less what it erased; about 2 µs each."""
        held = tuple(grants)
        return self.events(device, self.epochs(held, erasures), self.missed(device, held))

    def _of(self, grant: GrantRow) -> Iterable[AiredEpoch]:
        """Return what a grant may count for: its epoch, or all of its chain."""
        if grant.until_epoch is not None:
            return self._chains.get(grant.until_epoch, ())
        own = self._part_1.get(grant.epoch)
        return () if own is None else (own,)

    def _add(self, part: Aired) -> None:
        line = (
            f"{part.name}/",
            part.start_ms,
            part.end_ms,
            part.bytes,
            part.packets,
            f"{part.channel}/{part.turn or part.epoch}",
        )
        self._lines.setdefault(part.epoch, []).append(line)
        if part.epoch not in self._part_1:
            epoch = AiredEpoch(part.epoch, part.start_ms, part.fresh_at)
            self._part_1[part.epoch] = epoch
            if part.fresh_at is not None:
                self._chains.setdefault(part.fresh_at, []).append(epoch)
