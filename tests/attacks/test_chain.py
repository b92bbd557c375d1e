"""Who has one C of a chain follows to the next fresh start, over the air alone, and not a packet further."""

from pathlib import Path

import pytest

from attacks.chain_thief import Thief
from sealcast.core.ids import Epoch
from sealcast.keys.material import Tek
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec
from simulation.viewer import Viewer

LIFETIME_MS = 2_000
FRESH_EPOCHS = 4
"""Epochs 1 to 4 are one chain, 5 to 8 the next."""


def stage(folder: Path) -> tuple[Scene, Viewer, Thief]:
    """Return a chained channel that has begun, a receiver, and a thief that hears all of it."""
    scene = Scene(folder, make_spec(LIFETIME_MS, fresh_epochs=FRESH_EPOCHS), packets_per_second=20)
    viewer = scene.viewer()
    thief = Thief(scene.world)
    scene.studio.start()
    return scene, viewer, thief


def key_of(viewer: Viewer, epoch: int) -> Tek:
    """Return a key as it stands in a receiver's memory."""
    ring = viewer.session._ring
    return next(
        tek for key_id in ring.held if key_id.epoch == epoch and (tek := ring.tek(key_id)) is not None
    )


def test_a_stolen_link_follows_to_the_fresh_start(tmp_path: Path) -> None:
    """From the epoch whose C was stolen to the last of its chain all opens; nothing before, nothing after."""
    scene, viewer, thief = stage(tmp_path)
    scene.world.run_until(3_000 * MS)
    assert not thief.opened
    thief.steal_link(key_of(viewer, 2))
    scene.world.run_until(15 * SECOND)
    scene.finish()
    assert set(thief.heard) == set(range(1, 9))
    assert thief.opened == {epoch: thief.heard[epoch] for epoch in (2, 3, 4)}
    assert_perfect(viewer)
    assert viewer.lost == 0


def test_a_tek_without_its_c_opens_one_epoch(tmp_path: Path) -> None:
    """TEK and C are apart: who has the key of an epoch alone follows nowhere."""
    scene, viewer, thief = stage(tmp_path)
    scene.world.run_until(3_000 * MS)
    thief.steal_tek(key_of(viewer, 2))
    scene.world.run_until(9 * SECOND)
    assert thief.opened == {2: thief.heard[2]}
    assert set(thief.heard) == {1, 2, 3, 4, 5}


def test_a_chain_that_was_used_up_tells_nothing(tmp_path: Path) -> None:
    """A receiver's memory in epoch 3 has C of that alone: who takes all of it opens 2 by its TEK, never 1."""
    scene, viewer, thief = stage(tmp_path)
    scene.world.run_until(5_000 * MS)
    held = sorted(key_id.epoch for key_id in viewer.session._ring.held)
    for epoch in held:
        tek = key_of(viewer, epoch)
        assert tek.origin is not None
        assert bool(len(tek.origin.link)) == (epoch == held[-1])
        assert not tek.origin.update
    thief.steal_link(key_of(viewer, held[-1]))
    scene.world.run_until(6_500 * MS)
    assert (held[-1], set(thief.opened)) == (3, {3, 4})


@pytest.mark.parametrize("is_urgent", [True, False])
def test_a_removed_receiver_that_keeps_everything(tmp_path: Path, *, is_urgent: bool) -> None:
    """Every C and Ku that it ever had opens nothing from its fence on, which ends the chain early."""
    scene, viewer, thief = stage(tmp_path)
    scene.world.run_until(500 * MS)
    thief.steal_link(key_of(viewer, 1))
    scene.world.run_until(3_700 * MS)
    plan = scene.keyserver.remove(viewer.endpoint.name, is_urgent=is_urgent)
    scene.world.run_until(12 * SECOND)
    assert (plan.epoch, set(thief.opened)) == (4, {1, 2})
    assert {4, 5} <= set(thief.heard)
    assert max(viewer.numbers) <= thief.opened[1] + thief.opened[2]


def test_a_fresh_start_on_command_shuts_a_thief_out(tmp_path: Path) -> None:
    """The operator need not know who has the C: whoever it is follows no further."""
    scene, viewer, thief = stage(tmp_path)
    scene.world.run_until(500 * MS)
    thief.steal_link(key_of(viewer, 1))
    scene.world.run_until(2_500 * MS)
    plan = scene.keyserver.fresh_start(is_urgent=True)
    scene.world.run_until(9 * SECOND)
    scene.finish()
    assert set(thief.opened) == set(range(1, plan.epoch))
    assert plan.epoch == Epoch(3)
    assert_perfect(viewer)
    assert viewer.lost == 0
