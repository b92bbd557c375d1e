"""Removals, switches, restarts and outages in any order: who was removed opens nothing behind the fence."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.keyserver.service_fence import FencePlan
from sealcast.sender.reports import REPORT_ALONE_NS, REPORT_NS
from simulation.harness import Scene
from simulation.parts import MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.test_anything import Dice, SimRandom, assert_sound
from simulation.test_removal import arrived_epochs
from simulation.viewer import Viewer

END_NS = 22 * SECOND
SETTLE_NS = 12 * SECOND
VIEWERS = 6
EVENTS = 9
SCENES = 5


@dataclass
class Turmoil:
    """One scene drawn from a seed, in which devices are removed while everything else happens."""

    scene: Scene
    dice: Dice
    removed: dict[Viewer, FencePlan] = field(default_factory=dict)
    epochs: dict[Viewer, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def drawn(cls, folder: Path, seed: int) -> "Turmoil":
        """Draw what happens; nothing has yet."""
        dice = Dice(SimRandom(f"removals/{seed}"))
        spec = make_spec(
            dice.one_of(3_000, 4_000, 6_000),
            keys=dice.one_of(*KeyMaker),
            publish_at=dice.one_of("50%", "90%"),
            prefetch_at=dice.one_of("25%", "45%"),
        )
        report_ns = dice.one_of(REPORT_ALONE_NS, REPORT_NS)
        turmoil = cls(Scene(folder, spec, seed, packets_per_second=20, report_ns=report_ns), dice)
        world = turmoil.scene.world
        world.at(0, lambda _: turmoil.scene.studio.start())
        for _ in range(VIEWERS):
            world.at(dice.instant_ns(0, 4), lambda _: turmoil.add_viewer())
        happenings = (turmoil.remove, turmoil.remove, turmoil.restart_sender, turmoil.lose_server)
        for _ in range(EVENTS):
            happening = dice.one_of(*happenings)
            world.at(dice.instant_ns(4, 20), lambda _, happening=happening: happening())
        return turmoil

    def add_viewer(self) -> None:
        """Bring one more receiver, and note under which epoch what reaches it was sealed."""
        viewer = self.scene.viewer()
        self.epochs[viewer] = arrived_epochs(viewer, self.scene)

    def remove(self) -> None:
        """Remove somebody, in a hurry or not."""
        left = [viewer for viewer in self.scene.viewers if viewer not in self.removed]
        if len(left) > 1:
            viewer = self.dice.one_of(*left)
            is_urgent = self.dice.one_of(True, False)
            self.removed[viewer] = self.scene.keyserver.remove(viewer.endpoint.name, is_urgent=is_urgent)

    def restart_sender(self) -> None:
        """Kill the sender; another starts a moment later, unless one does already."""
        if self.scene.studio.is_over:
            return
        self.scene.studio.crash()
        again_ns = self.scene.world.now + self.dice.one_of(1, 300, 1_500) * MS
        self.scene.world.at(again_ns, lambda _: self.scene.new_studio().start())

    def lose_server(self) -> None:
        """Have the key server away for a while; it has forgotten then what is on air."""
        world = self.scene.world

        def back(_: int) -> None:
            world.is_keyserver_up = True
            self.scene.keyserver.restart()

        world.is_keyserver_up = False
        world.at(world.now + self.dice.one_of(200, 1_000, 3_000) * MS, back)

    @property
    def switches(self) -> list[tuple[int, int]]:
        """When each epoch went on air, over all senders."""
        return [switch for studio in self.scene.studios for switch in studio.switches]

    def check(self) -> None:
        """Check what has to be true whatever happened."""
        assert all(one < other for (_, one), (_, other) in pairwise(self.switches))
        self._check_fences()
        for viewer, plan in self.removed.items():
            assert max(self.scene.keyserver.granted.get(viewer.endpoint.name, {0})) < plan.epoch
            assert all(key_id.epoch < plan.epoch for key_id in viewer.session._ring.held)
            assert all(self.epochs[viewer][number] < plan.epoch for number in viewer.numbers)
        for viewer in self.scene.viewers:
            viewer.check_counts()
            assert_sound(viewer)
            if viewer not in self.removed:
                assert viewer.numbers[-1] == self.scene.studio.number - 1

    def _check_fences(self) -> None:
        """Check that nothing below a fence went on air once it was heard, and that all are behind now."""
        for studio in self.scene.studios:
            for heard_ns, fence in studio.heard:
                assert all(epoch >= fence for at, epoch in self.switches if at > heard_ns)
        assert not [fence for fence in self.scene.keyserver.fences if fence.is_urgent]
        totals = {each.epoch for report in self.scene.keyserver.reports for each in report.totals}
        assert totals <= {epoch for _, epoch in self.switches}


def run(folder: Path, seed: int) -> Turmoil:
    """Let a scene happen, leave it time to settle, and check it."""
    turmoil = Turmoil.drawn(folder, seed)
    world = turmoil.scene.world
    world.run_until(END_NS)
    world.is_keyserver_up = True
    world.run_for(SETTLE_NS)
    turmoil.scene.finish()
    turmoil.check()
    return turmoil


def test_removals_among_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five scenes: devices that were removed open nothing from their fence on, and no nonce comes twice."""
    recorder = Recorder.install(monkeypatch)
    skipped = removed = 0
    for seed in range(SCENES):
        turmoil = run(tmp_path / str(seed), seed)
        removed += len(turmoil.removed)
        skipped += sum(bool(plan.skipped) for plan in turmoil.removed.values())
    recorder.assert_fresh()
    assert removed >= 10
    assert skipped >= 3


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_many_removals_among_everything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a hundred and fifty scenes."""
    recorder = Recorder.install(monkeypatch)
    for seed in range(SCENES, SCENES + 150):
        run(tmp_path / str(seed), seed)
    recorder.assert_fresh()
