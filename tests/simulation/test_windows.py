"""The fetch window: two hundred receivers, and the key server sees them spread over it."""

import pytest

from sealcast.sender.actions import PublishKey
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec
from simulation.spread import LIFETIME_MS, assert_even, assert_inside, offsets_ms


@pytest.fixture(scope="module")
def audience(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return two hundred receivers after two changes."""
    scene = Scene(
        tmp_path_factory.mktemp("audience"), make_spec(LIFETIME_MS), packets_per_second=1, size_bytes=1316
    )
    scene.studio.start()
    for i in range(200):
        scene.world.at(SECOND + i * 20 * MS, lambda _: scene.viewer())
    scene.world.run_until(2 * LIFETIME_MS * MS + 5 * SECOND)
    return scene


@pytest.mark.parametrize("change", [1, 2])
def test_all_ask_once_inside_the_window(audience: Scene, change: int) -> None:
    """For each change every receiver makes one request, and all fall inside the window."""
    offsets = offsets_ms(audience, change)
    assert len(offsets) == 200
    assert_inside(offsets)


@pytest.mark.parametrize("change", [1, 2])
def test_requests_are_spread_evenly(audience: Scene, change: int) -> None:
    """No tenth of the window gets many more requests than another, as chance has it."""
    bins = assert_even(offsets_ms(audience, change), 200)
    assert max(bins.values()) <= 40


def test_the_rest_of_the_time_nobody_asks(audience: Scene) -> None:
    """A receiver makes one request to join and one for each change."""
    assert all(len(viewer.fetched_ns) == 3 for viewer in audience.viewers)


def test_everybody_has_the_whole_stream(audience: Scene) -> None:
    """No receiver lost a packet at any of the changes."""
    for viewer in audience.viewers:
        assert_perfect(viewer)
        assert viewer.lost == 0
        assert viewer.session.stats.key_changes == 2


def test_the_next_key_is_there_before_the_window(audience: Scene) -> None:
    """X comes before Y: no request of a window is in vain."""
    published = [at for at, action in audience.studio.actions if isinstance(action, PublishKey)]
    for change in (1, 2):
        assert published[change] < audience.studio.switches[change][0] - LIFETIME_MS * MS // 4
