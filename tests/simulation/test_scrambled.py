"""Scrambled channels on networks that lose, repeat and reorder, as patterns, keys and senders change."""

from pathlib import Path

import pytest

from sealcast.testing import Link
from simulation.harness import Scene
from simulation.parts import EVERYTHING, MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.viewer import Viewer
from wire.patterning import scrambled

LINKS = {
    "perfect": Link(),
    "loss 20 %": Link(loss=0.2, jitter_ns=2 * MS),
    "everything": EVERYTHING,
}
POLICIES = ["two-times;32;3000B,1000ms", "single;128;100ms", "a,~a1@13;61;1p"]


def assert_right(viewer: Viewer) -> None:
    """Every packet that the network brought left in order, descrambled by the right pattern."""
    stats = viewer.session.stats
    assert viewer.wrong == 0
    assert viewer.numbers == sorted(viewer.arrived)
    assert (stats.refused, stats.foreign, stats.dropped) == (0, 0, 0)


@pytest.mark.parametrize(("link", "policy"), list(zip(LINKS.values(), POLICIES, strict=True)), ids=LINKS)
def test_never_more_is_lost_than_the_network_lost(tmp_path: Path, link: Link, policy: str) -> None:
    """Control packets are lost too, and all that arrived is given out, over four key changes."""
    scene = Scene(tmp_path, scrambled(make_spec(2_000), policy))
    for by_address in (False, True):
        scene.viewer(link=link, by_address=by_address)
    scene.studio.start()
    scene.world.run_until(9 * SECOND)
    scene.finish()
    for viewer in scene.viewers:
        assert_right(viewer)
        assert viewer.session.stats.key_changes >= 3
        assert viewer.is_over or link.loss


@pytest.mark.parametrize("fresh_epochs", [None, 3])
def test_a_sender_that_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_epochs: int | None
) -> None:
    """Keys fetched or chained: the next run begins its numbers anew, and no nonce comes twice."""
    recorder = Recorder.install(monkeypatch)
    scene = Scene(tmp_path, scrambled(make_spec(2_000, fresh_epochs=fresh_epochs), "single;128;7p"))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(7 * SECOND)
    scene.studio.crash()
    scene.world.run_until(8 * SECOND)
    scene.new_studio().start()
    scene.world.run_until(14 * SECOND)
    scene.finish()
    assert_right(viewer)
    assert viewer.numbers == list(range(viewer.numbers[0], scene.studio.number))
    recorder.assert_fresh(at_least=30)
