"""Joining late: at any ROC, just before SEQ wraps, with the counters told by either source, or wrongly."""

import dataclasses
from pathlib import Path

import pytest

from sealcast.messages.answers import Grant
from sealcast.wire import srtcp, srtp
from sealcast.wire.seal import SenderCounts, build_seal, parse_seal
from simulation.harness import Scene, assert_perfect
from simulation.keyserver import ModelKeyServer
from simulation.parts import MS, SECOND, SIGNER, make_spec
from simulation.viewer import Viewer

BEFORE = 100
"""Packets that the sender has sent when the receiver joins, at SEQ 65,530."""

LOST = 10
JOIN_NS = SECOND


def scene_at(folder: Path, roc: int, lifetime_ms: int = 60_000) -> Scene:
    """Return a scene whose sender is at SEQ 65,530 of `roc` after a second."""
    first_seq = (roc << 16) + 65_530 - BEFORE
    scene = Scene(folder, make_spec(lifetime_ms), first_seq=first_seq, size_bytes=1316)
    scene.studio.start()
    return scene


def join(scene: Scene, *, lost: int = LOST) -> Viewer:
    """Let a receiver join now, for whom the first packets are lost."""
    viewer = scene.viewer(by_address=True)
    dropped: list[bytes] = []

    def drop_first(packet: bytes) -> bool:
        if len(dropped) < lost:
            dropped.append(packet)
        return packet not in dropped

    viewer.on_packet = drop_first
    return viewer


def without_counters(grant: Grant) -> Grant:
    """Return a grant that does not say where the counters stand."""
    return Grant(
        jti=grant.jti,
        channel=grant.channel,
        keys=grant.keys,
        streams=[],
        senders=grant.senders,
        window=grant.window,
    )


def with_wrong_counters(grant: Grant, rocs: int = 9) -> Grant:
    """Return a grant whose ROC is off by so many."""
    streams = [type(s)(ssrc=s.ssrc, roc=s.roc + rocs, seq=s.seq, age_ms=s.age_ms) for s in grant.streams]
    return Grant(
        jti=grant.jti,
        channel=grant.channel,
        keys=grant.keys,
        streams=streams,
        senders=grant.senders,
        window=grant.window,
    )


def with_wrong_roc(packet: bytes, keyserver: ModelKeyServer) -> bytes:
    """Return a SEAL packet as a sender with a wrong ROC in mind would have made it."""
    control = srtcp.split_control(packet)
    seal = parse_seal(control.clear_compound).seal
    tek = keyserver.teks[seal.current.epoch]
    word = srtcp.index_word(control.index)
    wrong = dataclasses.replace(seal, roc=seal.roc + 7)
    compound = build_seal(wrong, SenderCounts(0, 0, 0), "x", word, SIGNER.sign)
    key = srtp.derive_rtcp(tek.key, tek.salt)
    return srtcp.seal_control(key, compound, control.ssrc, control.index, control.mki)


@pytest.mark.parametrize("roc", [0, 1, 2, 3])
@pytest.mark.parametrize("source", ["both", "seal", "grant"])
def test_late_join_just_before_seq_wraps(tmp_path: Path, roc: int, source: str) -> None:
    """The first packet that comes is of the next ROC; whoever told the one before, it opens."""
    scene = scene_at(tmp_path, roc)
    scene.world.run_until(JOIN_NS)
    viewer = join(scene)
    if source == "seal":
        viewer.on_grant = without_counters
    if source == "grant":
        scene.studio.on_control = lambda _: None
    scene.world.run_for(3 * SECOND)
    scene.finish()
    assert_perfect(viewer)
    assert viewer.numbers[0] in range(BEFORE + LOST, BEFORE + LOST + 3)
    assert viewer.lost == 0
    assert viewer.session.state(scene.world.now).joined_at_roc == roc + 1


@pytest.mark.parametrize("rocs", [1, -1])
def test_counters_that_are_one_rollover_off_open_at_once(tmp_path: Path, rocs: int) -> None:
    """A grant that is a rollover behind, or ahead, costs trials and no packet."""
    scene = scene_at(tmp_path, 2)
    scene.world.run_until(JOIN_NS)
    viewer = join(scene)
    viewer.on_grant = lambda grant: with_wrong_counters(grant, rocs)
    scene.studio.on_control = lambda _: None
    scene.world.run_for(2 * SECOND)
    assert viewer.numbers[0] in range(BEFORE + LOST, BEFORE + LOST + 3)
    assert (viewer.wrong, viewer.lost, viewer.session.stats.refused) == (0, 0, 0)


@pytest.mark.parametrize("roc", [0, 3])
def test_both_wrong_until_a_right_seal_packet_comes(tmp_path: Path, roc: int) -> None:
    """With grant and SEAL wrong nothing opens, and no wrong byte leaves; the first right SEAL mends it."""
    scene = scene_at(tmp_path, roc)
    scene.world.run_until(JOIN_NS)
    viewer = join(scene)
    viewer.on_grant = with_wrong_counters
    scene.studio.on_control = lambda packet: with_wrong_roc(packet, scene.keyserver)
    scene.world.run_for(2 * SECOND)
    assert viewer.numbers == []
    assert viewer.session.stats.refused > 100
    scene.studio.on_control = lambda packet: packet
    first = scene.studio.number
    scene.world.run_for(2 * SECOND)
    scene.finish()
    assert viewer.wrong == 0
    assert first <= viewer.numbers[0] <= first + 21
    assert viewer.numbers == list(range(viewer.numbers[0], scene.studio.number))


def test_a_join_opens_its_first_packet_within_the_round_trips(tmp_path: Path) -> None:
    """A late joiner waits for its grant and nothing else: the counters come with it."""
    scene = scene_at(tmp_path, 1)
    scene.world.run_until(JOIN_NS)
    viewer = join(scene, lost=0)
    scene.world.run_for(SECOND)
    state = viewer.session.state(scene.world.now)
    assert state.first_opened_ns is not None
    assert state.first_opened_ns - JOIN_NS <= 30 * MS
    assert viewer.fetched_ns == [fetched for fetched in viewer.fetched_ns if fetched >= JOIN_NS][:1]


def test_a_long_outage_ends_with_the_first_packets(tmp_path: Path) -> None:
    """After seventy seconds, as many epochs and a rollover without network the stream goes on by itself."""
    scene = Scene(tmp_path, make_spec(1_000), first_seq=63_000, packets_per_second=50)
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(5 * SECOND)
    viewer.on_packet = lambda _: False
    deaf_from = scene.studio.number
    scene.studio.on_control = lambda _: None
    scene.world.run_until(75 * SECOND)
    viewer.on_packet = lambda _: True
    scene.studio.on_control = lambda packet: packet
    back_at = scene.studio.number
    scene.world.run_until(80 * SECOND)
    scene.finish()
    assert viewer.wrong == 0
    after = [number for number in viewer.numbers if number >= deaf_from]
    assert after[0] <= back_at + 10
    assert after == list(range(after[0], scene.studio.number))


def test_a_receiver_that_is_there_first(tmp_path: Path) -> None:
    """A receiver that starts before the sender asks now and then, and misses nothing of the stream."""
    scene = Scene(tmp_path)
    viewer = scene.viewer()
    scene.world.run_until(10 * SECOND)
    assert 2 <= len(viewer.fetched_ns) <= 3
    scene.studio.start()
    scene.world.run_for(10 * SECOND)
    scene.finish()
    assert_perfect(viewer)
    assert viewer.numbers == list(range(scene.studio.number))
