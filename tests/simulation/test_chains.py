"""Chained keys on a network that is perfect, lossy, bursty and out of order: nothing is lost at a seam."""

from dataclasses import replace
from pathlib import Path

import pytest

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch
from sealcast.core.scrambling import PatternPolicy
from sealcast.messages.answers import Grant
from sealcast.testing import Bursts, Link
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.studio import CONTROL
from simulation.test_removal import arrived_epochs, check_opened_nothing
from simulation.viewer import Viewer

FRESH_EPOCHS = 3
"""Epochs 1 to 3 are one chain, 4 is a fresh start, and so on."""

LIFETIME_MS = 2_000
"""The update goes out from 500 ms before a switch on, repairs from 300 ms, the guard is 100 ms."""


def chain_scene(folder: Path, seed: int = 1, **studio: object) -> Scene:
    """Return a scene whose keys follow from each other."""
    scene = Scene(folder, make_spec(LIFETIME_MS, fresh_epochs=FRESH_EPOCHS), seed, **studio)
    scene.keyserver.is_recording = True
    return scene


def epochs_on_air(scene: Scene) -> list[int]:
    """Return all epochs that went on air, in order."""
    return [epoch for studio in scene.studios for _, epoch in studio.switches]


def origin_secrets(viewer: Viewer) -> list[int]:
    """Return the epochs of which a receiver holds C or Ku."""
    found = []
    for key_id in viewer.session._ring.held:
        tek = viewer.session._ring.tek(key_id)
        if (
            tek is not None
            and tek.origin is not None
            and len(tek.origin.link) + len(tek.origin.update or b"")
        ):
            found.append(key_id.epoch)
    return found


