"""Scenes of chained keys drawn at random, in which all comes together, and a thief has one link of them."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from attacks.chain_thief import Thief
from sealcast.core.ids import Epoch
from sealcast.sender.actions import PublishKey
from simulation.harness import Scene
from simulation.parts import SECOND
from simulation.recorder import Recorder
from simulation.test_anything import END_NS, Dice, assert_sound, make_scene
from simulation.viewer import Viewer

WATCHING_MIN = 2
"""So many receivers are never removed."""


@dataclass(slots=True)
class Night:
    """A scene with removals, fresh starts on command, a crash, outages, and a theft, at random instants."""

    scene: Scene
    dice: Dice
    thief: Thief
    removed: list[Viewer] = field(default_factory=list)
    stolen: Epoch | None = None

    def plan(self) -> None:
        """Draw what happens when."""
        world, dice = self.scene.world, self.dice
        for call, times in ((self.remove, (0, 1, 2)), (self.order_fresh, (0, 1))):
            for _ in range(dice.one_of(*times)):
                world.at(dice.instant_ns(4, 14), call)
        for call, first_s, last_s in ((self.crash, 3, 12), (self.go_away, 3, 8), (self.forget, 4, 14)):
            if dice.one_of(True, False):
                world.at(dice.instant_ns(first_s, last_s), call)
        world.at(dice.instant_ns(5, 9), self.steal)

    def remove(self, _: int) -> None:
        """Remove a receiver that still watches."""
        watching = [viewer for viewer in self.scene.viewers if viewer not in self.removed]
        if len(watching) > WATCHING_MIN:
            is_urgent = self.dice.one_of(True, False)
            self.scene.keyserver.remove(watching[0].endpoint.name, is_urgent=is_urgent)
            self.removed.append(watching[0])

    def order_fresh(self, _: int) -> None:
        """Order a fresh start."""
        self.scene.keyserver.fresh_start(is_urgent=self.dice.one_of(True, False))

    def crash(self, now: int) -> None:
        """Kill the sender; another starts within a second."""
        self.scene.studio.crash()
        self.scene.new_studio()
        self.scene.world.at(now + self.dice.instant_ns(0, 1), lambda _: self.scene.studio.start())

    def go_away(self, now: int) -> None:
        """Take the key server away for a while."""
        self.scene.world.is_keyserver_up = False
        self.scene.world.at(now + self.dice.instant_ns(0, 4), self._come_back)

    def _come_back(self, _: int) -> None:
        self.scene.world.is_keyserver_up = True

    def forget(self, _: int) -> None:
        """Restart the key server."""
        self.scene.keyserver.restart()

    def steal(self, _: int) -> None:
        """Give the thief the link of the key on air, from a receiver that has it."""
        for viewer in self.scene.viewers:
            ring = viewer.session._ring
            tek = ring.tek(ring.current) if ring.current is not None else None
            if tek is not None and tek.origin is not None and len(tek.origin.link):
                self.stolen = tek.key_id.epoch
                self.thief.steal_link(tek)
                return

    def check_watching(self, settled: int) -> None:
        """Check that whoever was not removed has the end of the stream, and that no update led nowhere."""
        for viewer in self.scene.viewers:
            assert_sound(viewer)
            if viewer not in self.removed:
                tail = {number for number in viewer.arrived if number >= settled}
                assert len(tail - set(viewer.numbers)) <= viewer.session.stats.late + len(tail) // 20
                assert viewer.session.stats.updates_refused == 0

    def check_thief(self) -> None:
        """Check that the thief opened nothing before the link it has, and nothing from a fresh start on."""
        actions = [action for studio in self.scene.studios for _, action in studio.actions]
        teks = [action.tek for action in actions if isinstance(action, PublishKey)]
        fresh = {tek.key_id.epoch for tek in teks if tek.origin is not None and tek.origin.follows is None}
        if self.stolen is None:
            assert not self.thief.opened
            return
        aired = {epoch for studio in self.scene.studios for _, epoch in studio.switches}
        end = min((epoch for epoch in aired & fresh if epoch > self.stolen), default=max(aired) + 1)
        assert {self.stolen} <= set(self.thief.opened) <= set(range(self.stolen, end))


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(30))
def test_a_night_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Receivers that stay have the stream, the thief its chain and no more, and no nonce comes twice."""
    recorder = Recorder.install(monkeypatch)
    scene, dice = make_scene(tmp_path, seed, 2 + seed % 4)
    night = Night(scene, dice, Thief(scene.world))
    night.plan()
    scene.world.run_until(END_NS + 4 * SECOND)
    settled = scene.studio.number
    scene.world.run_for(3 * SECOND)
    scene.finish()
    night.check_watching(settled)
    night.check_thief()
    recorder.assert_fresh(100)
