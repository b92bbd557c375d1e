"""The windows of a chain: a key that follows is asked for by nobody, a fresh start over its whole window."""

import pytest

from simulation.crowd import share_signature_checks
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec
from simulation.spread import LIFETIME_MS, assert_even, assert_inside, offsets_ms

RECEIVERS = 200


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return two hundred receivers after a key that followed and a fresh start."""
    spec = make_spec(LIFETIME_MS, fresh_epochs=2)
    with pytest.MonkeyPatch.context() as monkeypatch:
        share_signature_checks(monkeypatch)
        scene = Scene(tmp_path_factory.mktemp("audience"), spec, packets_per_second=1, size_bytes=1316)
        scene.studio.start()
        for i in range(RECEIVERS):
            scene.world.at(SECOND + i * 20 * MS, lambda _: scene.viewer())
        scene.world.run_until(2 * LIFETIME_MS * MS + 5 * SECOND)
    return scene


def test_a_key_that_follows_is_asked_for_by_nobody(audience: Scene) -> None:
    """All have the update from the air before the first of them would ask."""
    assert [epoch for _, epoch in audience.studio.switches] == [1, 2, 3]
    assert offsets_ms(audience, 1) == []
    assert all(viewer.session.stats.updates == 1 for viewer in audience.viewers)


def test_a_fresh_start_is_asked_for_over_its_whole_window(audience: Scene) -> None:
    """Every receiver asks once, and a tenth of them in each tenth of the window, as chance has it."""
    offsets = offsets_ms(audience, 2)
    assert len(offsets) == RECEIVERS
    assert_inside(offsets)
    assert_even(offsets, RECEIVERS)


def test_everybody_has_the_whole_stream(audience: Scene) -> None:
    """No receiver lost a packet at either change."""
    for viewer in audience.viewers:
        assert_perfect(viewer)
        assert (viewer.lost, viewer.session.stats.key_changes) == (0, 2)
