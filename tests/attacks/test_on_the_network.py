"""Attackers on a simulated network, beside a stream that goes on: nobody loses a packet by them."""

import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attacks import digest
from attacks.pair import Pair, flip, forged_data, sealed_control
from sealcast.receiver.fetch import UNKNOWN_KEY_NS
from sealcast.receiver.pending import PENDING_PACKETS_MAX
from sealcast.wire import srtcp
from sealcast.wire.seal import Seal, SenderCounts, build_seal
from simulation.harness import Scene, assert_perfect
from simulation.parts import CHANNEL, MS, SECOND, STRANGER, make_receiver, make_spec
from simulation.studio import CONTROL, DATA
from simulation.viewer import Viewer


def test_a_flood_of_made_up_keys(tmp_path: Path) -> None:
    """A thousand packets a second under made-up keys: the stream is whole, and requests are one in 2 s."""
    scene = Scene(tmp_path, make_spec(4_000))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(2 * SECOND)

    def flood(now: int) -> None:
        number = now // MS
        packet = bytes([0x80]) + bytes(59) + struct.pack(">II", CHANNEL, 3 + number % 977)
        scene.world.network.send(DATA, packet, now)
        if now < 20 * SECOND:
            scene.world.at(now + MS, flood)

    before = len(viewer.fetched_ns)
    scene.world.at(2 * SECOND, flood)
    scene.world.run_until(21 * SECOND)
    assert len(viewer.fetched_ns) - before <= 18 * SECOND // UNKNOWN_KEY_NS + 1 + len(scene.studio.switches)
    assert viewer.held_back_max <= PENDING_PACKETS_MAX
    scene.finish()
    assert viewer.wrong == 0
    assert viewer.numbers == sorted(viewer.arrived)
    assert viewer.lost == 0


NOISE = st.binary(max_size=200)
TAILS = st.sampled_from(
    [b"", struct.pack(">II", CHANNEL, 1), struct.pack(">II", CHANNEL, 2), struct.pack(">II", 1, 1)]
)


@given(noise=st.lists(st.tuples(st.sampled_from([DATA, CONTROL]), NOISE, TAILS), max_size=20))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_of_any_bytes_is_counted(noise: list[tuple[str, bytes, bytes]]) -> None:
    """Whatever arrives on either port, nothing is raised, every packet has its count, and nothing opens."""
    for session in (PAIR.receiver, make_receiver(), make_receiver(channel=None)):
        session.poll_payloads(SECOND)
        stats, believed = session.stats, digest.beliefs(session)
        opened = stats.opened
        for group, data, tail in noise:
            if group == DATA:
                session.handle_data([data + tail], SECOND)
            else:
                session.handle_control(data + tail, SECOND)
        session.poll_payloads(SECOND)
        fates = stats.opened + stats.replayed + stats.refused + stats.foreign + stats.dropped
        assert stats.received == fates + session.state(SECOND).held_back
        assert stats.opened == opened
        assert digest.beliefs(session) == believed


PAIR = Pair()


def tamper(viewer: Viewer, seed: int) -> None:
    """Let every fifth packet of a receiver arrive with a byte changed as well."""
    random = viewer._world.random.fork(f"tamper/{seed}")

    def also_changed(packet: bytes) -> bool:
        if random.chance() < 0.2:
            viewer.session.handle_data([flip(packet, 8 * random.below(len(packet)))], viewer._world.now)
        return True

    viewer.on_packet = also_changed


@pytest.mark.parametrize("seed", range(3))
def test_an_injector_on_the_network(tmp_path: Path, seed: int) -> None:
    """Changed copies that arrive before the packets themselves cost nobody a packet."""
    scene = Scene(tmp_path, make_spec(2_000), seed)
    viewer = scene.viewer()
    tamper(viewer, seed)
    scene.studio.start()
    scene.world.run_until(10 * SECOND)
    scene.finish()
    assert viewer.wrong == 0
    assert viewer.numbers == sorted(viewer.arrived)
    assert viewer.session.stats.refused > 0


def test_an_early_packet_of_the_next_key_moves_nothing(tmp_path: Path) -> None:
    """Without the announcement a packet under the next key opens, and the table stays where it is."""
    scene = Scene(tmp_path, make_spec(4_000, prefetch_at="45%"))
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(4 * SECOND - 100 * MS)
    scene.studio.on_control = lambda _: None
    scene.world.run_until(5 * SECOND)
    state = viewer.session.state(scene.world.now)
    assert scene.studio.switches[-1][1] == 2
    assert (state.epoch, state.holds_next) == (1, True)
    assert viewer.session.stats.key_changes == 0
    scene.studio.on_control = lambda packet: packet
    scene.world.run_until(6 * SECOND)
    assert viewer.session.state(scene.world.now).epoch == 2
    scene.finish()
    assert_perfect(viewer)
    assert viewer.lost == 0


AHEAD_FORGED = 4_000
"""So far ahead the attacker forges, beside what is refused; so much is lost until the stream is there."""


class Turncoat:
    """A subscriber who seals packets of his own, 50 a second, under every key that he was granted."""

    def __init__(self, scene: Scene, *, from_ns: int, until_ns: int) -> None:
        self.random = scene.world.random.fork("turncoat")
        self.scene, self.until_ns = scene, until_ns
        self.sent = 0
        scene.world.at(from_ns, self.attack)

    def attack(self, now: int) -> None:
        """Send one packet: data near or far ahead, or an announcement signed with his own key."""
        session = self.scene.studio.live_session()
        for tek in self.scene.keyserver.teks.values():
            ahead = self.random.below(AHEAD_FORGED) if self.sent % 3 else 60_000
            index = session.state(now).packets + ahead
            forged = forged_data(tek, session.ssrc, index, b"\xff" * 100)
            self.scene.world.network.send(DATA, forged, now)
            word = srtcp.index_word(1 << 20)
            lie = Seal(session.ssrc, tek.key_id, 0, 1, roc=9, seq=9, bye=True)
            compound = build_seal(lie, SenderCounts(0, 0, 0), "x", word, STRANGER.sign)
            control = sealed_control(tek, compound, session.ssrc, 1 << 20)
            self.scene.world.network.send(CONTROL, control, now)
            self.sent += 1
        if now < self.until_ns:
            self.scene.world.at(now + 20 * MS, self.attack)


def test_a_subscriber_attacks_a_running_stream(tmp_path: Path) -> None:
    """While he forges, data is lost and false data comes; the keys go their way, and with him it is over."""
    scene = Scene(tmp_path, make_spec(4_000), packets_per_second=500, first_seq=0)
    viewer = scene.viewer()
    scene.studio.start()
    scene.world.run_until(3 * SECOND)
    turncoat = Turncoat(scene, from_ns=3 * SECOND, until_ns=5 * SECOND)
    scene.world.run_until(5 * SECOND + 100 * MS)
    assert viewer.wrong > 0
    assert viewer.session.stats.control_refused >= turncoat.sent * 0.9
    scene.world.run_until(14 * SECOND)
    assert viewer.session.state(scene.world.now).epoch == scene.studio.switches[-1][1]
    assert viewer.session.stats.key_changes == len(scene.studio.switches) - 1
    wrong, before, start = viewer.wrong, len(viewer.numbers), scene.studio.number
    scene.world.run_until(18 * SECOND)
    assert viewer.wrong == wrong
    assert len(viewer.numbers) - before >= scene.studio.number - start - 50
