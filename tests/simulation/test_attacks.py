"""What others may send to the group: counted, never believed, and never a reason to fail."""

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.receiver.fetch import UNKNOWN_KEY_NS
from sealcast.receiver.pending import PENDING_PACKETS_MAX
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.session import SenderSession
from sealcast.wire import srtcp, srtp
from sealcast.wire.seal import Seal, SenderCounts, build_seal, parse_seal
from simulation.harness import Scene, assert_perfect
from simulation.parts import (
    CHANNEL,
    MS,
    SECOND,
    SIGNER,
    STRANGER,
    make_grant,
    make_receiver,
    make_sender,
    make_spec,
    media,
    on_air,
    serve,
)
from simulation.studio import CONTROL, DATA
from simulation.viewer import Viewer

SPEC = make_spec(10_000)


def snapshot(session: ReceiverSession, now: int) -> tuple[object, ...]:
    """Return all that a receiver believes: keys, counters and plans; not what it refused."""
    state = dataclasses.replace(session.state(now), held_back=0)
    streams = {
        ssrc: (s.counter.highest, s.control_index, s.first_index, s.last_index, s.opened, tuple(s._windows))
        for ssrc, s in session._streams.items()
    }
    plan = (session._fetch._due_ns, session._fetch._drawn_for, session._bye)
    return state, session._ring.held, session._ring.current, streams, plan, session.stats.opened


class Pair:
    """A sender and a receiver that holds its key and has opened a packet, without any network."""

    def __init__(self) -> None:
        self.sender: SenderSession = make_sender(SPEC)
        self.tek = on_air(self.sender, 0)
        self.rtcp = srtp.derive_rtcp(self.tek.key, self.tek.salt)
        self.receiver = make_receiver()
        assert self.receiver.poll_fetch(0) is not None
        self.receiver.handle_grant(make_grant(SPEC, self.tek), 0)
        self.first_seal = self.sender.poll_control(0)[0]
        self.receiver.handle_control(self.first_seal, 0)
        self.packets = self.sender.seal(media(*range(10)), 0)
        self.receiver.handle_data(self.packets[:5], 0)
        assert self.receiver.stats.opened == 5

    def next_seal(self) -> bytes:
        """Return the sender's next SEAL packet, which the receiver has not seen."""
        return self.sender.poll_control(SECOND)[0]

    def changed(self, change: Callable[[Seal], Seal], *, signer: object = STRANGER) -> bytes:
        """Return a SEAL packet as a subscriber could make it: tag right, signature not the sender's."""
        control = srtcp.split_control(self.next_seal())
        seal = change(parse_seal(control.clear_compound).seal)
        word = srtcp.index_word(control.index)
        compound = build_seal(seal, SenderCounts(0, 0, 0), "x", word, signer.sign)
        return srtcp.seal_control(self.rtcp, compound, control.ssrc, control.index, control.mki)


def flip(packet: bytes, at: int) -> bytes:
    """Return the packet with one bit changed in the byte at `at`."""
    changed = bytearray(packet)
    changed[at] ^= 1
    return bytes(changed)


