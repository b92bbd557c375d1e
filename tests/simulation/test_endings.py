"""The end of a stream, and the last packets under a key: nothing is cut off."""

from pathlib import Path

import pytest

from sealcast.receiver.farewells import AFTER_BYE_NS
from sealcast.testing import Link
from sealcast.wire import srtcp
from sealcast.wire.seal import parse_seal
from simulation.harness import Scene, assert_perfect
from simulation.parts import MS, SECOND, make_spec

PACKETS_PER_SECOND = 500


def is_bye(packet: bytes) -> bool:
    """Whether a control packet says BYE."""
    return parse_seal(srtcp.split_control(packet).clear_compound).seal.bye


def scene_with_viewers(folder: Path, *links: Link) -> Scene:
    """Return a scene in mid-stream, with a receiver for each link."""
    scene = Scene(folder, make_spec(4_000), packets_per_second=PACKETS_PER_SECOND)
    for link in links or (Link(),):
        scene.viewer(link=link)
    scene.studio.start()
    scene.world.run_until(3 * SECOND)
    return scene


def test_the_run_ends_with_the_last_packet(tmp_path: Path) -> None:
    """On a good network a receiver ends within milliseconds of the BYE, with everything."""
    scene = scene_with_viewers(tmp_path)
    (viewer,) = scene.viewers
    scene.finish()
    assert viewer.ended_ns is not None
    assert viewer.ended_ns - 3 * SECOND <= 5 * MS
    assert_perfect(viewer)
    assert viewer.numbers[-1] == scene.studio.number - 1


@pytest.mark.parametrize("heard", [0, 1, 2])
def test_one_bye_of_three_is_enough(tmp_path: Path, heard: int) -> None:
    """Whichever of the three BYE packets comes through, the run ends."""
    scene = scene_with_viewers(tmp_path)
    (viewer,) = scene.viewers
    seen: list[bytes] = []

    def drop_two(packet: bytes) -> bytes | None:
        if not is_bye(packet):
            return packet
        seen.append(packet)
        return packet if len(seen) == heard + 1 else None

    scene.studio.on_control = drop_two
    scene.finish()
    assert len(seen) == 3
    assert viewer.ended_ns is not None
    assert viewer.ended_ns - 3 * SECOND <= (5 + 20 * heard) * MS
    assert viewer.numbers[-1] == scene.studio.number - 1


def test_without_any_bye_the_run_goes_on(tmp_path: Path) -> None:
    """A receiver that hears no BYE waits on: ending by silence is the caller's choice."""
    scene = scene_with_viewers(tmp_path)
    scene.studio.on_control = lambda packet: None if is_bye(packet) else packet
    scene.finish()
    assert not scene.viewers[0].is_over
    assert_perfect(scene.viewers[0])


def test_a_bye_that_overtakes_the_last_packets(tmp_path: Path) -> None:
    """Data that is 100 ms behind the control packets is still waited for."""
    scene = scene_with_viewers(tmp_path)
    (viewer,) = scene.viewers
    viewer.endpoint.link = Link(latency_ns=100 * MS)
    scene.world.run_for(SECOND)
    scene.studio.stop(scene.world.now)
    # The BYE packets are given to it at once, ahead of what is still on its way.
    viewer.endpoint.link = Link(latency_ns=0)
    scene.world.run_for(10 * MS)
    assert not viewer.is_over
    scene.world.run_for(2 * SECOND)
    assert viewer.is_over
    assert_perfect(viewer)
    assert viewer.numbers[-1] == scene.studio.number - 1


@pytest.mark.parametrize("seed", range(8))
def test_the_last_packets_out_of_order(tmp_path: Path, seed: int) -> None:
    """A last packet that overtook others does not end the run before they had their time."""
    scene = Scene(tmp_path, make_spec(4_000), seed, packets_per_second=PACKETS_PER_SECOND)
    viewer = scene.viewer(link=Link(reorder=0.3, reorder_ns=15 * MS))
    scene.studio.start()
    scene.world.run_until(2 * SECOND)
    scene.finish()
    assert viewer.is_over
    assert_perfect(viewer)
    assert viewer.numbers == list(range(viewer.numbers[0], scene.studio.number))


def test_last_packets_that_were_lost_end_the_run_half_a_second_later(tmp_path: Path) -> None:
    """When the last packets never come, the BYE alone ends the run."""
    scene = scene_with_viewers(tmp_path)
    (viewer,) = scene.viewers
    viewer.on_packet = lambda _: False
    scene.world.run_for(100 * MS)
    said_ns = scene.world.now
    scene.finish()
    assert viewer.ended_ns is not None
    assert AFTER_BYE_NS <= viewer.ended_ns - said_ns <= AFTER_BYE_NS + 10 * MS


def test_packets_of_the_old_key_after_the_switch(tmp_path: Path) -> None:
    """Data that is 300 ms late at a switch opens under the previous key; then that key is erased."""
    scene = Scene(tmp_path, make_spec(2_000))
    viewer = scene.viewer(reorder_ms=0)
    scene.studio.start()
    held = []
    scene.world.run_until(1_500 * MS)

    def hold_back(packet: bytes) -> bool:
        if scene.world.now < 2_005 * MS:
            held.append(packet)
            return False
        return True

    viewer.on_packet = hold_back
    scene.world.run_until(2_300 * MS)
    assert viewer.session.state(scene.world.now).epoch == 2
    viewer.on_packet = lambda _: True
    opened = viewer.session.stats.opened
    viewer.session.handle_data(held, scene.world.now)
    assert viewer.session.stats.opened == opened + len(held)
    viewer._advance(scene.world.now)
    scene.world.refresh(viewer)
    assert {key_id.epoch for key_id in viewer.session._ring.held} >= {1, 2}
    scene.world.run_until(4_300 * MS + 2 * MS)
    assert 1 not in {key_id.epoch for key_id in viewer.session._ring.held}
    assert viewer.lost == 0


def test_a_sender_that_sent_nothing_ends_too(tmp_path: Path) -> None:
    """BYE without any data ends the run after the half second."""
    scene = Scene(tmp_path, make_spec(4_000), packets_per_second=0.1)
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(2 * SECOND)
    scene.finish()
    assert viewer.is_over


def test_the_next_run_is_another_stream(tmp_path: Path) -> None:
    """After a crash without BYE the restart goes on for the same receiver, in the order of its packets."""
    scene = scene_with_viewers(tmp_path)
    (viewer,) = scene.viewers
    scene.studio.crash()
    scene.world.run_for(SECOND)
    scene.new_studio().start()
    scene.world.run_for(6 * SECOND)
    scene.finish()
    assert viewer.is_over
    assert_perfect(viewer)
    assert viewer.numbers[-1] == scene.studio.number - 1
