"""Restarts and crashes: no (key, IV) pair twice, no epoch twice, and what was published goes on air."""

from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.sender.actions import ConsumeSlot, PublishKey
from simulation.harness import Scene
from simulation.parts import MS, SECOND, make_spec
from simulation.recorder import Recorder

LIFETIME_MS = 3_000
SOURCE = Path(__file__).resolve().parents[2] / "src" / "sealcast"


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record all that is sealed from now on."""
    return Recorder.install(monkeypatch)


def crash_and_restart(scene: Scene, pause_ns: int = SECOND) -> None:
    """Kill the sender, wait, and start it again."""
    if not scene.studio.is_over:
        scene.studio.crash()
    scene.world.run_for(pause_ns)
    scene.new_studio().start()


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_no_nonce_twice_across_crashes(tmp_path: Path, recorder: Recorder, keys: KeyMaker) -> None:
    """Crashes at every sixth of an epoch, with the key server there or not: every pair and epoch is new."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS, keys=keys), first_seq=5)
    viewer = scene.viewer()
    scene.studio.start()
    for i in range(12):
        scene.world.run_for(i * LIFETIME_MS * MS // 6)
        scene.world.is_keyserver_up = i % 4 != 2
        crash_and_restart(scene)
        scene.world.run_for(6 * SECOND)
        scene.world.is_keyserver_up = True
    recorder.assert_fresh()
    epochs = [epoch for studio in scene.studios for _, epoch in studio.switches]
    assert epochs == sorted(set(epochs))
    assert len(epochs) > 25
    assert viewer.wrong == 0
    assert viewer.session.stats.refused == 0
    numbers = viewer.numbers
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == scene.studio.number - 1 or scene.studio.number - numbers[-1] < 10


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_the_recorder_sees_every_packet_that_leaves(
    tmp_path: Path, recorder: Recorder, keys: KeyMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data, SEAL packets and BYE, over changes of keys: as many pairs as packets, and no other cipher."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS, keys=keys), first_seq=5)
    left: list[bytes] = []
    send = scene.world.network.send

    def sending(group: object, data: bytes, now: int) -> None:
        left.append(bytes(data))
        send(group, data, now)

    monkeypatch.setattr(scene.world.network, "send", sending)
    scene.studio.start()
    scene.world.run_for(4 * LIFETIME_MS * MS)
    scene.finish()
    assert sum(recorder.used.values()) == len(left) > 1_000
    recorder.assert_fresh()
    sealing = [path for part in ("sender", "wire", "keys") for path in (SOURCE / part).rglob("*.py")]
    assert [path.name for path in sealing if "AESGCM(" in path.read_text()] == ["srtp.py"]


@pytest.mark.parametrize("place", ["before publish", "before consume", "after consume"])
@pytest.mark.parametrize("keys", list(KeyMaker))
@pytest.mark.parametrize("moment", ["start", "change"])
def test_crash_between_the_steps_of_a_change(
    tmp_path: Path, recorder: Recorder, place: str, keys: KeyMaker, moment: str
) -> None:
    """Wherever a sender dies, the next run goes on without a nonce, an epoch or an SSRC coming twice."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS, keys=keys), first_seq=5)
    viewer = scene.viewer()
    if moment == "start":
        scene.studio.crash_at = place
    scene.studio.start()
    scene.world.run_until(LIFETIME_MS * MS // 4)
    scene.studio.crash_at = place
    scene.world.run_until(LIFETIME_MS * MS + SECOND)
    if keys is KeyMaker.SENDER or place != "before publish":
        assert scene.studio.is_over, "it did not die there"
    crash_and_restart(scene)
    scene.world.run_for(3 * LIFETIME_MS * MS)
    scene.finish()
    recorder.assert_fresh()
    epochs = [epoch for studio in scene.studios for _, epoch in studio.switches]
    assert epochs == sorted(set(epochs))
    assert len(epochs) >= 3
    assert viewer.wrong == 0
    assert viewer.numbers[-1] == scene.studio.number - 1


def restart_after_publish(scene: Scene) -> tuple[int, int]:
    """Kill a sender that has published its next key; return the epochs on air before and after."""
    scene.studio.start()
    scene.world.run_until(LIFETIME_MS * MS * 3 // 4)
    before = scene.studio.switches[-1][1]
    assert before + 1 in scene.keyserver.published_ns
    crash_and_restart(scene, 100 * MS)
    scene.world.run_for(SECOND)
    return before, scene.studio.switches[0][1]


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_a_restart_takes_the_published_next_epoch(tmp_path: Path, keys: KeyMaker) -> None:
    """Receivers that prefetched it lose nothing: the first packet of the new run opens at once."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS, keys=keys, prefetch_at="45%"))
    viewer = scene.viewer()
    before, after = restart_after_publish(scene)
    assert after == before + 1
    assert scene.studios[0].session is None
    first_of_new_run = min(scene.studio.sent.values())
    assert first_of_new_run in viewer.numbers
    assert viewer.lost == 0
    assert viewer.session.stats.dropped == 0
    published = [action for studio in scene.studios for _, action in studio.actions]
    teks = [a.tek for a in published if isinstance(a, PublishKey) and a.tek.key_id.epoch == after]
    assert all(tek == teks[0] for tek in teks)


def test_a_restart_has_a_fresh_ssrc(tmp_path: Path) -> None:
    """The slot's own SSRC, and not that of the run before, is on the packets."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS))
    restart_after_publish(scene)
    scene.world.run_for(SECOND)
    ssrcs = {report.ssrc for report in scene.keyserver.reports}
    assert len(ssrcs) == 2


def test_a_slot_is_durably_consumed_before_the_first_packet(tmp_path: Path) -> None:
    """No packet leaves under an epoch before the slot file says that the epoch is used."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS))
    scene.studio.start()
    scene.world.run_until(9 * LIFETIME_MS * MS // 2)
    consumed = {action.epoch: at for at, action in scene.studio.actions if isinstance(action, ConsumeSlot)}
    assert len(scene.studio.switches) == 5
    for at, epoch in scene.studio.switches:
        assert consumed[epoch] < at
    assert scene.studio.store.first_unused == scene.studio.switches[-1][1] + 1


def test_a_slot_file_that_was_lost_burns_what_there_was(tmp_path: Path, recorder: Recorder) -> None:
    """A sender without memory gets slots that it never had, and the stream goes on."""
    scene = Scene(tmp_path, make_spec(LIFETIME_MS))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(5 * SECOND)
    scene.studio.crash()
    for path in tmp_path.glob("*.json"):
        path.unlink()
    highest = scene.studio.switches[-1][1]
    crash_and_restart(scene)
    scene.world.run_for(10 * SECOND)
    assert scene.studio.switches[0][1] > highest + 1
    scene.finish()
    recorder.assert_fresh()
    assert viewer.numbers[-1] == scene.studio.number - 1
