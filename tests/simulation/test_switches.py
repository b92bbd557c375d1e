"""Key changes on a network that is perfect, lossy, bursty and out of order: nothing more is lost."""

from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker, Suite
from sealcast.testing import Bursts, Link
from simulation.harness import Scene, assert_perfect
from simulation.parts import EVERYTHING, MS, SECOND, make_spec


def test_without_loss_nothing_is_lost_at_a_switch(tmp_path: Path) -> None:
    """Ten changes: each receiver gives the stream back, from its first packet to the last."""
    scene = Scene(tmp_path, make_spec(2_000))
    for by_address in (False, True):
        scene.viewer(by_address=by_address)
    scene.studio.start()
    scene.world.run_until(21 * SECOND)
    scene.finish()
    for viewer in scene.viewers:
        assert_perfect(viewer)
        assert viewer.is_over
        assert viewer.session.stats.key_changes >= 9
        assert viewer.session.stats.switch_lost == 0
        assert (viewer.lost, viewer.numbers[-1]) == (0, scene.studio.number - 1)


LINKS = {
    "loss 1 %": Link(loss=0.01, jitter_ns=2 * MS),
    "loss 5 %": Link(loss=0.05, jitter_ns=2 * MS),
    "loss 20 %": Link(loss=0.2, jitter_ns=2 * MS),
    "bursts": Link(bursts=Bursts.of(0.05, 20)),
    "out of order": Link(reorder=0.1, reorder_ns=15 * MS),
    "duplicates": Link(duplicate=0.2, reorder_ns=15 * MS),
    "everything": EVERYTHING,
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_never_more_is_lost_than_the_network_lost(tmp_path: Path, link: Link) -> None:
    """Over ten changes with control packets and key requests lost too, all that arrived is given out."""
    scene = Scene(tmp_path, make_spec(2_000))
    for by_address in (False, True):
        scene.viewer(link=link, by_address=by_address)
    scene.studio.start()
    scene.world.run_until(21 * SECOND)
    scene.finish()
    for viewer in scene.viewers:
        assert_perfect(viewer)
        stats = viewer.session.stats
        assert stats.key_changes >= 9
        sent = viewer.numbers[-1] - viewer.numbers[0] + 1
        assert viewer.lost == sent - len(viewer.numbers)
        assert 0 <= stats.switch_lost <= viewer.lost


@pytest.mark.parametrize("keys", list(KeyMaker))
@pytest.mark.parametrize("suite", list(Suite))
def test_keys_of_either_maker_and_suite(tmp_path: Path, keys: KeyMaker, suite: Suite) -> None:
    """Whoever makes the keys, and however long they are, the stream passes its changes whole."""
    scene = Scene(tmp_path, make_spec(2_000, keys=keys, suite=suite))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(9 * SECOND)
    scene.finish()
    assert_perfect(viewer)
    assert (viewer.lost, viewer.session.stats.key_changes) == (0, 4)


def test_seq_wraps_between_changes(tmp_path: Path) -> None:
    """With a first SEQ just below 2^16, ROC becomes 1 in mid-stream and every change after that is clean."""
    scene = Scene(tmp_path, make_spec(1_000), first_seq=65_536 - 350)
    viewer = scene.viewer()
    late = []
    for second in (2, 3, 4, 5):
        scene.world.at(second * SECOND, lambda _: late.append(scene.viewer()))
    scene.studio.start()
    scene.world.run_until(8 * SECOND)
    scene.finish()
    assert scene.studio.number > 350 + 300
    for each in (viewer, *late):
        assert_perfect(each)
        assert each.lost == 0
        assert each.numbers[-1] == scene.studio.number - 1
    assert [each.session.state(scene.world.now).joined_at_roc for each in late] == [0, 0, 1, 1]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_an_hour_of_everything(tmp_path: Path, seed: int) -> None:
    """An hour of short lifetimes on a bad network, with a receiver that joins each ten minutes."""
    scene = Scene(tmp_path, make_spec(5_000), seed, packets_per_second=20, size_bytes=1316)
    for minute in range(0, 60, 10):
        scene.world.at(
            minute * 60 * SECOND,
            lambda at: scene.viewer(link=LINKS["everything"], by_address=at // (600 * SECOND) % 2 == 1),
        )
    scene.studio.start()
    scene.world.run_until(3_600 * SECOND)
    scene.finish()
    for viewer in scene.viewers:
        assert_perfect(viewer, may_be_late=True)
