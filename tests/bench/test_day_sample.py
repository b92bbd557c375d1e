"""A day's model beside whole receiver sessions that leave, join, start anew, get no answers: they agree."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest

from sealcast.bench.day import Day, DayBench, Habits
from sealcast.core.ports import NS_PER_MS
from sealcast.receiver.values import FetchRequest
from sealcast.testing import SimRandom
from simulation.crowd import Crowd, peak_per_s, share_signature_checks
from simulation.parts import SECOND, make_spec
from simulation.viewer import Viewer
from simulation.world import ASK_NS, Answered, World

SOME = 300
RECEIVERS = 10_000
EPOCHS = 2
SPEC = make_spec(20_000, prefetch_at="45%")
RARE = {"packets_per_second": 0.25, "size_bytes": 1316}
PER_EPOCH = 3_600_000 / SPEC.lifetime_ms
HABITS = Habits(churn=0.1 * PER_EPOCH, restarts=0.1 * PER_EPOCH, loss=0.05, wait_ms=ASK_NS // NS_PER_MS)
"""So much that a tenth leaves, joins and starts anew in each epoch."""

SEEDS = 8
AGREED = 0.05
DEVIATIONS = 3
"""Of numbers so small that chance alone moves them by more than 5 %."""

BEFORE_NS = 5 * NS_PER_MS


def lose_answers(world: World, loss: float) -> None:
    """Let a part of the receivers' questions get no answer."""
    random, ask = world.random.fork("lost"), world.ask

    def ask_or_lose(node: Viewer, question: object, answered: Answered) -> None:
        if not isinstance(question, FetchRequest) or random.chance() >= loss:
            ask(node, question, answered)
            return

        def give_up(now: int) -> None:
            answered(None, now)
            world.refresh(node)

        world.at(world.now + ASK_NS, give_up)

    world.ask = ask_or_lose


