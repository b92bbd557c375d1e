"""Owns how badly one endpoint hears the network: loss, bursts, reordering, duplicates and latency.

Bursts follow Gilbert and Elliott: a link is good or bad, changes between the two packet by packet, and loses
packets while it is bad.

```
        enter
good ──────────► bad      mean length of a burst = 1 / leave packets
     ◄──────────          part of the time bad   = enter / (enter + leave)
        leave
```
"""

from dataclasses import dataclass, field
from typing import Self

from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.testing.randomness import SimRandom


@dataclass(frozen=True, slots=True)
class Bursts:
    """Loss in bursts: chances per packet to become bad and good again, and of loss while bad."""

    enter: float
    leave: float
    loss: float = 1.0

    def __post_init__(self) -> None:
        _check_chance(self.enter, self.leave, self.loss)

    @classmethod
    def of(cls, rate: float, mean_packets: float) -> Self:
        """Return bursts of `mean_packets` in the mean that together lose the part `rate`, below 1."""
        if not 0 <= rate < 1 or mean_packets < 1:
            raise LocalError("bursts lose a part below 1, at least one packet at a time")
        leave = 1 / mean_packets
        return cls(enter=min(1.0, leave * rate / (1 - rate)), leave=leave)


@dataclass(frozen=True, slots=True)
class Link:
    """How one endpoint hears the network; chances are per packet and endpoint, independent of all others.

    A packet arrives after `latency_ns` plus a uniform part of `jitter_ns`, behind the one before it: a
    queue delays, it does not reorder. The part `reorder` is held back by `reorder_ns` more and so arrives
    behind later ones; of the part `duplicate` a second copy follows within `reorder_ns`.
    """

    latency_ns: int = NS_PER_MS
    jitter_ns: int = 0
    loss: float = 0.0
    bursts: Bursts | None = None
    reorder: float = 0.0
    reorder_ns: int = 10 * NS_PER_MS
    duplicate: float = 0.0
    is_plain: bool = field(init=False, repr=False)
    """Whether every packet arrives once, after `latency_ns`."""

    def __post_init__(self) -> None:
        _check_chance(self.loss, self.reorder, self.duplicate)
        if min(self.latency_ns, self.jitter_ns, self.reorder_ns) < 0:
            raise LocalError("nothing arrives before it was sent")
        chances = self.jitter_ns or self.loss or self.bursts or self.reorder or self.duplicate
        object.__setattr__(self, "is_plain", not chances)


class LinkState:
    """What a link remembers from packet to packet: whether it is bad, and when the last packet arrives."""

    __slots__ = ("_chance", "_is_bad", "_last_ns", "link")

    def __init__(self, link: Link, random: SimRandom) -> None:
        self.link = link
        self._chance = random.chance
        self._is_bad = False
        self._last_ns = 0

    def is_lost(self) -> bool:
        """Draw whether the next packet is lost."""
        link = self.link
        bursts = link.bursts
        if bursts is not None:
            self._is_bad = self._chance() < (1 - bursts.leave if self._is_bad else bursts.enter)
            if self._is_bad and self._chance() < bursts.loss:
                return True
        return bool(link.loss) and self._chance() < link.loss

    def delay_ns(self) -> int:
        """Draw latency and jitter."""
        jitter_ns = self.link.jitter_ns
        return self.link.latency_ns + (int(jitter_ns * self._chance()) if jitter_ns else 0)

    def arrival_ns(self, now: int) -> tuple[int, bool]:
        """Draw when a packet sent at `now` arrives, and whether it was held back."""
        link = self.link
        due = now + self.delay_ns()
        if link.reorder and self._chance() < link.reorder:
            return max(due, self._last_ns) + link.reorder_ns, True
        self._last_ns = max(due, self._last_ns)
        return self._last_ns, False

    def duplicate_after_ns(self) -> int | None:
        """Draw how long after the first a second copy arrives, or None."""
        if self.link.duplicate and self._chance() < self.link.duplicate:
            return int(self.link.reorder_ns * self._chance())
        return None


def _check_chance(*chances: float) -> None:
    if not all(0 <= chance <= 1 for chance in chances):
        raise LocalError("a chance lies between 0 and 1")


PERFECT = Link()
"""Everything arrives after a millisecond."""

DOWN = Link(loss=1.0)
"""Nothing arrives."""
