"""Owns a day of a channel with very many receivers (S1-8): who asks the key servers when, and what that does.

| receivers of an epoch            | what they ask                                                    |
|----------------------------------|------------------------------------------------------------------|
| most                             | once, at an instant that the receiver's own function draws       |
| whose request gets no answer     | again, as the receiver's planner says (`bench.lives`)            |
| that leave, join or start anew   | as their planner says, from or up to an instant of the epoch     |

The first are alike, so that a counter for each millisecond is all that is kept of them.
"""

from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat

from sealcast.bench.crowd import count_missing
from sealcast.bench.lives import Draws, Life, Lives
from sealcast.bench.seconds import SECOND_MS, Busiest, merge, per_second, zeros
from sealcast.client.limits import ATTEMPT_S_MAX
from sealcast.core.channel import ChannelSpec
from sealcast.core.errors import UsageError
from sealcast.keys.policy import fetch_window
from sealcast.receiver.fetch import draw_in_ms
from sealcast.testing import SimRandom

HOUR_MS = 3_600_000
LIFETIME_MS_MIN = 10_000
LIFETIME_MS_MAX = HOUR_MS
"""A counter for each millisecond of an epoch and replica: 14 MB at most."""

WAITING_MS = 5_000
"""As long packets wait for their key (receiver.pending): who is late by less loses none."""

PEAK_MAX = 1.5
"""No second may bring more than this many times the even share."""

REQUESTS_MAX = 2
"""More than this a receiver should not ask in an epoch."""


@dataclass(frozen=True, slots=True)
class Habits:
    """What happens to receivers: which part leaves each hour (as many join), starts anew each hour.

    `loss` is the part of the requests that gets no answer, which is waited for `wait_ms`.
    """

    churn: float = 0.05
    restarts: float = 0.01
    loss: float = 0.001
    wait_ms: int = int(ATTEMPT_S_MAX * 1_000)


@dataclass(frozen=True, slots=True)
class Day:
    """What a day brought.

    `even_per_s` is receivers by window. `asked` counts receivers of an epoch by how often they asked.
    `late` had no key at a switch, at most `late_ms_max` long; `losers` so long that they lost packets.
    """

    receivers: int
    epochs: int
    requests: int
    even_per_s: float
    peak_per_s: int
    asked: dict[int, int]
    late: int
    losers: int
    late_ms_max: int
    replica_requests: list[int]
    replica_peaks_per_s: list[int]
    per_s: "array[int]"

    @property
    def peak_ratio(self) -> float:
        """The busiest second by the even share."""
        return self.peak_per_s / self.even_per_s

    @property
    def per_receiver(self) -> float:
        """Requests of a receiver and epoch, in the mean."""
        return self.requests / sum(self.asked.values())

    @property
    def over_two(self) -> int:
        """How many receivers asked more than twice in an epoch, over all epochs."""
        return sum(times for asked, times in self.asked.items() if asked > REQUESTS_MAX)


@dataclass(slots=True)
class _Replica:
    """One key server: what each millisecond of the epoch brought, what comes after, and the sums."""

    counts: "array[int]"
    after: list[int] = field(default_factory=list)
    requests: int = 0
    peak_per_s: int = 0


