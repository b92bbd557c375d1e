"""The key server out of reach: delivery goes on, and comes back to its schedule without a loss."""

from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.sender.actions import PublishKey
from sealcast.wire import srtcp
from sealcast.wire.seal import Seal, parse_seal
from simulation import world
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec

LIFETIME_MS = 4_000


class Listener:
    """Reads what the sender says of itself, as it leaves."""

    def __init__(self, scene: Scene) -> None:
        self.heard: list[tuple[int, Seal]] = []
        self._scene = scene
        scene.studio.on_control = self._hear

    def _hear(self, packet: bytes) -> bytes:
        seal = parse_seal(srtcp.split_control(packet).clear_compound).seal
        self.heard.append((self._scene.world.now, seal))
        return packet


@pytest.mark.parametrize("keys", list(KeyMaker))
@pytest.mark.parametrize("back_s", [20, 21, 22, 23])
def test_unreachable_before_a_change(tmp_path: Path, keys: KeyMaker, back_s: int) -> None:
    """The epoch is extended and says so; when the key server is back, receivers get their whole window."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS, keys=keys))
    viewers = [scene.viewer() for _ in range(2)]
    listener = Listener(scene)
    scene.studio.start()
    scene.world.run_until(5 * SECOND)
    scene.world.is_keyserver_up = False
    for viewer in viewers:
        viewer.held_back_max = 0
    scene.world.run_until(back_s * SECOND)
    epoch = scene.studio.live_session().state(scene.world.now).epoch
    scene.world.is_keyserver_up = True
    scene.world.run_until(40 * SECOND)
    scene.finish()
    extended = [(at, seal) for at, seal in listener.heard if seal.extended]
    assert extended
    assert {seal.current.epoch for _, seal in extended} == {epoch}
    assert extended[0][0] - scene.studio.switches[1][0] >= LIFETIME_MS * MS
    assert all(seal.remaining_ms == 0 for _, seal in extended)
    published_ns = scene.keyserver.published_ns[epoch + 1]
    switched_ns = next(at for at, number in scene.studio.switches if number == epoch + 1)
    assert switched_ns - published_ns >= LIFETIME_MS * MS // 4
    for viewer in viewers:
        assert_perfect(viewer)
        assert viewer.lost == 0
        assert viewer.held_back_max <= 10, "the key came after the switch"
        assert viewer.session.stats.key_changes == len(scene.studio.switches) - 1


def test_receivers_do_not_storm_an_absent_key_server(tmp_path: Path) -> None:
    """While nothing answers, each receiver asks ever less often."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(5 * SECOND)
    before = len(viewer.fetched_ns)
    scene.world.is_keyserver_up = False
    scene.world.run_until(65 * SECOND)
    assert len(viewer.fetched_ns) - before <= 18


def test_start_without_key_server_on_kept_slots(tmp_path: Path) -> None:
    """With slots in the store a sender starts alone, and its key is handed in when somebody takes it."""
    scene = Scene(tmp_path, make_spec(60_000))
    scene.studio.start()
    scene.world.run_until(3 * SECOND)
    scene.studio.crash()
    scene.world.is_keyserver_up = False
    scene.new_studio()
    viewer = scene.viewer(by_address=True)
    scene.studio.start()
    scene.world.run_for(10 * SECOND)
    assert scene.studio.started_without_server
    assert scene.studio.switches, "it is not on air"
    assert viewer.numbers == []
    scene.world.is_keyserver_up = True
    scene.world.run_for(15 * SECOND)
    epoch = scene.studio.switches[0][1]
    assert epoch in scene.keyserver.published_ns
    scene.finish()
    assert viewer.wrong == 0
    assert viewer.numbers == list(range(viewer.numbers[0], scene.studio.number))
    assert viewer.numbers[0] < scene.studio.number - 500


