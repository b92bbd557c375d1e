"""A receiver of a scrambled channel: which numbers it believes, what waits, and what no packet changes."""

from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attacks.digest import course
from sealcast.core.channel import ChannelSpec
from sealcast.core.scrambling import PatternPolicy
from sealcast.receiver.descrambling import HeldPatterns, PatternReach, ScrambledReader
from sealcast.receiver.keyring import KeyRing
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.session import SenderSession
from sealcast.wire import scramble
from sealcast.wire.seal import MS_MAX, PatternState
from simulation.parts import (
    MS,
    SECOND,
    copy_key,
    make_grant,
    make_key,
    make_receiver,
    make_sender,
    make_slots,
    make_spec,
    media,
    number_of,
    on_air,
    payload,
    seal,
    serve,
)
from wire.patterning import scrambled

SPEC = scrambled(make_spec(600_000), "single;128;1000ms")
EACH = scrambled(make_spec(600_000), "two-times;64;1p")


def joined(sender: SenderSession, spec: ChannelSpec = SPEC, reorder_ms: int = 20) -> ReceiverSession:
    """Return a receiver that has the first key and heard the first SEAL packet."""
    return pair(sender, spec, reorder_ms)[0]


def pair(sender: SenderSession, spec: ChannelSpec, reorder_ms: int) -> tuple[ReceiverSession, ...]:
    """Return two receivers that have the first key and heard the first SEAL packet."""
    tek = on_air(sender, 0)
    sessions = make_receiver(reorder_ms=reorder_ms), make_receiver(reorder_ms=reorder_ms)
    (told,) = sender.poll_control(0)
    for session in sessions:
        session.poll_fetch(0)
        session.handle_grant(make_grant(spec, copy_key(tek)), 0)
        session.handle_control(told, 0)
    return sessions


def hear(sender: SenderSession, session: ReceiverSession, now: int) -> None:
    """Hand over the SEAL packets that are due."""
    for packet in sender.poll_control(now):
        session.handle_control(packet, now)


def with_number(packet: bytes, number: int) -> bytes:
    """Return a packet that says another pattern number."""
    return packet[:-12] + number.to_bytes(4) + packet[-8:]


def test_how_many_numbers_may_pass() -> None:
    """By time, packets, bytes, or all of them; never more than a bound."""
    reach = {
        text: PatternReach(PatternPolicy.parse(f"single;128;{text}")).passed_max
        for text in ("1000ms", "4096p", "1000000B", "1000ms,4096p", "1p")
    }
    assert [reach["1000ms"](elapsed * MS) for elapsed in (0, 999, 1_000, 60_000)] == [2, 2, 3, 62]
    assert [reach["4096p"](elapsed * SECOND) for elapsed in (0, 1)] == [5, 19]
    assert reach["1000000B"](0) == 1 + 16_384 * 1_500 // 1_000_000
    assert reach["1000ms,4096p"](SECOND) == reach["4096p"](SECOND) + 2
    assert reach["1p"](1 << 60) == 16_384


def test_numbers_near_the_one_told() -> None:
    """Some behind, as many ahead as may have passed; of the key on air nothing is known before a SEAL."""
    ring = KeyRing()
    patterns = HeldPatterns(PatternPolicy.parse("a+a1;128;1000ms"), ring)
    current, coming = make_key(1), make_key(2)
    for tek in (current, coming):
        ring.learn(tek, 600_000, 0)
    ring.announce(current.key_id, 0)
    assert patterns.numbers(current.key_id, 0) is None
    assert patterns.numbers(coming.key_id, 0) == range(1, 14)
    patterns.announce(current.key_id, PatternState(20, MS_MAX), SECOND)
    assert patterns.numbers(current.key_id, 3 * SECOND) == range(12, 25)
    patterns.announce(current.key_id, PatternState(3, MS_MAX), SECOND)
    assert patterns.numbers(current.key_id, SECOND) == range(1, 6)
    assert patterns.cycle(make_key(3).key_id, 1) is None


def test_lost_seal_packets() -> None:
    """For minutes no SEAL packet is heard: numbers go on by time, SEQ comes round, every packet leaves."""
    sender = make_sender(SPEC, first_seq=65_000)
    session = joined(sender)
    left, payloads, stamps = 0, [bytes(64)] * 60, [0] * 60
    for step in range(2_500):
        now = step * SECOND // 10
        batch = sender.seal_batch(payloads, stamps, now)
        session.train_buffer[: len(batch.data)] = batch.data
        session.handle_train(len(batch.data), batch.segment_bytes, now)
        left += sum(len(slab.payloads()) for slab in session.poll_slabs(now))
    left += len(session.drain(now))
    assert left == 150_000
    assert (session.stats.opened, session.stats.refused, session.state(0).lost) == (left, 0, 0)


