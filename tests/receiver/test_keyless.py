"""Packets without key ID: their key or pattern is found, whatever is lost, late, doubled or forged."""

import dataclasses
from collections.abc import Iterator

import pytest

from sealcast.core.channel import ChannelSpec, Framing, Suite
from sealcast.core.ids import Epoch
from sealcast.core.scrambling import PatternPolicy
from sealcast.keys.material import Tek
from sealcast.keys.patterns import derive_pattern_bits
from sealcast.messages.answers import StreamState
from sealcast.receiver.keyless import KeylessReader, Wish
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import PublishKey
from sealcast.sender.session import SenderSession
from sealcast.testing import SimRandom
from simulation.parts import (
    MS,
    SECOND,
    Media,
    copy_key,
    make_grant,
    make_receiver,
    make_sender,
    make_slots,
    make_spec,
    seal,
    serve,
)

LIFETIME_MS = 4_000
SEALED = dataclasses.replace(make_spec(LIFETIME_MS), framing=Framing.RTP, ask="127.0.0.1:9000")
SCRAMBLED = dataclasses.replace(
    SEALED, suite=Suite.SCRAMBLE, patterns=PatternPolicy("inverted", 128, after_ms=300)
)
TWO_TIMES = dataclasses.replace(SCRAMBLED, patterns=PatternPolicy("a+a1@13", 128, after_ms=300))
BARE = dataclasses.replace(SCRAMBLED, framing=Framing.UDP)
SPECS = pytest.mark.parametrize("spec", [SEALED, SCRAMBLED, TWO_TIMES, BARE])
FIRST_SEQ = 65_000
STEP_NS = 20 * MS


def ts_payload(number: int) -> bytes:
    """Return seven TS packets of a few PIDs, unlike those of any other number."""
    random = SimRandom(f"ts/{number}")
    headers = [b"\x47" + (0x100 + random.below(3)).to_bytes(2) + b"\x10" for _ in range(7)]
    return b"".join(header + random.bytes(184) for header in headers)


