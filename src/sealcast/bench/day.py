"""Owns a day of a channel with very many receivers (S1-8): who asks the key servers when, and what that does.

| receivers of an epoch            | what they ask                                                    |
|----------------------------------|------------------------------------------------------------------|
| most                             | once, at an instant that the receiver's own function draws       |
| of a chain, if they hear updates | nothing, but once at each fresh start                            |
| whose request gets no answer     | again, as the receiver's planner says (`bench.lives`)            |
| that leave, join or start anew   | as their planner says, from or up to an instant of the epoch     |

The first are alike, so that a counter for each millisecond and key server is all that is kept of them. Whom
they ask their client's own choice says (`bench.sites`).
"""

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

from sealcast.bench.crowd import count_missing
from sealcast.bench.lives import Draws, Life, Lives
from sealcast.bench.seconds import SECOND_MS, Busiest, merge, zeros
from sealcast.bench.sites import Load, Outage, Sites
from sealcast.client.choosing import Choice
from sealcast.client.limits import ATTEMPT_S_MAX
from sealcast.core.channel import ChannelSpec, ScheduleKind
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

    `loss` is the part of the requests that gets no answer, which is waited for `wait_ms`; `air_loss` that of
    the repeats of a chain's update that a receiver does not hear, each by itself.
    """

    churn: float = 0.05
    restarts: float = 0.01
    loss: float = 0.001
    wait_ms: int = int(ATTEMPT_S_MAX * 1_000)
    air_loss: float = 0.01


@dataclass(frozen=True, slots=True)
class Day:
    """What a day brought.

    `even_per_s` is receivers by window. `asked` counts receivers of an epoch by how often they asked.
    `late` had no key at a switch, at most `late_ms_max` long; `losers` so long that they lost packets.
    `moved` requests went to another replica than the first choice, which was out.
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
    moved: int
    per_s: "array[int]"
    replicas_per_s: list["array[int]"]

    @property
    def replica_requests(self) -> list[int]:
        """The requests of each replica."""
        return [sum(per_s) for per_s in self.replicas_per_s]

    @property
    def replica_peaks_per_s(self) -> list[int]:
        """The busiest second of each replica's clock."""
        return [max(per_s, default=0) for per_s in self.replicas_per_s]

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
        choice: Choice = Choice.FIXED,
        outages: Sequence[Outage] = (),
        seed: int = 1,
    ) -> None:
        """Each receiver has its `choice` of the replicas; raises UsageError."""
        lifetime_ms = spec.lifetime_ms
        if lifetime_ms % SECOND_MS or not LIFETIME_MS_MIN <= lifetime_ms <= LIFETIME_MS_MAX:
            raise UsageError("a lifetime here is whole seconds, from 10s to 1h")
        self.spec, self.receivers, self.habits = spec, receivers, habits or Habits()
        self.epochs = duration_ms // lifetime_ms
        self.window_ms = _window_ms(spec)
        self._present = receivers
        self._random = SimRandom(seed)
        self._draws = Draws(self._random)
        told = spec, receivers, self.habits.loss, self.habits.wait_ms, self._draws
        self._updates = [self.habits.air_loss] * spec.repeats
        self._fetching = Lives(*told)
        self._following = Lives(*told, missed=self.habits.air_loss**spec.repeats)
        self._loads = [Load(zeros(lifetime_ms)) for _ in range(replicas)]
        self._sites = Sites(receivers, self._loads, choice, outages, self._draws)
        self._all = Busiest()
        self._asked: Counter[int] = Counter()
        self._begin_ms = self._turn = self._late = self._losers = self._late_ms_max = 0

    def run(self) -> Iterator[int]:
        """Play one epoch after the other; gives the number of each that is over."""
        for number in range(self.epochs):
            self._play_epoch(is_fresh=self._is_fresh(number + 1))
            yield number

    @property
    def day(self) -> Day:
        """What it brought so far."""
        return Day(
            receivers=self.receivers,
            epochs=self.epochs,
            requests=sum(sum(load.per_s) for load in self._loads),
            even_per_s=self.receivers * SECOND_MS / self.window_ms,
            peak_per_s=self._all.peak_per_s,
            asked={often: times for often, times in sorted(self._asked.items()) if times},
            late=self._late,
            losers=self._losers,
            late_ms_max=self._late_ms_max,
            moved=self._sites.moved,
            per_s=self._all.per_s,
            replicas_per_s=[load.per_s for load in self._loads],
        )

    def _is_fresh(self, number: int) -> bool:
        """Whether all have to ask for the key of an epoch."""
        return self.spec.schedule is ScheduleKind.FETCH or number % self.spec.fresh_epochs == 0

    def _play_epoch(self, *, is_fresh: bool) -> None:
        lives = self._fetching if is_fresh else self._following
        part = self.spec.lifetime_ms / HOUR_MS
        leaving = self._some(self._present, self.habits.churn * part)
        restarting = self._some(self._present - leaving, self.habits.restarts * part)
        staying = self._present - leaving - restarting
        asking = staying if is_fresh else count_missing(staying, self._updates, self._random)
        unanswered = self._some(asking, self.habits.loss)
        joining = self._some(self.receivers, self.habits.churn * part)
        self._asked[0] += staying - asking
        self._play_most(lives, asking - unanswered)
        for _ in range(unanswered):
            self._note(lives.play_holder(is_first_lost=True))
        for _ in range(leaving):
            self._note(lives.play_leaver(self._instant()))
        for _ in range(restarting):
            at_ms = self._instant()
            self._note(lives.play_leaver(at_ms), lives.play_newcomer(at_ms))
        for _ in range(joining):
            self._note(lives.play_newcomer(self._instant()))
        self._present += joining - leaving
        self._close_epoch()

    def _play_most(self, lives: Lives, receivers: int) -> None:
        """Have those ask to whom nothing happens: nearly all, so that this loop is what a day costs."""
        draws, opens_ms = self._draws, lives.instants.opens_ms
        span_ms = lives.instants.closes_ms - opens_ms
        is_disturbed = self._is_disturbed()
        for number, asking in self._sites.shares(receivers):
            counts = self._loads[number].counts
            for _ in repeat(None, asking):
                at_ms = draw_in_ms(draws, opens_ms, span_ms)
                if is_disturbed:
                    self._sites.ask(number, at_ms, self._begin_ms)
                else:
                    counts[at_ms] += 1
        self._asked[1] += receivers

    def _note(self, *lives: Life) -> None:
        """Note what one receiver asked."""
        self._turn = (self._turn + 1) % len(self._loads)
        for life in lives:
            for at_ms in life.asked_ms:
                self._sites.ask(self._turn, at_ms, self._begin_ms)
            self._late += life.late_ms > 0
            self._losers += life.late_ms > WAITING_MS
            self._late_ms_max = max(self._late_ms_max, life.late_ms)
        self._asked[sum(len(life.asked_ms) for life in lives)] += 1

    def _close_epoch(self) -> None:
        self._all.take(merge(load.counts for load in self._loads))
        for load in self._loads:
            load.close_epoch()
        self._begin_ms += self.spec.lifetime_ms

    def _is_disturbed(self) -> bool:
        return self._sites.is_disturbed(self._begin_ms, self._begin_ms + self.spec.lifetime_ms)

    def _some(self, receivers: int, chance: float) -> int:
        return count_missing(receivers, [chance], self._random)

    def _instant(self) -> int:
        return self._draws.below(self.spec.lifetime_ms)


def _window_ms(spec: ChannelSpec) -> int:
    """Return how long the fetch window is."""
    window = fetch_window(spec, spec.lifetime_ms)
    return window.closes_in_ms - window.opens_in_ms