def test_a_number_that_is_not_of_now() -> None:
    """Too far ahead or behind is refused and counted, and leaves nothing behind."""
    sender = make_sender(SPEC)
    session = joined(sender)
    packets = seal(sender, media(0, 1), 0)
    before = course(session)
    session.handle_data([with_number(packets[0], number) for number in (3, 4, 5_000, (1 << 32) - 1)], 0)
    assert session.stats.refused == 4
    assert course(session) == before
    session.handle_data(packets, 0)
    assert session.stats.opened == 2


def test_a_joiner_waits_for_a_seal_packet() -> None:
    """With the key but no word of the number packets wait, and leave in order once it is told."""
    sender = make_sender(SPEC)
    tek = copy_key(on_air(sender, 0))
    session = make_receiver()
    session.handle_data(seal(sender, media(0, 1), 0), 0)
    session.poll_fetch(0)
    session.handle_grant(make_grant(SPEC, tek), 0)
    session.handle_data(seal(sender, media(2), 0), 0)
    assert (session.stats.opened, session.state(0).held_back) == (0, 3)
    hear(sender, session, 0)
    assert [number_of(each) for each in session.drain(SECOND)] == [0, 1, 2]
    assert session.state(0).held_back == 0


def test_what_waits_is_bounded_and_counted() -> None:
    """More than there is room for makes the oldest go; every packet has one fate."""
    sender = make_sender(SPEC)
    tek = copy_key(on_air(sender, 0))
    session = make_receiver()
    session.poll_fetch(0)
    session.handle_grant(make_grant(SPEC, tek), 0)
    (packet,) = seal(sender, media(0), 0)
    session.handle_data([packet] * 5_000, 0)
    assert (session.stats.dropped, session.state(0).held_back) == (5_000 - 4_096, 4_096)


def test_a_run_that_nobody_vouches_for_waits_and_goes() -> None:
    """Packets of an unknown SSRC wait like those of other channels, and are dropped after their time."""
    sender = make_sender(SPEC)
    session = joined(sender)
    (packet,) = seal(sender, media(0), 0)
    stranger = packet[:8] + b"FAKE" + packet[12:]
    session.handle_data([stranger], 0)
    for second in range(1, 7):
        hear(sender, session, second * SECOND)
        session.handle_timeout(second * SECOND)
    assert (session.stats.dropped, session.state(0).held_back, session.stats.opened) == (1, 0, 0)


@pytest.mark.parametrize("has_seal", [True, False])
def test_a_key_change(has_seal: bool) -> None:  # noqa: FBT001 - pytest gives it by name
    """The next key's patterns begin anew; without its SEAL packets as well, since the key is held."""
    spec = scrambled(make_spec(10_000), "inverted;32;3p")
    sender, now = make_sender(spec), 0
    session = make_receiver()
    session.poll_fetch(0)
    tek = copy_key(on_air(sender, 0))
    session.handle_grant(make_grant(spec, tek), 0)
    for number in range(150):
        now = number * 100 * MS
        for action in serve(sender, now):
            if coming := getattr(action, "tek", None):
                session.handle_grant(make_grant(spec, None, coming), now)
        if has_seal or sender.state(now).epoch == 1:
            hear(sender, session, now)
        session.handle_data(seal(sender, media(number), now), now)
    assert sender.state(now).key_changes == 1
    assert [number_of(each) for each in session.drain(now + SECOND)] == list(range(150))