FORGERIES: dict[str, Callable[[Pair], bytes]] = {
    "replayed": lambda pair: pair.first_seal,
    "tag changed": lambda pair: flip(pair.next_seal(), -20),
    "signed by a stranger": lambda pair: pair.changed(lambda seal: seal),
    "a switch by a stranger": lambda pair: pair.changed(
        lambda seal: dataclasses.replace(seal, remaining_ms=0, extended=True)
    ),
    "BYE by a stranger": lambda pair: pair.changed(lambda seal: dataclasses.replace(seal, bye=True)),
    "ROC by a stranger": lambda pair: pair.changed(lambda seal: dataclasses.replace(seal, roc=9)),
    "another SSRC's": lambda pair: pair.changed(
        lambda seal: dataclasses.replace(seal, ssrc=1), signer=SIGNER
    ),
    "cut short": lambda pair: pair.next_seal()[30:],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_forged_control_changes_nothing(forge: Callable[[Pair], bytes]) -> None:
    """A SEAL packet that is replayed, changed or not the sender's leaves every belief as it was."""
    pair = Pair()
    packet = forge(pair)
    before = snapshot(pair.receiver, SECOND)
    refused = pair.receiver.stats.control_refused
    pair.receiver.handle_control(packet, SECOND)
    assert snapshot(pair.receiver, SECOND) == before
    assert pair.receiver.stats.control_refused == refused + 1


def test_a_good_control_packet_is_taken_after_all_that() -> None:
    """The forgeries do not shut out the sender's own packet of the same index."""
    pair = Pair()
    forged = pair.changed(lambda seal: dataclasses.replace(seal, roc=9))
    genuine_index = srtcp.split_control(forged).index
    pair.receiver.handle_control(forged, SECOND)
    later = pair.sender.poll_control(2 * SECOND)[0]
    assert srtcp.split_control(later).index == genuine_index + 1
    pair.receiver.handle_control(later, 2 * SECOND)
    assert pair.receiver.stats.control == 2


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


def test_a_flood_of_made_up_ssrcs_under_a_good_key_goes_away() -> None:
    """Packets of runs that nobody announces wait at most five seconds, however many SEAL packets come."""
    pair = Pair()
    mki = pair.tek.key_id.pack()
    for i in range(6_000):
        packet = bytes([0x80, 33, 0, 1]) + bytes(4) + struct.pack(">I", i) + bytes(40) + mki
        pair.receiver.handle_data([packet], 0)
    assert pair.receiver.state(0).held_back == PENDING_PACKETS_MAX
    for tenth in range(1, 60):
        now = tenth * SECOND // 10
        serve(pair.sender, now)
        for packet in pair.sender.poll_control(now):
            pair.receiver.handle_control(packet, now)
        pair.receiver.handle_timeout(now)
    assert pair.receiver.state(6 * SECOND).held_back == 0
    assert pair.receiver.stats.dropped == 6_000


def test_foreign_channels_are_counted() -> None:
    """Packets under another channel's keys are foreign: no request, no place in a queue."""
    pair = Pair()
    packet = bytes([0x80]) + bytes(59) + struct.pack(">II", CHANNEL + 1, 1)
    pair.receiver.handle_data([packet] * 7, SECOND)
    pair.receiver.handle_control(bytes(80) + struct.pack(">II", CHANNEL + 1, 1), SECOND)
    assert pair.receiver.stats.foreign == 7
    assert pair.receiver.stats.received == 12
    assert pair.receiver.state(SECOND).held_back == 0


def test_replayed_and_changed_data_changes_nothing() -> None:
    """A packet opens once; one with any byte changed is refused and opens when it comes unchanged."""
    pair = Pair()
    pair.receiver.poll_payloads(SECOND)
    before = snapshot(pair.receiver, SECOND)
    pair.receiver.handle_data(pair.packets[:5], SECOND)
    assert pair.receiver.stats.replayed == 5
    sixth = pair.packets[5]
    for at in range(12, len(sixth) - 8, 97):
        pair.receiver.handle_data([flip(sixth, at)], SECOND)
    assert snapshot(pair.receiver, SECOND) == before
    pair.receiver.handle_data([sixth], SECOND)
    assert pair.receiver.stats.opened == 6


NOISE = st.binary(max_size=200)
TAILS = st.sampled_from(
    [b"", struct.pack(">II", CHANNEL, 1), struct.pack(">II", CHANNEL, 2), struct.pack(">II", 1, 1)]
)


@given(noise=st.lists(st.tuples(st.sampled_from([DATA, CONTROL]), NOISE, TAILS), max_size=20))
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_garbage_of_any_bytes_is_counted(noise: list[tuple[str, bytes, bytes]]) -> None:
    """Whatever arrives on either port, nothing is raised, every packet has its count, and nothing opens."""
    for session in (PAIR.receiver, make_receiver(), make_receiver(channel=None)):
        stats = session.stats
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


PAIR = Pair()


def tamper(viewer: Viewer, seed: int) -> None:
    """Let every fifth packet of a receiver arrive with a byte changed as well."""
    random = viewer._world.random.fork(f"tamper/{seed}")

    def also_changed(packet: bytes) -> bool:
        if random.chance() < 0.2:
            viewer.session.handle_data([flip(packet, random.below(len(packet)))], viewer._world.now)
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
