"""Two senders of one channel, both on air: one key, two SSRCs, and no pair of key and IV twice (S1-7)."""

from itertools import pairwise
from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.testing import SimRandom
from simulation.harness import Scene
from simulation.parts import EVERYTHING, MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.studio import Studio
from simulation.viewer import Viewer

LIFETIME_MS = 6_000
OTHER = 1_000_000
"""Where the second sender's numbers begin."""


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record all that is sealed from now on."""
    return Recorder.install(monkeypatch)


class Pair:
    """A channel with two senders, each a party of its own with a folder of its own."""

    def __init__(self, folder: Path, seed: int = 1, **spec: object) -> None:
        self.scene = Scene(folder / "first", make_spec(LIFETIME_MS, **spec), seed, is_beside=True)
        self.scene.keyserver.are_apart = True
        self.world = self.scene.world
        self.folder = folder
        self.starts = 0
        self.first = self.scene.studio
        self.second = self.start(1)

    def start(self, place: int) -> Studio:
        """Return a sender at one of two places, which has not started; it goes on with its numbers."""
        before = [studio for studio in self.scene.studios if studio.number // OTHER == place]
        number = before[-1].number if before else place * OTHER
        self.starts += 1
        studio = Studio(
            self.world,
            self.scene.spec,
            self.folder / ("first" if place == 0 else "second"),
            name=f"sender{place}/{self.starts}",
            first_number=number,
            is_beside=True,
        )
        self.scene.studios.append(studio)
        return studio

    def finish(self) -> None:
        """End both in good order, the second a second after the first."""
        self.first.stop(self.world.now)
        self.world.run_for(SECOND)
        self.second.stop(self.world.now)
        self.world.run_for(8 * SECOND)


def numbers_of(viewer: Viewer, place: int) -> list[int]:
    """Return what a viewer gave out of one sender."""
    return [number for number in viewer.numbers if number // OTHER == place]


def assert_whole(viewer: Viewer) -> None:
    """All that arrived was opened, once, each sender's in its order."""
    assert viewer.wrong == 0
    stats = viewer.session.stats
    assert (stats.refused, stats.foreign, stats.dropped) == (0, 0, 0)
    assert sorted(viewer.numbers) == sorted(viewer.arrived)
    for place in (0, 1):
        numbers = numbers_of(viewer, place)
        assert numbers == sorted(set(numbers))
        assert numbers


def epochs_of(studio: Studio) -> list[int]:
    """Return the epochs under which a sender was on air."""
    return [epoch for _, epoch in studio.switches]


def assert_together(pair: Pair) -> None:
    """Both had the same epochs while both were on air, and changed within half a second of one another."""
    first = {epoch: at for at, epoch in pair.first.switches}
    second = {epoch: at for at, epoch in pair.second.switches}
    common = sorted(set(first) & set(second))
    assert len(common) >= 3
    assert all(abs(first[epoch] - second[epoch]) < 500 * MS for epoch in common[1:])


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_both_are_opened_over_changes(tmp_path: Path, recorder: Recorder, keys: KeyMaker) -> None:
    """The second joins under the first one's key; over five changes not a packet of either is lost."""
    pair = Pair(tmp_path, keys=keys)
    viewer = pair.scene.viewer()
    pair.first.start()
    pair.world.run_for(3 * SECOND)
    pair.second.start()
    pair.world.run_for(5 * LIFETIME_MS * MS)
    assert_together(pair)
    assert viewer.lost == 0
    pair.finish()
    assert_whole(viewer)
    assert viewer.is_over
    recorder.assert_fresh()


def test_a_chain_with_two_senders(tmp_path: Path, recorder: Recorder) -> None:
    """Keys follow from one another, by the updates of the one that leads; the other seals under them."""
    pair = Pair(tmp_path, fresh_epochs=3)
    viewer = pair.scene.viewer()
    pair.first.start()
    pair.world.run_for(3 * SECOND)
    pair.second.start()
    pair.world.run_for(7 * LIFETIME_MS * MS)
    assert_together(pair)
    assert viewer.session.stats.updates >= 3
    pair.finish()
    assert_whole(viewer)
    recorder.assert_fresh()


