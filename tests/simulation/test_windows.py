"""The fetch window: two hundred receivers, and the key server sees them spread over it."""

from collections import Counter

import pytest

from sealcast.sender.actions import PublishKey
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec

LIFETIME_MS = 40_000
WINDOW_MS = 8_000
"""From Y = 10 s before the switch to the guard of 2 s."""

BINS = 10


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


def offsets_ms(scene: Scene, change: int) -> list[float]:
    """Return when each request of one change came, in ms after its window opened."""
    switch_ns = scene.studio.switches[change][0]
    opens_ns = switch_ns - LIFETIME_MS * MS // 4
    before_ns = scene.studio.switches[change - 1][0] + 10 * SECOND
    asked = [at for viewer in scene.viewers for at in viewer.fetched_ns if before_ns <= at <= switch_ns]
    return [(at - opens_ns) / MS for at in asked]


@pytest.mark.parametrize("change", [1, 2])
def test_all_ask_once_inside_the_window(audience: Scene, change: int) -> None:
    """For each change every receiver makes one request, and all fall inside the window."""
    offsets = offsets_ms(audience, change)
    assert len(offsets) == 200
    # What the window's instants are counted from took a millisecond to arrive, and is rounded to one.
    assert all(0 <= offset <= WINDOW_MS + 5 for offset in offsets)


@pytest.mark.parametrize("change", [1, 2])
def test_requests_are_spread_evenly(audience: Scene, change: int) -> None:
    """No tenth of the window gets many more requests than another, as chance has it."""
    bins = Counter(min(BINS - 1, int(offset * BINS / WINDOW_MS)) for offset in offsets_ms(audience, change))
    expected = 200 / BINS
    chi_square = sum((bins[i] - expected) ** 2 / expected for i in range(BINS))
    assert chi_square < 27.9, "less likely than one in a thousand, were they uniform"
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