def test_the_patterns_go_with_their_key() -> None:
    """Once a key is over its patterns are erased, and all are at the end of the run."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_data(seal(sender, media(0), 0), 0)
    reader = session.reader
    assert isinstance(reader, ScrambledReader)
    patterns = [
        pattern.secret for book in reader.patterns._books.values() for pattern in book._patterns.values()
    ]
    assert [len(each) for each in patterns] == [16]
    session.erase()
    assert [len(each) for each in patterns] == [0]
    assert not reader.patterns._books


def test_a_sender_that_starts_again() -> None:
    """Another run has its own SSRC, key and numbers; what was told of the first means nothing for it."""
    sender = make_sender(EACH)
    session = joined(sender, EACH)
    session.handle_data(seal(sender, media(*range(500)), 0), 0)
    for packet in sender.end(0):
        session.handle_control(packet, 0)
    again = make_sender(EACH, SECOND, slots=make_slots(2, 8), seed="again")
    tek = copy_key(on_air(again, SECOND))
    packets = seal(again, media(*range(500, 520)), SECOND)
    session.handle_data(packets[:10], SECOND)
    session.handle_grant(make_grant(EACH, tek), SECOND)
    hear(again, session, SECOND)
    session.handle_data(packets[10:], SECOND)
    assert [number_of(each) for each in session.drain(3 * SECOND)] == list(range(520))


@pytest.mark.parametrize("ahead", [900, 1_100, 16_000])
def test_a_made_up_number_far_ahead(ahead: int) -> None:
    """A forged SEQ makes true packets late until the next SEAL packet, or until they are that far."""
    sender = make_sender(SPEC, first_seq=65_000)
    session = joined(sender)
    session.handle_data(seal(sender, media(*range(10)), 0), 0)
    (template,) = seal(sender, media(10), 0)
    seq = (int.from_bytes(template[2:4]) + ahead) % 65_536
    session.handle_data([template, template[:2] + seq.to_bytes(2) + template[4:]], 0)
    now, given = 50 * MS, session.poll_payloads(50 * MS)
    assert [number_of(each) for each in given] == [*range(11), 10]
    for number in range(11, 1_200):
        now += 2 * MS
        hear(sender, session, now)
        session.handle_data(seal(sender, media(number), now), now)
        given += session.poll_payloads(now)
    given += session.drain(now)
    missing = set(range(1_200)) - {number_of(each) for each in given}
    assert len(missing) <= 1_024
    assert max(map(number_of, given)) == 1_199
    assert session.state(now).lost <= 1_200
    if ahead > 1_024:
        assert len(missing) <= 100


def take_as_trains(session: ReceiverSession, packets: list[bytes], now: int) -> None:
    """Hand over packets as the kernel gathers them: neighbours of one length together."""
    for length, neighbours in groupby(packets, len):
        train = b"".join(neighbours)
        session.train_buffer[: len(train)] = train
        session.handle_train(len(train), length, now)


@given(
    orders=st.lists(st.integers(0, 39), min_size=1, max_size=40) | st.just(list(range(40))),
    damage=st.lists(st.none() | st.none() | st.integers(0, 500), min_size=40, max_size=40),
    reorder_ms=st.sampled_from([0, 20]),
    spec=st.sampled_from([SPEC, EACH]),
)
@settings(max_examples=30)
def test_trains_and_single_packets_are_the_same(
    orders: list[int], damage: list[int | None], reorder_ms: int, spec: ChannelSpec
) -> None:
    """Lost, repeated, reordered, forged: the same counts and payloads; keys, counters and plans stay."""
    sender = make_sender(spec, first_seq=65_520)
    session, other = pair(sender, spec, reorder_ms)
    packets = seal(sender, media(*range(40)), 0)
    arriving = packets[:3]
    for place, bit in zip(orders, damage, strict=False):
        packet = bytearray(packets[place])
        if bit is not None:
            packet[bit // 8 % len(packet)] ^= 1 << bit % 8
        arriving.append(bytes(packet))
    before = course(session)
    for step, at in enumerate(range(0, len(arriving), 15)):
        now = step * 7 * MS
        session.handle_data(arriving[at : at + 15], now)
        take_as_trains(other, arriving[at : at + 15], now)
        assert session.poll_payloads(now) == other.poll_payloads(now)
    assert session.stats.opened == other.stats.opened
    assert session.drain(99 * MS) == other.drain(99 * MS)
    assert course(session) == before


def test_a_train_in_order_stays_in_one_piece() -> None:
    """What follows on what the stream had leaves as one slab."""
    sender = make_sender(SPEC)
    session = joined(sender, reorder_ms=0)
    take_as_trains(session, seal(sender, media(*range(40)), 0), 0)
    (slab,) = session.pop_opened()
    assert slab.payloads() == [payload(number) for number in range(40)]


def test_another_header_and_no_packet() -> None:
    """A packet with CSRCs opens as well; one that is too short, or says padding, is refused."""
    sender = make_sender(SPEC)
    session = joined(sender, reorder_ms=0)
    (packet,) = seal(sender, media(0), 0)
    odd = bytes([packet[0] | 1]) + packet[1:12] + b"CSRC" + packet[12:]
    session.handle_data([odd, b"", packet[:20], bytes([packet[0] | 0x20]) + packet[1:]], 0)
    assert session.poll_payloads(0) == [payload(0)]
    assert (session.stats.opened, session.stats.refused) == (1, 3)
    assert scramble.parse_packet(odd).header.length_bytes == 16
