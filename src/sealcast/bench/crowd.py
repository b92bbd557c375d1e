"""Owns a crowd of light receivers: how many miss every repeat of an update, and when each asks for the key.

They are alike and independent, so that it is enough to count them. Each of those that lost the repeats so far
loses the next with a chance that follows from how far apart the two are (Gilbert, Elliott: `testing.links`):

```
lost again, n packets later = rate + (1 - rate) · (1 - enter - leave)ⁿ
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, log1p
from typing import Self

from sealcast.core.errors import UsageError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_S
from sealcast.keys.policy import Window
from sealcast.receiver.fetch import FetchPlanner
from sealcast.testing import Bursts, SimRandom

STREAM_PACKETS_PER_S = 760
"""A stream of 8 Mbit/s in packets of 1316 bytes: by its packets the length of a burst is told."""

_CURRENT = KeyId(ChannelNumber(1), Epoch(1))


@dataclass(frozen=True, slots=True)
class Loss:
    """How each receiver hears: the part `rate` is lost, each packet by itself or in bursts.

    `burst_packets` is a burst's mean length in packets of the stream, 0 for packets that are lost by
    themselves.
    """

    rate: float
    burst_packets: float = 0.0

    @classmethod
    def parse(cls, rate: str, burst_packets: float = 0.0) -> Self:
        """Read a rate as `5%`, below 100 %; raises UsageError."""
        try:
            part = float(rate.removesuffix("%")) / 100
        except ValueError:
            part = -1.0
        if not rate.endswith("%") or not 0 <= part < 1:
            raise UsageError(f"not a rate of loss: {rate!r}; write for instance 5%")
        if burst_packets and burst_packets < 1:
            raise UsageError("a burst has one packet at least; 0 is for packets that are lost singly")
        return cls(part, burst_packets)

    def again(self, apart_packets: int) -> float:
        """Return the chance to lose a packet that comes `apart_packets` after one that was lost."""
        if not self.burst_packets:
            return self.rate
        bursts = Bursts.of(self.rate, self.burst_packets)
        return self.rate + (1 - self.rate) * (1 - bursts.enter - bursts.leave) ** apart_packets

    def chances(self, sent_ns: Sequence[int]) -> list[float]:
        """Return the chance to lose each of some packets, having lost those before it."""
        apart_ns = (later - sooner for sooner, later in pairwise(sent_ns))
        steps = (max(1, apart * STREAM_PACKETS_PER_S // NS_PER_S) for apart in apart_ns)
        return [self.rate, *(self.again(step) for step in steps)][: len(sent_ns)]


def count_missing(receivers: int, chances: Sequence[float], random: SimRandom) -> int:
    """Return how many of a crowd lose all packets; `chances` as from `Loss.chances`."""
    for chance in chances:
        receivers = _count_hits(receivers, chance, random)
    return receivers


def draw_requests(receivers: int, window: Window, random: SimRandom) -> list[int]:
    """Return when so many receivers ask, in ns after the window was told, in order. About 5 µs each."""
    return sorted(_draw_request(window, random) for _ in range(receivers))


def peak_per_s(asked_ns: Sequence[int]) -> int:
    """Return how many of rising instants fall into the busiest second, wherever that begins."""
    peak = first = 0
    for last, at_ns in enumerate(asked_ns):
        while at_ns - asked_ns[first] >= NS_PER_S:
            first += 1
        peak = max(peak, last - first + 1)
    return peak


def _draw_request(window: Window, random: SimRandom) -> int:
    """Have a receiver's own planner draw the instant."""
    planner = FetchPlanner(random, 0)
    planner.poll(0)
    planner.handle_answer(0, has_keys=True)
    planner.want_next(_CURRENT, window.opens_in_ms, window.closes_in_ms, 0)
    due_ns = planner.next_timeout()
    if due_ns is None:
        raise RuntimeError("a receiver that was told of a window draws an instant")
    return due_ns


def _count_hits(draws: int, chance: float, random: SimRandom) -> int:
    """Return how many of so many draws of a chance succeed, going from one success straight to the next.

    How many fail in between follows the geometric distribution: exact, at the cost of the successes alone.
    """
    if not 0 < chance < 1:
        return draws if chance >= 1 else 0
    log_failure = log1p(-chance)
    hits, at = 0, _skip(log_failure, random)
    while at < draws:
        hits += 1
        at += 1 + _skip(log_failure, random)
    return hits


def _skip(log_failure: float, random: SimRandom) -> int:
    return int(log(1.0 - random.chance()) / log_failure)