@pytest.mark.parametrize("fresh_epochs", [None, 3])
@pytest.mark.parametrize("which", [0, 1])
def test_one_dies_and_comes_back(
    tmp_path: Path, recorder: Recorder, which: int, fresh_epochs: int | None
) -> None:
    """Whichever it is, the other's stream goes on without a loss, and leads until the end."""
    pair = Pair(tmp_path, fresh_epochs=fresh_epochs)
    viewer = pair.scene.viewer()
    pair.first.start()
    pair.world.run_for(3 * SECOND)
    pair.second.start()
    pair.world.run_for(10 * SECOND)
    gone, other = (pair.first, pair.second) if which == 0 else (pair.second, pair.first)
    gone.crash()
    pair.world.run_for(40 * SECOND)
    assert numbers_of(viewer, 1 - which)[-1] >= other.number - 5
    changes = len(other.switches)
    assert changes >= 4
    again = pair.start(which)
    again.start()
    pair.world.run_for(20 * SECOND)
    assert len(other.switches) >= changes + 2
    assert set(epochs_of(again)) <= set(epochs_of(other))
    pair.first, pair.second = (again, other) if which == 0 else (other, again)
    pair.finish()
    assert_whole(viewer)
    recorder.assert_fresh()


def test_both_start_at_once(tmp_path: Path, recorder: Recorder) -> None:
    """Each finds nobody on air; the later epoch wins, and the other goes along with it."""
    pair = Pair(tmp_path)
    viewer = pair.scene.viewer()
    pair.first.start()
    pair.second.start()
    pair.world.run_for(6 * LIFETIME_MS * MS)
    assert epochs_of(pair.first)[-2:] == epochs_of(pair.second)[-2:]
    pair.finish()
    assert viewer.wrong == 0
    # What the first sent under its own key, until it heard of the other's, is nobody's any more.
    gone = viewer.arrived - set(viewer.numbers)
    assert max(gone, default=0) < 50
    recorder.assert_fresh()


def test_a_sender_by_itself_is_gone_along_with(tmp_path: Path, recorder: Recorder) -> None:
    """One that knows nothing of others starts anew under a later key: those beside it follow."""
    pair = Pair(tmp_path)
    pair.first.start()
    pair.world.run_for(SECOND)
    pair.second.start()
    pair.world.run_for(8 * SECOND)
    pair.first.crash()
    alone = pair.start(0)
    alone._is_beside = False
    alone.start()
    pair.world.run_for(2 * LIFETIME_MS * MS)
    assert epochs_of(alone)[-1] == epochs_of(pair.second)[-1]
    assert not alone.was_overtaken
    recorder.assert_fresh()


@pytest.mark.parametrize("seed", range(4))
def test_anything_goes_wrong(tmp_path: Path, recorder: Recorder, seed: int) -> None:
    """Loss, crashes of either, a key server that comes and goes: nonces and epochs stay fresh."""
    chance = SimRandom(f"two senders/{seed}")
    pair = Pair(tmp_path, seed, fresh_epochs=(None, 4)[seed % 2])
    viewer = pair.scene.viewer(link=EVERYTHING)
    running = [pair.first, pair.second]
    for studio in running:
        studio.start()
    for _ in range(8):
        pair.world.run_for(chance.below(5_000) * MS + SECOND)
        pair.world.is_keyserver_up = chance.below(4) > 0
        if chance.below(2):
            place = chance.below(2)
            running[place].crash()
            pair.world.run_for(chance.below(20_000) * MS)
            running[place] = pair.start(place)
            running[place].start()
    pair.world.is_keyserver_up = True
    pair.world.run_for(30 * SECOND)
    assert viewer.wrong == 0
    recorder.assert_fresh()
    for studio in pair.scene.studios:
        assert all(before < after for before, after in pairwise(epochs_of(studio)))
    last = [epochs_of(studio)[-1] for studio in running]
    assert abs(last[0] - last[1]) <= 1
    recent = {number // OTHER for number in viewer.numbers[-500:]}
    assert recent == {0, 1}