class Sample:
    """Real sessions for some epochs. `people` are receivers, each the viewers that it was, in turn."""

    def __init__(self, folder: Path, size: int) -> None:
        self.crowd = Crowd(folder, SPEC, size, **RARE)
        self.people: list[list[Viewer]] = []
        self.late = 0
        """How often a receiver that held the key on air had not the next one at a switch."""
        self._random = SimRandom("sample")
        self._world = self.crowd.scene.world

    def play(self) -> None:
        """Bring all on air, then let the epochs pass in which things happen to them."""
        scene, world = self.crowd.scene, self._world
        scene.studio.start()
        world.run_until(SECOND)
        for i in range(self.crowd.size):
            world.at(SECOND + 4 * SECOND * i // self.crowd.size, lambda _: self._join())
        while len(scene.studio.switches) < 2:
            world.run_for(SECOND // 10)
        self.begin_ns = scene.studio.switches[1][0]
        lose_answers(world, HABITS.loss)
        for number in range(1, EPOCHS + 1):
            self._plan_epoch()
            ends_ns = self.begin_ns + number * SPEC.lifetime_ms * NS_PER_MS
            world.run_until(ends_ns - BEFORE_NS)
            self.late += self._count_late()
            world.run_until(ends_ns + BEFORE_NS)
        self.switches_ns = [at for at, _ in scene.studio.switches[1:]]

    def _count_late(self) -> int:
        sessions = (person[-1].session for person in self.people if not person[-1].is_over)
        return sum(
            not session.state(self._world.now).holds_next
            for session in sessions
            if session._ring.current is not None
        )

    def _join(self) -> None:
        self.people.append([self.crowd.scene.viewer()])

    def _restart(self, person: list[Viewer]) -> None:
        person[-1].crash()
        person.append(self.crowd.scene.viewer())

    def _plan_epoch(self) -> None:
        leave = restart = 0.1
        for person in [each for each in self.people if not each[-1].is_over]:
            if self._random.chance() < leave:
                self._later(lambda _, person=person: person[-1].crash())
            elif self._random.chance() < restart:
                self._later(lambda _, person=person: self._restart(person))
        for _ in range(sum(self._random.chance() < leave for _ in range(self.crowd.size))):
            self._later(lambda _: self._join())

    def _later(self, call: object) -> None:
        within_ns = self._random.below(SPEC.lifetime_ms - 200) * NS_PER_MS
        self._world.at(self._world.now + within_ns, call)

    @property
    def asked_ns(self) -> list[int]:
        """When all requests of these epochs were made, in order."""
        until_ns = self.switches_ns[-1]
        viewers = (viewer for person in self.people for viewer in person)
        asked = (at for viewer in viewers for at in viewer.fetched_ns)
        return sorted(at for at in asked if self.begin_ns <= at < until_ns)

    def counts(self) -> Counter[int]:
        """Count how many receivers of an epoch asked how often."""
        counts: Counter[int] = Counter()
        for begin_ns, end_ns in pairwise(self.switches_ns):
            for person in self.people:
                if person[0].began_ns < end_ns and (person[-1].ended_ns or end_ns) > begin_ns:
                    fetched = (at for viewer in person for at in viewer.fetched_ns)
                    counts[sum(begin_ns <= at < end_ns for at in fetched)] += 1
        return counts


def model_days(size: int) -> list[Day]:
    """Return what the model says of as many, by some seeds."""
    days = []
    for seed in range(SEEDS):
        bench = DayBench(SPEC, size, EPOCHS * SPEC.lifetime_ms, habits=HABITS, seed=seed)
        assert list(bench.run()) == list(range(EPOCHS))
        days.append(bench.day)
    return days


def mean(values: Iterable[float]) -> float:
    """Return the mean of one value for each seed."""
    return sum(values) / SEEDS


def assert_near(found: int, expected: float) -> None:
    """Check that two agree within 5 %, or within what chance does to a small number."""
    assert found == pytest.approx(expected, rel=AGREED, abs=1 + DEVIATIONS * expected**0.5)


def check_agreement(folder: Path, size: int) -> tuple[Sample, list[Day]]:
    """Play real sessions and the model; what they ask, and how often each, agrees within 5 %."""
    sample, days = Sample(folder, size), model_days(size)
    sample.play()
    asked, counts = sample.asked_ns, sample.counts()
    expected = {often: mean(day.asked.get(often, 0) for day in days) for often in range(6)}
    requests = mean(day.requests for day in days)
    print(f"{size}: {len(asked)} requests, {requests:.0f} expected; {sorted(counts.items())}, {expected}")
    assert_near(len(asked), requests)
    assert len(asked) / counts.total() == pytest.approx(mean(day.per_receiver for day in days), rel=AGREED)
    for often, receivers in expected.items():
        assert_near(counts[often], receivers)
    late = mean(day.late for day in days)
    print(f"late at a switch: {sample.late}, {late:.0f} expected")
    assert_near(sample.late, late)
    seconds = [0] * (EPOCHS * SPEC.lifetime_ms // 1_000)
    for at_ns in asked:
        seconds[min(len(seconds) - 1, (at_ns - sample.begin_ns) // SECOND)] += 1
    apart = sum(abs(found - mean(day.per_s[i] for day in days)) for i, found in enumerate(seconds))
    print(f"{apart / len(asked):.1%} of the requests are in another second")
    assert all(viewer.wrong == 0 for viewer in sample.crowd.scene.viewers)
    return sample, days


def test_real_sessions_and_the_model_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundreds of sessions ask as often as the model says, in all and each of them."""
    share_signature_checks(monkeypatch)
    check_agreement(tmp_path, SOME)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_ten_thousand_sessions_and_the_model_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand agree in their busiest second, too."""
    share_signature_checks(monkeypatch)
    sample, days = check_agreement(tmp_path, RECEIVERS)
    peak, expected = peak_per_s(sample.asked_ns), mean(day.peak_per_s for day in days)
    print(f"busiest second: {peak}, {expected:.0f} expected")
    assert peak == pytest.approx(expected, rel=AGREED)
