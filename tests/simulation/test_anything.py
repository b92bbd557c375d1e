"""Scenes drawn at random from a seed: whatever comes together, what arrived is given out once."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.testing import Bursts, Link, SimRandom
from simulation.harness import Scene
from simulation.parts import MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.viewer import Viewer

Drawn = TypeVar("Drawn")
END_NS = 20 * SECOND


@dataclass(frozen=True, slots=True)
class Dice:
    """Draws from a seed."""

    random: SimRandom

    def one_of(self, *values: Drawn) -> Drawn:
        """Return one of these."""
        return values[self.random.below(len(values))]

    def instant_ns(self, first_s: int, last_s: int) -> int:
        """Return an instant between these seconds."""
        return first_s * SECOND + self.random.below((last_s - first_s) * SECOND)

    def link(self) -> Link:
        """Return a link on which questions still get their answers: its bursts are short."""
        return Link(
            latency_ns=self.one_of(0, 1, 5, 50) * MS,
            jitter_ns=self.one_of(0, 3, 10) * MS,
            loss=self.one_of(0.0, 0.01, 0.1),
            bursts=self.one_of(None, None, Bursts.of(0.02, 2)),
            reorder=self.one_of(0.0, 0.1),
            reorder_ns=self.one_of(5, 15, 40) * MS,
            duplicate=self.one_of(0.0, 0.1),
        )


def make_scene(folder: Path, seed: int, fresh_epochs: int | None = None) -> tuple[Scene, Dice]:
    """Return a scene whose sender and receivers begin at various times; `fresh_epochs` as in `make_spec`."""
    dice = Dice(SimRandom(seed))
    lifetime_ms, keys = dice.one_of(3_000, 4_000, 5_000), dice.one_of(*KeyMaker)
    keys = keys if fresh_epochs is None else KeyMaker.SENDER
    spec = make_spec(lifetime_ms, keys=keys, fresh_epochs=fresh_epochs)
    scene = Scene(
        folder,
        spec,
        seed,
        packets_per_second=dice.one_of(5, 20, 50, 100),
        first_seq=dice.one_of(None, 0, 65_500, 131_000),
        size_bytes=dice.one_of(100, 1_316),
        batch=dice.one_of(1, 4),
    )
    scene.world.at(dice.instant_ns(0, 1), lambda _: scene.studio.start())
    for _ in range(4):
        options = {
            "link": dice.link(),
            "by_address": dice.one_of(True, False),
            "reorder_ms": dice.one_of(0, 20, 100),
        }
        scene.world.at(dice.instant_ns(0, 8), lambda _, options=options: scene.viewer(**options))
    return scene, dice


def assert_sound(viewer: Viewer) -> None:
    """Nothing wrong, nothing twice, in order, and every count fits the others."""
    stats = viewer.session.stats
    assert viewer.wrong == 0
    assert len(viewer.numbers) == len(set(viewer.numbers)) == stats.opened - stats.late
    assert set(viewer.numbers) <= viewer.arrived
    assert (stats.refused, stats.foreign) == (0, 0)
    assert 0 <= stats.switch_lost <= viewer.lost
    if viewer.session._streams.reorder_ms:
        assert viewer.numbers == sorted(viewer.numbers)


def check_calm(folder: Path, seed: int, fresh_epochs: int | None = None) -> None:
    """Without faults everything that arrived opens, but for the moments of joining and ending."""
    scene, _ = make_scene(folder, seed, fresh_epochs)
    scene.world.run_until(END_NS)
    scene.finish()
    for viewer in scene.viewers:
        assert_sound(viewer)
        stats = viewer.session.stats
        missing = len(viewer.arrived) - stats.opened
        assert missing <= len(viewer.arrived) // 20, f"{missing} of {len(viewer.arrived)}: {stats}"


def check_faults(folder: Path, seed: int, fresh_epochs: int | None = None) -> None:
    """After outages of the key server, and perhaps a crash, the stream goes on for everybody."""
    scene, dice = make_scene(folder, seed, fresh_epochs)

    def set_up(*, is_up: bool) -> None:
        scene.world.is_keyserver_up = is_up

    def restart(_: int) -> None:
        scene.studio.crash()
        scene.new_studio()
        scene.world.at(scene.world.now + dice.instant_ns(0, 1), lambda _: scene.studio.start())

    for _ in range(2):
        away_ns = dice.instant_ns(2, 8)
        scene.world.at(away_ns, lambda _: set_up(is_up=False))
        scene.world.at(away_ns + dice.instant_ns(0, 3), lambda _: set_up(is_up=True))
    scene.world.at(11 * SECOND, lambda _: set_up(is_up=True))
    if dice.one_of(True, False):
        scene.world.at(dice.instant_ns(3, 8), restart)
    # Whoever joined while nothing answered has asked again by now, and a whole epoch is over.
    scene.world.run_until(END_NS)
    settled = scene.studio.number
    scene.world.run_for(2 * SECOND)
    scene.finish()
    for viewer in scene.viewers:
        assert_sound(viewer)
        tail = {number for number in viewer.arrived if number >= settled}
        assert len(tail - set(viewer.numbers)) <= viewer.session.stats.late + len(tail) // 20


@pytest.mark.parametrize("seed", range(8))
def test_a_calm_evening(tmp_path: Path, seed: int) -> None:
    """Scenes without faults."""
    check_calm(tmp_path, seed)


@pytest.mark.parametrize("seed", range(8))
def test_an_evening_of_faults(tmp_path: Path, seed: int) -> None:
    """Scenes with faults."""
    check_faults(tmp_path, seed)


@pytest.mark.parametrize("seed", range(4))
def test_an_evening_of_chained_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Scenes of either kind whose keys follow from each other, two to four of them; no nonce comes twice."""
    recorder = Recorder.install(monkeypatch)
    check = check_faults if seed % 2 else check_calm
    check(tmp_path, seed, 2 + seed % 3)
    recorder.assert_fresh(100)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 250))
def test_many_evenings(tmp_path: Path, seed: int) -> None:
    """A hundred and fifty more of either kind, with keys that are fetched and keys that follow."""
    for name, check in (("calm", check_calm), ("faults", check_faults)):
        for fresh_epochs in (None, 2 + seed % 3):
            folder = tmp_path / f"{name}{fresh_epochs}"
            folder.mkdir()
            check(folder, seed, fresh_epochs)