def test_only_fresh_starts_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten changes: seven come over the air, three are fetched, and the stream is whole; no nonce twice."""
    recorder = Recorder.install(monkeypatch)
    scene = chain_scene(tmp_path)
    viewers = [scene.viewer(by_address=by_address) for by_address in (False, True)]
    scene.studio.start()
    scene.world.run_until(20_100 * MS)
    scene.finish()
    assert epochs_on_air(scene) == list(range(1, 12))
    for viewer in viewers:
        assert_perfect(viewer)
        stats = viewer.session.stats
        assert (viewer.lost, stats.key_changes, stats.updates, stats.updates_refused) == (0, 10, 7, 0)
        assert stats.fetches == len(viewer.fetched_ns) <= 2 + 3
        assert viewer.numbers[-1] == scene.studio.number - 1
        assert origin_secrets(viewer) == [11]
    recorder.assert_fresh()


@pytest.mark.parametrize("suite", [Suite.AES_256_GCM, Suite.SCRAMBLE])
def test_keys_of_other_suites_follow_alike(tmp_path: Path, suite: Suite) -> None:
    """Longer keys, and patterns that follow from the key, come over the air as well."""
    spec = make_spec(LIFETIME_MS, fresh_epochs=FRESH_EPOCHS, suite=suite)
    patterns = PatternPolicy(after_ms=500) if suite is Suite.SCRAMBLE else None
    scene = Scene(tmp_path, replace(spec, patterns=patterns))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(8_100 * MS)
    scene.finish()
    assert viewer.numbers == list(range(scene.studio.number))
    assert (viewer.wrong, viewer.session.stats.updates, viewer.session.stats.key_changes) == (0, 3, 4)


LINKS = {
    "loss 5 %": Link(loss=0.05, jitter_ns=2 * MS),
    "bursts": Link(bursts=Bursts.of(0.05, 20)),
    "doubled": Link(duplicate=0.5, reorder_ns=15 * MS),
    "out of order": Link(reorder=0.3, reorder_ns=60 * MS),
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS.keys())
def test_never_more_is_lost_than_the_network_lost(tmp_path: Path, link: Link) -> None:
    """Ten changes with updates lost, doubled and reordered too: all that arrived is given out."""
    scene = chain_scene(tmp_path)
    for by_address in (False, True):
        scene.viewer(link=link, by_address=by_address, reorder_ms=100)
    scene.studio.start()
    scene.world.run_until(20_100 * MS)
    scene.finish()
    for viewer in scene.viewers:
        assert_perfect(viewer)
        stats = viewer.session.stats
        assert stats.key_changes >= 9
        assert stats.updates >= 6
        assert stats.updates_refused == 0
        assert viewer.lost == viewer.numbers[-1] - viewer.numbers[0] + 1 - len(viewer.numbers)


def test_who_misses_every_update_asks_in_the_repair_window(tmp_path: Path) -> None:
    """One unicast repair a change, told what is held, answered with the update alone; nothing is lost."""
    scene = chain_scene(tmp_path)
    viewer = scene.viewer()
    # Updates travel in the last half second of an epoch; hearing none of its SEAL packets is enough.
    viewer.on_control = lambda _: (scene.world.now // MS) % LIFETIME_MS < LIFETIME_MS - 510
    scene.studio.start()
    scene.world.run_until(9_900 * MS)
    scene.finish()
    assert_perfect(viewer)
    assert (viewer.lost, viewer.session.stats.updates) == (0, 0)
    assert epochs_on_air(scene) == [1, 2, 3, 4, 5]
    by_epoch = {key.material.key_id[-1]: key for _, _, grant in scene.keyserver.grants for key in grant.keys}
    assert {epoch for epoch, key in by_epoch.items() if not key.material.link} == {"2", "3", "5", "6"}
    for switch_ns, epoch in scene.studio.switches[1:]:
        window_ms = 400 if epoch == FRESH_EPOCHS + 1 else 200
        asked = [at for at in viewer.fetched_ns if switch_ns - SECOND < at < switch_ns]
        assert len(asked) == 1
        assert 100 - 5 <= (switch_ns - asked[0]) / MS <= 100 + window_ms + 5


def test_who_meets_the_next_key_on_the_air_loses_nothing(tmp_path: Path) -> None:
    """Update and answers are lost through a change: packets wait for a grant, which has the link."""
    scene = chain_scene(tmp_path)
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(1_400 * MS)
    viewer.on_control, viewer.on_grant = lambda _: False, lose
    scene.world.run_until(2_400 * MS)
    assert viewer.session.state(scene.world.now).held_back > 30
    viewer.on_control, viewer.on_grant = lambda _: True, lambda grant: grant
    scene.world.run_until(7 * SECOND)
    scene.finish()
    assert_perfect(viewer)
    assert (viewer.lost, viewer.session.stats.updates) == (0, 1)


def lose(grant: Grant) -> Grant:
    """Lose an answer."""
    raise FormatError(f"lost: {grant.jti}")


def test_joining_in_the_middle_of_a_change(tmp_path: Path) -> None:
    """Link and update come in one grant: the first request is the last before the next fresh start."""
    scene = chain_scene(tmp_path)
    scene.studio.start()
    scene.world.run_until(3_200 * MS)
    viewer = scene.viewer()
    scene.world.run_until(7_100 * MS)
    (_, _, grant), *_ = scene.keyserver.grants
    materials = [key.material for key in grant.keys]
    assert [(len(each.link), len(each.update)) for each in materials] == [(32, 32), (0, 32)]
    assert grant.chain is not None
    assert (grant.chain.first_epoch, grant.chain.fresh_at) == (2, 4)
    assert origin_secrets(viewer) == [4]
    scene.finish()
    assert_perfect(viewer)
    assert len(viewer.fetched_ns) == 2
    assert viewer.lost == 0


def test_a_receiver_that_starts_again_in_mid_chain(tmp_path: Path) -> None:
    """Its new session knows nothing, and has link and update with its first grant."""
    scene = chain_scene(tmp_path)
    first = scene.viewer()
    scene.studio.start()
    scene.world.run_until(3_300 * MS)
    first.crash()
    again = scene.viewer()
    scene.world.run_until(11 * SECOND)
    scene.finish()
    assert_perfect(again)
    assert again.lost == 0
    assert again.session.stats.updates >= 2


@pytest.mark.parametrize("at_ms", [2_300, 3_200, 3_700, 5_700])
def test_sender_and_key_server_that_start_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_ms: int
) -> None:
    """In mid-chain, before an update, between its repeats, and before a fresh start; no nonce comes twice."""
    recorder = Recorder.install(monkeypatch)
    scene = chain_scene(tmp_path)
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(at_ms * MS)
    scene.studio.crash()
    scene.keyserver.restart()
    scene.world.run_for(SECOND)
    scene.new_studio().start()
    scene.world.run_for(9 * SECOND)
    scene.finish()
    assert_perfect(viewer)
    assert viewer.numbers == list(range(scene.studio.number))
    assert viewer.session.stats.updates_refused == 0
    recorder.assert_fresh()


@pytest.mark.parametrize("is_urgent", [True, False])
def test_who_is_removed_opens_nothing_after_the_fresh_start(tmp_path: Path, *, is_urgent: bool) -> None:
    """It holds the key that follows already: that one never goes on air, and nobody else notices."""
    scene = chain_scene(tmp_path)
    gone, stays = scene.viewer(), scene.viewer(link=LINKS["loss 5 %"], reorder_ms=100)
    epochs = arrived_epochs(gone, scene)
    scene.studio.start()
    scene.world.run_until(3_700 * MS)
    assert gone.session._ring.holds_next()
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=is_urgent)
    scene.world.run_for(7 * SECOND)
    scene.finish()
    assert (plan.epoch, plan.skipped, epochs_on_air(scene)[:3]) == (4, (3,), [1, 2, 4])
    check_opened_nothing(gone, epochs, plan)
    assert_perfect(stays)


def test_a_fresh_start_on_command(tmp_path: Path) -> None:
    """What is published is skipped, the next key follows from none, and every receiver fetches it in time."""
    scene = chain_scene(tmp_path)
    viewers = [scene.viewer() for _ in range(5)]
    scene.studio.start()
    scene.world.run_until(3_300 * MS)
    plan = scene.keyserver.fresh_start(is_urgent=False)
    scene.world.run_for(4 * SECOND)
    assert (plan.epoch, plan.skipped) == (4, (3,))
    tek = scene.keyserver.teks[Epoch(4)]
    assert tek.origin is not None
    assert (tek.origin.follows, tek.origin.fresh_at) == (None, 4 + FRESH_EPOCHS)
    scene.finish()
    for viewer in viewers:
        assert_perfect(viewer)
        assert viewer.lost == 0


def test_updates_doubled_and_replayed_on_the_way(tmp_path: Path) -> None:
    """Every SEAL packet is sent again at once, and those of the chain before once more later."""
    scene = chain_scene(tmp_path)
    viewer = scene.viewer()
    recorded: list[bytes] = []

    def again(packet: bytes) -> bytes:
        recorded.append(packet)
        network, now = scene.world.network, scene.world.now
        network.send(CONTROL, packet, now)
        network.send(CONTROL, recorded[len(recorded) // 3], now)
        return packet

    scene.studio.on_control = again
    scene.studio.start()
    scene.world.run_until(14_100 * MS)
    scene.finish()
    assert_perfect(viewer)
    stats = viewer.session.stats
    assert (viewer.lost, stats.key_changes, stats.updates) == (0, 7, 5)
    assert stats.control_refused > stats.control