class DayBench:
    """A day from one seed: `run` it, then read `day`. About 0.7 µs for each receiver and epoch."""

    def __init__(
        self,
        spec: ChannelSpec,
        receivers: int,
        duration_ms: int,
        *,
        habits: Habits | None = None,
        replicas: int = 1,
        seed: int = 1,
    ) -> None:
        """Receivers are spread evenly over the replicas, each keeps to its own; raises UsageError."""
        lifetime_ms = spec.lifetime_ms
        if lifetime_ms % SECOND_MS or not LIFETIME_MS_MIN <= lifetime_ms <= LIFETIME_MS_MAX:
            raise UsageError("a lifetime here is whole seconds, from 10s to 1h")
        self.spec, self.receivers, self.habits = spec, receivers, habits or Habits()
        self.epochs = duration_ms // lifetime_ms
        self.window_ms = _window_ms(spec)
        self._present = receivers
        self._random = SimRandom(seed)
        self._draws = Draws(self._random)
        self._lives = Lives(spec, receivers, self.habits.loss, self.habits.wait_ms, self._draws)
        self._replicas = [_Replica(zeros(lifetime_ms)) for _ in range(replicas)]
        self._all = Busiest()
        self._asked: Counter[int] = Counter()
        self._turn = self._late = self._losers = self._late_ms_max = 0

    def run(self) -> Iterator[int]:
        """Play one epoch after the other; gives the number of each that is over."""
        for number in range(self.epochs):
            self._play_epoch()
            yield number

    @property
    def day(self) -> Day:
        """What it brought so far."""
        return Day(
            receivers=self.receivers,
            epochs=self.epochs,
            requests=sum(each.requests for each in self._replicas),
            even_per_s=self.receivers * SECOND_MS / self.window_ms,
            peak_per_s=self._all.peak_per_s,
            asked=dict(sorted(self._asked.items())),
            late=self._late,
            losers=self._losers,
            late_ms_max=self._late_ms_max,
            replica_requests=[each.requests for each in self._replicas],
            replica_peaks_per_s=[each.peak_per_s for each in self._replicas],
            per_s=self._all.per_s,
        )

    def _play_epoch(self) -> None:
        part = self.spec.lifetime_ms / HOUR_MS
        leaving = self._some(self._present, self.habits.churn * part)
        restarting = self._some(self._present - leaving, self.habits.restarts * part)
        unanswered = self._some(self._present - leaving - restarting, self.habits.loss)
        joining = self._some(self.receivers, self.habits.churn * part)
        self._play_most(self._present - leaving - restarting - unanswered)
        for _ in range(unanswered):
            self._note(self._lives.play_holder(is_first_lost=True))
        for _ in range(leaving):
            self._note(self._lives.play_holder(self._instant()))
        for _ in range(restarting):
            at_ms = self._instant()
            self._note(self._lives.play_holder(at_ms), self._lives.play_newcomer(at_ms))
        for _ in range(joining):
            self._note(self._lives.play_newcomer(self._instant()))
        self._present += joining - leaving
        self._close_epoch()

    def _play_most(self, receivers: int) -> None:
        """Have those ask to whom nothing happens: nearly all, so that this loop is what a day costs."""
        draws, opens_ms, span_ms = self._draws, self._lives.instants.opens_ms, self.window_ms
        for i, replica in enumerate(self._replicas):
            counts = replica.counts
            for _ in repeat(None, _share(receivers, i, len(self._replicas))):
                counts[draw_in_ms(draws, opens_ms, span_ms)] += 1
        self._asked[1] += receivers

    def _note(self, *lives: Life) -> None:
        """Note what one receiver asked."""
        replica = self._replicas[self._turn]
        self._turn = (self._turn + 1) % len(self._replicas)
        for life in lives:
            for at_ms in life.asked_ms:
                _put(replica, at_ms)
            self._late += life.late_ms > 0
            self._losers += life.late_ms > WAITING_MS
            self._late_ms_max = max(self._late_ms_max, life.late_ms)
        self._asked[sum(len(life.asked_ms) for life in lives)] += 1

    def _close_epoch(self) -> None:
        self._all.take(merge(each.counts for each in self._replicas))
        for replica in self._replicas:
            seconds = per_second(replica.counts)
            replica.requests += sum(seconds)
            replica.peak_per_s = max(replica.peak_per_s, *seconds)
            replica.counts = zeros(self.spec.lifetime_ms)
            after, replica.after = replica.after, []
            for at_ms in after:
                _put(replica, at_ms - self.spec.lifetime_ms)

    def _some(self, receivers: int, chance: float) -> int:
        return count_missing(receivers, [chance], self._random)

    def _instant(self) -> int:
        return self._draws.below(self.spec.lifetime_ms)


def _put(replica: _Replica, at_ms: int) -> None:
    """Count a request, in this epoch or for a later one."""
    if at_ms < len(replica.counts):
        replica.counts[at_ms] += 1
    else:
        replica.after.append(at_ms)


def _share(receivers: int, number: int, replicas: int) -> int:
    """Return how many of the receivers ask one of the replicas."""
    return receivers * (number + 1) // replicas - receivers * number // replicas


def _window_ms(spec: ChannelSpec) -> int:
    """Return how long the fetch window is."""
    window = fetch_window(spec, spec.lifetime_ms)
    return window.closes_in_ms - window.opens_in_ms