def test_no_slot_and_no_key_server(tmp_path: Path) -> None:
    """As many starts as the lease has slots succeed without any key server, each under a new epoch."""
    scene = Scene(tmp_path, make_spec(60_000))
    scene.studio.start()
    scene.world.run_until(SECOND)
    scene.studio.crash()
    scene.world.is_keyserver_up = False
    epochs, ssrcs = [], []
    for _ in range(15):
        studio = scene.new_studio()
        studio.start()
        scene.world.run_for(6 * SECOND)
        epochs.append(studio.switches[0][1])
        ssrcs.append(studio.live_session().ssrc)
        studio.crash()
    assert epochs == list(range(2, 17))
    assert len(set(ssrcs)) == 15


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_the_key_server_away_for_a_moment_is_not_noticed(tmp_path: Path, keys: KeyMaker) -> None:
    """An outage shorter than X - Y changes no switch."""
    scene = Scene(tmp_path, make_spec(20_000, keys=keys))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(9 * SECOND)
    scene.world.is_keyserver_up = False
    scene.world.run_until(12 * SECOND)
    scene.world.is_keyserver_up = True
    scene.world.run_until(25 * SECOND)
    (first, _), (second, _) = scene.studio.switches
    assert second - first == 20 * SECOND
    scene.finish()
    assert_perfect(viewer)


def test_publish_at_x_exactly(tmp_path: Path) -> None:
    """Each next key is sent to the key server when X remains, to the nanosecond of simulated time."""
    scene = Scene(tmp_path, make_spec(10_000, publish_at="4s", prefetch_at="1s"))
    scene.studio.start()
    scene.world.run_until(45 * SECOND)
    published = {
        action.tek.key_id.epoch: at for at, action in scene.studio.actions if isinstance(action, PublishKey)
    }
    switches = {epoch: at for at, epoch in scene.studio.switches}
    assert len(switches) >= 4
    for epoch, at in switches.items():
        if epoch > 1:
            assert at - published[epoch] == 4 * SECOND
            assert at - switches[epoch - 1] == 10 * SECOND


SLOW = {"publish_at": "115s", "prefetch_at": "110s"}
"""With a lifetime of 120 s the window is over at 98 s, 22 s before the switch."""


@pytest.mark.parametrize("is_away", [True, False])
def test_no_change_long_after_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_away: bool
) -> None:
    """A word holds for 20 s: a sender whose questions hang extends then, and receivers get a window anew."""
    monkeypatch.setattr(world, "ASK_NS", 60 * SECOND)
    scene = Scene(tmp_path, make_spec(120_000, **SLOW), packets_per_second=5)
    viewer = scene.viewer()
    listener = Listener(scene)
    scene.studio.start()
    scene.world.run_until(99 * SECOND)
    scene.world.is_keyserver_up = not is_away
    scene.world.run_until(130 * SECOND)
    scene.world.is_keyserver_up = True
    scene.world.run_until(285 * SECOND)
    (first, _), (second, epoch), *_ = scene.studio.switches
    scene.finish()
    assert epoch == 2
    assert_perfect(viewer)
    assert viewer.lost == 0
    if is_away:
        assert second >= (130 + 110) * SECOND
        assert any(seal.extended for _, seal in listener.heard)
    else:
        assert second - first == 120 * SECOND


@pytest.mark.parametrize("is_urgent", [True, False])
def test_a_removal_goes_on_after_a_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_urgent: bool
) -> None:
    """A device removed while the sender heard nothing is shut out as soon as it hears again, by its fence."""
    monkeypatch.setattr(world, "ASK_NS", 60 * SECOND)
    scene = Scene(tmp_path, make_spec(120_000, **SLOW), packets_per_second=5)
    stays, goes = scene.viewer(), scene.viewer()
    scene.studio.start()
    scene.world.run_until(99 * SECOND)
    scene.world.is_keyserver_up = False
    scene.world.run_until(125 * SECOND)
    plan = scene.keyserver.remove(goes.endpoint.name, is_urgent=is_urgent)
    scene.world.is_keyserver_up = True
    scene.world.run_until(300 * SECOND)
    scene.finish()
    assert plan.fence is not None
    assert scene.studio.switches[1][1] >= plan.fence.epoch
    assert_perfect(stays, may_be_late=is_urgent)
