"""Removal on the air: a device that is shut out opens nothing from the switch on, and nobody else notices."""

from pathlib import Path

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import command_window_ms
from sealcast.keyserver.service_fence import FencePlan
from sealcast.sender.actions import Cause
from sealcast.sender.reports import REPORT_ALONE_NS
from simulation.crowd import Crowd, share_signature_checks
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec
from simulation.recorder import Recorder
from simulation.studio import mark_of
from simulation.viewer import Viewer

LIFETIME_MS = 14_000
"""X is 7 s and Y 3.5 s before the switch: longer than W for a thousand receivers."""

IN_THE_WINDOW_NS = 12_000 * MS
"""Half of the receivers hold the next key."""

LATE_NS = 13_500 * MS
"""All of them do, and the switch to it is half a second ahead."""


def arrived_epochs(viewer: Viewer, scene: Scene) -> dict[int, int]:
    """Have a viewer note the epoch of each packet that arrives, by the number of its payload."""
    epochs: dict[int, int] = {}

    def note(packet: bytes) -> bool:
        for studio in scene.studios:
            if (number := studio.sent.get(mark_of(packet))) is not None:
                epochs[number] = int.from_bytes(packet[-4:], "big")
        return True

    viewer.on_packet = note
    return epochs


def holds_next(viewer: Viewer) -> bool:
    """Whether a receiver has fetched the key that comes next."""
    return viewer.session._ring.holds_next()


def check_opened_nothing(viewer: Viewer, epochs: dict[int, int], plan: FencePlan) -> None:
    """Check that a removed device opened all up to the switch that shut it out, and nothing after it."""
    assert {epochs[number] for number in viewer.numbers} < set(epochs.values())
    assert max(epochs[number] for number in viewer.numbers) < plan.epoch
    assert viewer.numbers == [number for number in sorted(epochs) if epochs[number] < plan.epoch]
    assert not [key_id for key_id in viewer.session._ring.held if key_id.epoch >= plan.epoch]


def remove_among(
    folder: Path,
    size: int,
    at_ns: int,
    keys: KeyMaker = KeyMaker.SENDER,
    fresh_epochs: int | None = None,
) -> Crowd:
    """Remove one of `size` receivers that holds the next key; check all that has to be true then."""
    studio = {"packets_per_second": 1, "size_bytes": 1316, "report_ns": REPORT_ALONE_NS}
    spec = make_spec(LIFETIME_MS, keys=keys, fresh_epochs=fresh_epochs)
    crowd = Crowd(folder, spec, size, **studio)
    scene, world = crowd.scene, crowd.scene.world
    crowd.arrive(0, 2 * SECOND, lambda scene, _: scene.viewer())
    scene.studio.start()
    world.run_until(at_ns)
    gone = next(viewer for viewer in scene.viewers if holds_next(viewer))
    epochs = arrived_epochs(gone, scene)
    opened_before = gone.numbers[:]
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=True)
    window_ms = command_window_ms(crowd.spec, size)
    world.run_for(6 * SECOND)
    (_, first), (switch_ns, second) = scene.studio.switches
    took_ns = switch_ns - at_ns
    print(f"{size} receivers: command to switch {took_ns / SECOND:.3f} s, W = {window_ms / 1000:.3f} s")
    assert (first, plan.skipped, plan.epoch, second) == (1, (2,), 3, 3)
    assert window_ms * NS_PER_MS <= took_ns <= window_ms * NS_PER_MS + SECOND
    epochs |= dict.fromkeys(opened_before, 1)
    check_opened_nothing(gone, epochs, plan)
    others = [viewer for viewer in scene.viewers if viewer is not gone]
    crowd.assert_perfect(others)
    for viewer in others:
        assert viewer.numbers == list(range(viewer.numbers[0], scene.studio.number))
        assert (viewer.lost, viewer.session.stats.switch_lost) == (0, 0)
    asked = [at for viewer in others for at in viewer.fetched_ns if at_ns < at <= switch_ns]
    assert len(others) <= len(asked) <= len(others) + size // 10
    check_reports(scene, plan)
    return crowd


def check_reports(scene: Scene, plan: FencePlan) -> None:
    """Check that the change is told as an eviction, and that nobody can be billed for skipped epochs."""
    reports = scene.keyserver.reports
    assert {report.cause for report in reports if report.epoch == plan.epoch} == {Cause.EVICTION}
    told = {totals.epoch for report in reports for totals in report.totals}
    assert not told & set(plan.skipped)
    assert scene.keyserver.fences == []