class Pair:
    """A sender and a receiver of one channel: the sender publishes, and the test decides what arrives."""

    def __init__(self, spec: ChannelSpec, *, reorder_ms: int = 20, seed: str = "sender") -> None:
        self.spec = spec
        self.sender: SenderSession = make_sender(spec, first_seq=FIRST_SEQ, seed=seed)
        self.receiver: ReceiverSession = make_receiver(reorder_ms=reorder_ms)
        self.published: dict[Epoch, Tek] = {}
        self.number = 0
        self.serve(0)
        self.sender.poll_control(0)
        assert self.receiver.poll_fetch(0) is not None
        self.grant(0)

    def restart(self, now: int) -> None:
        """Have the sender start again, without a BYE."""
        slots = make_slots(10, 16)
        self.sender = make_sender(self.spec, now, first_seq=7, seed="again", slots=slots)
        self.serve(now)

    def serve(self, now: int) -> None:
        """Answer all the sender asks for, and keep what it publishes."""
        for action in serve(self.sender, now):
            if isinstance(action, PublishKey):
                self.published[action.tek.key_id.epoch] = copy_key(action.tek)

    def grant(self, now: int) -> None:
        """Give the receiver all there is."""
        told = self.sender.told(now)
        assert told is not None
        epoch = told.current.epoch
        streams = [StreamState(ssrc=told.ssrc, roc=told.roc, seq=told.seq, age_ms=0)]
        current, following = copy_key(self.published[epoch]), self.published.get(Epoch(epoch + 1))
        following = None if following is None else copy_key(following)
        grant = make_grant(
            self.spec, current, following, remaining_ms=told.remaining_ms, streams=streams, has_window=False
        )
        self.receiver.handle_grant(grant, now)

    def tell(self, now: int) -> None:
        """Give the receiver the sender's answer."""
        told = self.sender.told(now)
        assert told is not None
        self.receiver.handle_told(told, now)

    def send(self, now: int) -> tuple[bytes, bytes]:
        """Return the next payload and its packet."""
        self.serve(now)
        self.sender.poll_control(now)
        sent = ts_payload(self.number)
        (packet,) = seal(self.sender, [Media(sent, 90 * self.number)], now)
        self.number += 1
        return sent, packet

    def sent_until(self, end_ns: int, start_ns: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
        """Give time, payload and packet, one every 20 ms."""
        for now in range(start_ns, end_ns, STEP_NS):
            yield now, *self.send(now)


def keep_told(pair: Pair, now: int) -> None:
    """Ask the key server each second, and the sender 200 ms after a change of the key."""
    if now % SECOND == 0:
        pair.grant(now)
    if now % (LIFETIME_MS * MS) == 200 * MS:
        pair.tell(now)


@SPECS
def test_keys_and_patterns_change_without_a_word(spec: ChannelSpec) -> None:
    """Two key changes and dozens of patterns: what is sent comes out, told of each key once, and late."""
    pair = Pair(spec)
    pair.tell(0)
    sent_all, got = [], []
    for now, sent, packet in pair.sent_until(10 * SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
        got += pair.receiver.poll_payloads(now)
        keep_told(pair, now)
    assert got + pair.receiver.drain(10 * SECOND) == sent_all
    assert pair.receiver.stats.key_changes == 2
    assert pair.receiver.stats.refused == pair.receiver.stats.dropped == 0


@SPECS
def test_packets_wait_for_key_and_word(spec: ChannelSpec) -> None:
    """What comes before a key, or before the sender's word for it, waits, and comes out in order."""
    pair = Pair(spec)
    sent_all, got, wishes = [], [], []
    for now, sent, packet in pair.sent_until(8 * SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
        got += pair.receiver.poll_payloads(now)
        if now in {3 * SECOND, 7 * SECOND}:
            assert isinstance(pair.receiver.reader, KeylessReader)
            wishes.append(pair.receiver.reader.pop_wish())
            pair.tell(now)
            pair.grant(now)
    assert got + pair.receiver.drain(8 * SECOND) == sent_all
    assert wishes == [Wish.FITS_NOTHING if spec.patterns is not None else None, Wish.FITS_NEWER]


@pytest.mark.parametrize("spec", [SEALED, SCRAMBLED, TWO_TIMES])
def test_a_bad_network(spec: ChannelSpec) -> None:
    """Lost, late and doubled packets: each that arrives comes out once, in its place, over all changes."""
    pair, random = Pair(spec, reorder_ms=200), SimRandom("network")
    pair.tell(0)
    on_the_way: list[tuple[int, bytes]] = []
    sent_all, got = [], []
    for now, sent, packet in pair.sent_until(10 * SECOND):
        keep_told(pair, now)
        if random.below(10):
            sent_all.append(sent)
            on_the_way.append((now + random.below(100 * MS), packet))
        for arrival in sorted(each for each in on_the_way if each[0] <= now):
            on_the_way.remove(arrival)
            copies = [arrival[1]] * (1 if spec.suite is Suite.SCRAMBLE else 1 + random.below(2))
            pair.receiver.handle_data(copies, now)
        got += pair.receiver.poll_payloads(now)
    pair.receiver.handle_data([packet for _, packet in sorted(on_the_way)], 10 * SECOND)
    assert got + pair.receiver.drain(10 * SECOND) == sent_all
    assert pair.receiver.stats.late == 0


@SPECS
def test_forged_packets_change_nothing(spec: ChannelSpec) -> None:
    """Noise of every length, and damaged packets: none of it comes out, memory is bounded, true ones do."""
    pair, random = Pair(spec), SimRandom("forger")
    pair.tell(0)
    sent_all, got = [], []
    for now, sent, packet in pair.sent_until(6 * SECOND):
        sent_all.append(sent)
        damaged = bytearray(packet)
        damaged[-1 - 188 * 3] ^= 1
        damaged[-188] ^= 1
        noise = [random.bytes(random.below(1_400)), b"\x80" + random.bytes(11), bytes(damaged), b""]
        pair.receiver.handle_data([*noise, packet], now)
        got += pair.receiver.poll_payloads(now)
        pair.receiver.handle_timeout(now)
        keep_told(pair, now)
    got += pair.receiver.drain(6 * SECOND)
    assert got == sent_all
    stats = pair.receiver.stats
    held_back = pair.receiver.state(6 * SECOND).held_back
    assert stats.received == stats.opened + stats.refused + stats.replayed + stats.dropped + held_back
    assert held_back <= 3 * 5 * SECOND // STEP_NS + 8


@pytest.mark.parametrize(("seed", "number"), [("15", 6), ("23", 4), ("121", 7)])
def test_short_patterns_that_are_alike_at_the_sync_bytes(seed: str, number: int) -> None:
    """Where two patterns in a row have the 8 bits in common that sync bytes meet, the PIDs seen decide."""
    spec = dataclasses.replace(BARE, patterns=PatternPolicy("single", 32, after_ms=100))
    pair = Pair(spec, seed=seed)
    pair.tell(0)
    (tek,) = pair.published.values()
    one, other = (derive_pattern_bits(tek, "a", each, 32).reveal() for each in (number, number + 1))
    assert one[0] == other[0]
    assert one != other
    sent_all = []
    for now, sent, packet in pair.sent_until(1_200 * MS):
        sent_all.append(sent)
        # As from far away: by the time that a packet arrives, the next pattern is due already.
        pair.receiver.handle_data([packet], now + 100 * MS)
    assert pair.receiver.drain(2 * SECOND) == sent_all


def test_an_old_word_is_not_heard_again() -> None:
    """What a sender signed of an earlier key, played again, leads nobody back to its patterns."""
    pair, sent_all = Pair(BARE), []
    pair.tell(0)
    old = pair.sender.told(0)
    assert old is not None
    for now, sent, packet in pair.sent_until(6 * SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
        keep_told(pair, now)
        if now > 5 * SECOND:
            pair.receiver.handle_told(old, now)
    assert pair.receiver.drain(6 * SECOND) == sent_all
    assert not pair.receiver.state(6 * SECOND).held_back


@SPECS
def test_a_new_run_is_found(spec: ChannelSpec) -> None:
    """A sender that starts again has another SSRC and key: its packets wait until it is asked."""
    pair, sent_all = Pair(spec), []
    pair.tell(0)
    for now, sent, packet in pair.sent_until(SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
    pair.restart(SECOND)
    assert isinstance(pair.receiver.reader, KeylessReader)
    assert pair.receiver.reader.pop_wish() is None
    assert pair.receiver.poll_payloads(2 * SECOND) == sent_all
    sent_all.clear()
    for now, sent, packet in pair.sent_until(2 * SECOND, SECOND):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
    assert pair.receiver.poll_payloads(2 * SECOND) == []
    assert pair.receiver.reader.pop_wish() is Wish.FITS_NOTHING
    pair.tell(2 * SECOND)
    assert pair.receiver.poll_fetch(2 * SECOND) is not None
    pair.grant(2 * SECOND)
    assert pair.receiver.drain(2 * SECOND) == sent_all


def test_a_made_up_packet_far_ahead_leads_nowhere() -> None:
    """One with a true pattern, which anybody can find, and a SEQ far ahead waits, and the sender is asked."""
    pair, sent_all = Pair(SCRAMBLED), []
    pair.tell(0)
    for now, sent, packet in pair.sent_until(3 * SECOND):
        sent_all.append(sent)
        ahead = (int.from_bytes(packet[2:4]) + 20_000) % 65_536
        pair.receiver.handle_data([packet[:2] + ahead.to_bytes(2) + packet[4:], packet], now)
    assert isinstance(pair.receiver.reader, KeylessReader)
    assert pair.receiver.reader.pop_wish() is Wish.FITS_NOTHING
    assert pair.receiver.drain(3 * SECOND) == sent_all


def test_a_receiver_that_heard_nothing_for_long_goes_on() -> None:
    """Where thousands of packets were lost, those after wait for the sender's word, and come out."""
    pair, sent_all = Pair(SCRAMBLED), []
    pair.tell(0)
    for number in range(5_000):
        pair.send(number * MS // 2)
    for now, sent, packet in pair.sent_until(3_500 * MS, 2_500 * MS):
        sent_all.append(sent)
        pair.receiver.handle_data([packet], now)
    assert pair.receiver.poll_payloads(3_500 * MS) == []
    pair.tell(3_500 * MS)
    assert pair.receiver.drain(3_500 * MS) == sent_all
