"""Thousands of receivers of one channel: the key server sees them spread, whatever happens to the stream."""

from pathlib import Path

import pytest

from sealcast.core.ports import NS_PER_MS
from sealcast.testing import Link
from simulation.crowd import Crowd, share_signature_checks
from simulation.harness import Scene
from simulation.parts import SECOND, make_spec
from simulation.viewer import Viewer

RECEIVERS = 10_000
"""In the long form."""

THOUSANDS = 2_000
SOME = 1_500
"""As many that 300 requests are expected in each second of a window."""

LIFETIME_MS = 12_000
RARE = {"packets_per_second": 0.25, "size_bytes": 1316}
"""Ten thousand receivers multiply each packet; the rate of SEAL packets follows from this one."""

POOR = Link(loss=0.02, jitter_ns=3 * NS_PER_MS)
POOR_EVERY = 10

IDLE_WINDOW_MS = 5_000
"""Receivers that wait for a stream, or for a key server, ask every five to ten seconds."""


def make_viewer(scene: Scene, number: int) -> Viewer:
    """Return a receiver; each tenth hears badly."""
    return scene.viewer(link=POOR) if number % POOR_EVERY == 0 else scene.viewer()


def waiting_crowd(folder: Path, size: int) -> Crowd:
    """Return receivers that have come and wait for a stream that has not begun."""
    crowd = Crowd(folder, make_spec(LIFETIME_MS, prefetch_at="45%"), size, **RARE)
    crowd.arrive(0, 5 * SECOND, make_viewer)
    crowd.scene.world.run_until(15 * SECOND)
    return crowd


def check_stream_from_first_to_restart(crowd: Crowd) -> None:
    """Begin a stream before a waiting crowd, change keys twice, kill the sender and start it again."""
    world = crowd.scene.world
    crowd.rush("waiting", 10 * SECOND, 15 * SECOND, IDLE_WINDOW_MS).assert_no_herd()
    crowd.scene.studio.start()
    world.run_for(2 * LIFETIME_MS * NS_PER_MS + 3 * SECOND)
    first, *changes = [at for at, _ in crowd.scene.studio.switches]
    crowd.restart_sender()
    world.run_for(7 * SECOND)
    (restart,) = [at for at, _ in crowd.scene.studio.switches]
    assert len(changes) == 2
    crowd.rush_after("first start", first).assert_no_herd()
    for change in changes:
        rush = crowd.rush_before(change)
        assert rush.requests == crowd.size
        rush.assert_no_herd()
    rush = crowd.rush_after("sender's restart", restart)
    assert rush.requests == crowd.size
    rush.assert_no_herd()
    crowd.assert_perfect()
    for i, viewer in enumerate(crowd.scene.viewers):
        if i % POOR_EVERY:
            assert viewer.numbers == list(range(crowd.scene.studio.number))
            assert viewer.lost == 0


@pytest.mark.timeout(900)
def test_thousands_of_receivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start, two changes, a sender's restart: no second brings 1.5 times its share, nothing is lost."""
    share_signature_checks(monkeypatch)
    check_stream_from_first_to_restart(waiting_crowd(tmp_path, THOUSANDS))


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_ten_thousand_receivers_each_check_each_signature(tmp_path: Path) -> None:
    """The same with nothing shared between the receivers."""
    check_stream_from_first_to_restart(waiting_crowd(tmp_path, RECEIVERS))


def check_key_server_away(crowd: Crowd) -> None:
    """Kill the key server for two lifetimes before a change; look at who asks while it is away and after."""
    scene, world = crowd.scene, crowd.scene.world
    scene.studio.start()
    world.run_for(LIFETIME_MS * NS_PER_MS + 2 * SECOND)
    world.is_keyserver_up = False
    world.run_for(2 * LIFETIME_MS * NS_PER_MS)
    back_ns = world.now
    world.is_keyserver_up = True
    scene.keyserver.restart()
    world.run_for(LIFETIME_MS * NS_PER_MS)
    changes = [at for at, _ in scene.studio.switches]
    after = next(at for at in changes if at > back_ns)
    assert after - changes[changes.index(after) - 1] > 2 * LIFETIME_MS * NS_PER_MS, "it was not extended"
    crowd.rush("key server away", back_ns - 5 * SECOND, back_ns, IDLE_WINDOW_MS).assert_no_herd()
    crowd.rush_before(after).assert_no_herd()
    crowd.rush("key server back", back_ns, after, crowd.window_ms).assert_no_herd()
    crowd.assert_perfect()


def test_key_server_away_for_two_lifetimes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key server that comes back is met by receivers spread by backing off, then by a window."""
    share_signature_checks(monkeypatch)
    check_key_server_away(waiting_crowd(tmp_path, SOME))
