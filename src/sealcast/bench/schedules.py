"""Owns what a key change costs under each schedule (S0-9, S0-11): multicast, key requests, their rate.

| case          | the change                                   | key requests                       |
|---------------|----------------------------------------------|------------------------------------|
| fetch         | any of a channel with the schedule `fetch`   | of all, in the fetch window        |
| chain         | a key that follows from the one before       | of those who lost every repeat     |
| fresh start   | one that does not, at T2                     | of all, in the fetch window        |
| ordered       | a fresh start at once, as after a removal    | of all, in the window of the order |

SEAL packets, requests and grants are real ones, of the default policy; receivers are light (`bench.crowd`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import prod

from sealcast.bench.change import Change, record_change
from sealcast.bench.crowd import Loss, count_missing, draw_requests, peak_per_s
from sealcast.bench.unicast import Exchange, weigh_exchange
from sealcast.core.channel import ChannelSpec, ScheduleKind
from sealcast.core.ids import ChannelNumber
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import command_window_ms
from sealcast.testing import SimRandom

RECEIVERS_MIN = 100
STEP = 10
"""From one size of the crowd to the next."""

SPEC = ChannelSpec(ChannelNumber(7), "news", "232.1.2.3", 5004, source="192.0.2.1")


class Case(StrEnum):
    """A kind of change."""

    FETCH = "fetch"
    CHAIN = "chain"
    FRESH = "fresh start"
    ORDERED = "ordered"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one change costs for so many receivers.

    `seal_packets` leave because of it; `seal_bytes` are theirs, and the notice within all others. Of the
    `requests`, drawn from `window_ms`, the busiest second has `peak_per_s`; with their answers they take
    `unicast_bytes`. Repeats of an update are `apart_ms`, and a receiver misses all with `miss_chance`;
    `missed_at_once` would have missed them if they had left one right behind the other.
    """

    case: Case
    receivers: int
    repeats: int
    seal_packets: int
    seal_bytes: int
    requests: int
    peak_per_s: int
    unicast_bytes: int
    total_bytes: int
    window_ms: int
    apart_ms: int = 0
    miss_chance: float = 0.0
    missed_at_once: int = 0


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A change that serves for crowds of all sizes, and what a request costs in it."""

    change: Change
    exchange: Exchange


class SchedulesBench:
    """Costs of changes for growing crowds, from one seed."""

    def __init__(
        self,
        receivers: int,
        repeats: Sequence[int],
        loss: Loss,
        seed: int,
        spec: ChannelSpec = SPEC,
    ) -> None:
        """`receivers` are those of the largest crowd; each of `repeats` is tried."""
        self.spec = replace(spec, schedule=ScheduleKind.CHAIN)
        self._repeats = tuple(dict.fromkeys(repeats))
        self.loss = loss
        self.seed = seed
        self._random = SimRandom(seed)
        self._recorded: dict[tuple[Case, int, int], _Recorded] = {}
        self.sizes = crowd_sizes(receivers)

    @property
    def steps(self) -> int:
        """How many costs `run` gives."""
        return len(self.sizes) * (len(self._repeats) + len(Case) - 1)

    def run(self) -> Iterator[Cost]:
        """Work out one cost after the other, smallest crowd first."""
        for receivers in self.sizes:
            yield self.cost(Case.FETCH, receivers)
            for repeats in self._repeats:
                yield self.cost(Case.CHAIN, receivers, repeats)
            yield self.cost(Case.FRESH, receivers)
            yield self.cost(Case.ORDERED, receivers)

    def cost(self, case: Case, receivers: int, repeats: int = 0) -> Cost:
        """Work out one cost; `repeats` is for `Case.CHAIN`. About 5 µs a request, 0.3 s for packets."""
        if case is Case.CHAIN:
            return self._chained(receivers, repeats)
        order_ms = command_window_ms(self.spec, receivers) if case is Case.ORDERED else 0
        return self._cost(case, receivers, 0, self._record(case, 0, order_ms), receivers)

    @property
    def exchanges(self) -> dict[str, Exchange]:
        """What a request and its answer take, for each case that `run` had so far."""
        return {case: found.exchange for (case, *_), found in self._recorded.items()}

    def _chained(self, receivers: int, repeats: int) -> Cost:
        recorded, random = self._record(Case.CHAIN, repeats), self._fork(receivers, repeats)
        sent_ns = [packet.at_ns for packet in recorded.change.updates]
        chances = self.loss.chances(sent_ns)
        missed = count_missing(receivers, chances, random)
        return replace(
            self._cost(Case.CHAIN, receivers, repeats, recorded, missed),
            apart_ms=(sent_ns[-1] - sent_ns[0]) // max(1, len(sent_ns) - 1) // NS_PER_MS,
            miss_chance=prod(chances),
            missed_at_once=count_missing(receivers, self.loss.chances([0] * len(sent_ns)), random),
        )

    def _cost(self, case: Case, receivers: int, repeats: int, recorded: _Recorded, asking: int) -> Cost:
        change = recorded.change
        window = change.window
        asked_ns = draw_requests(asking, window, self._fork(case, receivers, repeats))
        unicast_bytes = len(asked_ns) * recorded.exchange.total_bytes
        return Cost(
            case=case,
            receivers=receivers,
            repeats=repeats,
            seal_packets=change.extra_packets,
            seal_bytes=change.added_bytes,
            requests=len(asked_ns),
            peak_per_s=peak_per_s(asked_ns),
            unicast_bytes=unicast_bytes,
            total_bytes=change.added_bytes + unicast_bytes,
            window_ms=window.closes_in_ms - window.opens_in_ms,
        )

    def _record(self, case: Case, repeats: int, order_ms: int = 0) -> _Recorded:
        known = self._recorded.get((case, repeats, order_ms))
        if known is None:
            random = self._fork("change", case, repeats, order_ms)
            change = record_change(self._spec_of(case, repeats), random, order_ms or None)
            known = _Recorded(change, weigh_exchange(change, random))
            self._recorded[case, repeats, order_ms] = known
        return known

    def _spec_of(self, case: Case, repeats: int) -> ChannelSpec:
        match case:
            case Case.FETCH:
                return replace(self.spec, schedule=ScheduleKind.FETCH)
            case Case.CHAIN:
                return replace(self.spec, repeats=repeats)
            case Case.FRESH:
                return replace(self.spec, fresh_every_ms=self.spec.lifetime_ms)
            case Case.ORDERED:
                return self.spec

    def _fork(self, *names: object) -> SimRandom:
        return self._random.fork("/".join(str(name) for name in names))


def crowd_sizes(receivers: int) -> tuple[int, ...]:
    """Return 100 receivers, and ten times as many again up to those given."""
    sizes = [RECEIVERS_MIN]
    while sizes[-1] * STEP < receivers:
        sizes.append(sizes[-1] * STEP)
    return (*sizes, receivers) if receivers > sizes[-1] else (receivers,)