def test_one_of_a_hundred_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of the fetch window, with keys of the key server: what half of them have is skipped."""
    share_signature_checks(monkeypatch)
    recorder = Recorder.install(monkeypatch)
    remove_among(tmp_path, 100, IN_THE_WINDOW_NS, KeyMaker.KEYSERVER)
    recorder.assert_fresh(25)


def test_one_of_a_thousand_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """W is 3.3 s for a thousand; the command takes less than a second more, and the others lose nothing."""
    share_signature_checks(monkeypatch)
    crowd = remove_among(tmp_path, 1_000, LATE_NS)
    window_ms = command_window_ms(crowd.spec, crowd.size)
    assert window_ms == 3_333
    rush = crowd.rush("W", LATE_NS, LATE_NS + 5 * SECOND, window_ms)
    assert rush.ratio < 1.5, rush


def test_one_of_a_hundred_is_removed_from_a_chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that follows is skipped, and what takes its place is a fresh start, which the others fetch."""
    share_signature_checks(monkeypatch)
    recorder = Recorder.install(monkeypatch)
    crowd = remove_among(tmp_path, 100, IN_THE_WINDOW_NS, fresh_epochs=4)
    origin = crowd.scene.keyserver.teks[Epoch(3)].origin
    assert origin is not None
    assert (origin.follows, origin.fresh_at) == (None, 3 + 4)
    assert all(viewer.session.stats.updates == 1 for viewer in crowd.scene.viewers)
    recorder.assert_fresh(25)


def quiet_scene(folder: Path, keys: KeyMaker = KeyMaker.SENDER) -> tuple[Scene, Viewer, Viewer]:
    """Return a scene just before a switch, and two receivers that hold the next key."""
    spec = make_spec(LIFETIME_MS, keys=keys)
    scene = Scene(folder, spec, packets_per_second=20, report_ns=REPORT_ALONE_NS)
    viewers = [scene.viewer() for _ in range(2)]
    scene.studio.start()
    scene.world.run_until(LATE_NS)
    assert all(holds_next(viewer) for viewer in viewers)
    return scene, viewers[0], viewers[1]


def epochs_on_air(scene: Scene) -> list[int]:
    """Return all epochs that went on air, in order."""
    return [epoch for studio in scene.studios for _, epoch in studio.switches]


def test_two_devices_removed_one_after_the_other(tmp_path: Path) -> None:
    """The second had fetched the key of the first eviction: that one is skipped as well."""
    scene, first, second = quiet_scene(tmp_path)
    stays = scene.viewer()
    one = scene.keyserver.remove(first.endpoint.name, is_urgent=True)
    scene.world.run_for(1_700 * MS)
    other = scene.keyserver.remove(second.endpoint.name, is_urgent=True)
    scene.world.run_for(10 * SECOND)
    assert (one.epoch, other.epoch, other.skipped) == (3, 4, (2, 3))
    assert epochs_on_air(scene) == [1, 4]
    scene.finish()
    assert_perfect(stays)
    assert stays.lost == 0


def test_a_sender_that_starts_again_begins_beyond_the_fence(tmp_path: Path) -> None:
    """Killed before it could hear of the removal, it gets no slot whose key the device has."""
    scene, gone, _ = quiet_scene(tmp_path)
    scene.studio.crash()
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=True)
    scene.new_studio().start()
    scene.world.run_for(10 * SECOND)
    assert epochs_on_air(scene) == [1, plan.epoch]
    assert scene.keyserver.fences == []


def test_a_sender_that_hears_late_changes_at_once(tmp_path: Path) -> None:
    """One that started without key server, under the device's next key, is told with its first report."""
    scene, gone, stays = quiet_scene(tmp_path)
    scene.studio.crash()
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=False)
    scene.world.is_keyserver_up = False
    scene.new_studio().start()
    scene.world.run_for(6 * SECOND)
    assert epochs_on_air(scene) == [1, 2]
    scene.world.is_keyserver_up = True
    scene.world.run_for(10 * SECOND)
    assert epochs_on_air(scene) == [1, 2, plan.epoch]
    (_, (began_ns, _)) = scene.studio.switches
    assert began_ns < LATE_NS + 6 * SECOND + 8 * SECOND
    scene.finish()
    assert_perfect(stays, may_be_late=True)
    assert max(stays.arrived) == stays.numbers[-1]


def test_a_fence_that_was_heard_outlives_the_sender(tmp_path: Path) -> None:
    """Killed after it heard, and started without key server, it does not take the key that it burned."""
    scene, gone, _ = quiet_scene(tmp_path)
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=True)
    scene.world.run_for(SECOND)
    scene.studio.crash()
    scene.world.is_keyserver_up = False
    scene.new_studio().start()
    scene.world.run_for(6 * SECOND)
    assert epochs_on_air(scene) == [1, plan.epoch]


def test_without_hurry_the_schedule_shuts_the_device_out(tmp_path: Path) -> None:
    """A removal without --now skips the key that the device has; the switch waits for W, not for Y."""
    scene, gone, stays = quiet_scene(tmp_path)
    plan = scene.keyserver.remove(gone.endpoint.name, is_urgent=False)
    scene.world.run_for(8 * SECOND)
    ((_, first), (switch_ns, second)) = scene.studio.switches
    assert (first, second) == (1, plan.epoch)
    assert switch_ns - LATE_NS <= 3 * SECOND
    assert gone.numbers[-1] < scene.studio.number - 20 * 4
    scene.finish()
    assert_perfect(stays)
    assert stays.lost == 0
