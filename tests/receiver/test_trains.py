"""Trains: a receiver that takes many packets at once believes and gives out what one by one would bring."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.digest import whole
from sealcast.core.errors import FormatError
from sealcast.messages.answers import StreamState
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.streams import Stream
from sealcast.sender.session import SenderSession
from sealcast.wire import rtp, srtp
from simulation.parts import (
    MS,
    Media,
    make_grant,
    make_receiver,
    make_sender,
    make_spec,
    media,
    number_of,
    on_air,
    payload,
    seal,
)

SPEC = make_spec(600_000)


def pair(reorder_ms: int, first_seq: int) -> tuple[SenderSession, list[ReceiverSession]]:
    """Return a sender on air and two receivers that know the same."""
    sender = make_sender(SPEC, first_seq=first_seq)
    tek = on_air(sender, 0)
    receivers = []
    for _ in range(2):
        session = make_receiver(reorder_ms=reorder_ms)
        assert session.poll_fetch(0) is not None
        streams = [StreamState(ssrc=sender.ssrc, roc=first_seq >> 16, seq=first_seq & 0xFFFF, age_ms=0)]
        session.handle_grant(make_grant(SPEC, tek, streams=streams), 0)
        receivers.append(session)
    return sender, receivers


def take_as_trains(session: ReceiverSession, packets: list[bytes], now: int) -> None:
    """Hand over packets as the kernel gathers them: neighbours of one length together."""
    for length, neighbours in groupby(packets, len):
        train = b"".join(neighbours)
        session.train_buffer[: len(train)] = train
        session.handle_train(len(train), length, now)


def mangled(packets: list[bytes], orders: list[int], damage: list[int | None]) -> list[bytes]:
    """Return packets reordered, repeated and left out, some with a flipped bit."""
    made = []
    for place, bit in zip(orders, damage, strict=False):
        packet = bytearray(packets[place % len(packets)])
        if bit is not None:
            packet[bit // 8 % len(packet)] ^= 1 << bit % 8
        made.append(bytes(packet))
    return made


@given(
    orders=st.lists(st.integers(0, 39), min_size=1, max_size=40) | st.just(list(range(40))),
    damage=st.lists(st.none() | st.none() | st.none() | st.integers(0, 500), min_size=40, max_size=40),
    reorder_ms=st.sampled_from([0, 20]),
    first_seq=st.sampled_from([5, 65_520, (7 << 16) + 65_530]),
    short=st.booleans(),
)
def test_trains_and_single_packets_are_the_same(
    orders: list[int], damage: list[int | None], reorder_ms: int, first_seq: int, *, short: bool
) -> None:
    """Lost, repeated, reordered, forged: the same state, the same counts, the same payloads in order."""
    sender, (one_by_one, trains) = pair(reorder_ms, first_seq)
    packets = seal(sender, media(*range(40)), 0)
    arriving = [*packets[:3], *mangled(packets, orders, damage)]
    if short:
        arriving.append(b"\x80!" + bytes(7))
    for step, at in enumerate(range(0, len(arriving), 15)):
        now = step * 7 * MS
        one_by_one.handle_data(arriving[at : at + 15], now)
        take_as_trains(trains, arriving[at : at + 15], now)
        assert one_by_one.poll_payloads(now) == trains.poll_payloads(now)
        assert whole(one_by_one) == whole(trains)
    assert one_by_one.stats == trains.stats
    assert one_by_one.drain(99 * MS) == trains.drain(99 * MS)
    assert one_by_one.state(99 * MS) == trains.state(99 * MS)


def test_a_train_in_order_stays_in_one_piece() -> None:
    """What follows on what the stream had leaves as one slab, without a copy for each packet."""
    sender, (session, _) = pair(20, 100)
    take_as_trains(session, seal(sender, media(0), 0), 0)
    session.poll_payloads(0)
    session.handle_timeout(30 * MS)
    assert [number_of(each) for each in session.poll_payloads(30 * MS)] == [0]
    take_as_trains(session, seal(sender, media(*range(1, 40)), 0), 31 * MS)
    (slab,) = session.poll_slabs(31 * MS)
    assert [number_of(each) for each in slab.payloads()] == list(range(1, 40))


def test_what_has_no_key_yet_waits() -> None:
    """A train under a key that is not held is kept and opens with the grant."""
    sender = make_sender(SPEC)
    tek = on_air(sender, 0)
    session = make_receiver()
    take_as_trains(session, seal(sender, media(*range(10)), 0), 0)
    assert session.poll_fetch(0) is not None
    streams = [StreamState(ssrc=sender.ssrc, roc=0, seq=0, age_ms=0)]
    session.handle_grant(make_grant(SPEC, tek, streams=streams), MS)
    assert session.stats.opened == 10


def test_packets_of_another_header() -> None:
    """CSRCs, or anything else that is not a plain header, takes the long way and changes nothing else."""
    sender, (session, _) = pair(0, 100)
    packets = seal(sender, media(*range(6)), 0)
    odd = bytes([packets[3][0] | 1]) + packets[3][1:]
    take_as_trains(session, [*packets[:3], odd, *packets[4:]], 0)
    assert [number_of(each) for each in session.poll_payloads(0)] == [0, 1, 2, 4, 5]
    assert session.stats.refused == 1
    with pytest.raises(FormatError):
        rtp.parse_header(odd[:13])


def take_batch(session: ReceiverSession, sender: SenderSession, numbers: range, now: int) -> None:
    """Seal and hand over one train."""
    take_as_trains(session, seal(sender, media(*numbers), now), now)


def tell_counters(session: ReceiverSession, sender: SenderSession, now: int) -> None:
    """Hand over the SEAL packet that says where the sender is."""
    packets = sender.poll_control(now)
    assert packets
    for packet in packets:
        session.handle_control(packet, now)


@pytest.mark.parametrize("lost", [40_000, 65_536, 100_000, 150_000])
def test_after_a_gap_of_any_length_one_packet_is_tried(lost: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was lost at once: of the next train one is tried, the others follow."""
    tried, alone = [], Stream.open
    monkeypatch.setattr(Stream, "open", lambda *given, **named: tried.append(1) or alone(*given, **named))
    sender, (session, _) = pair(0, 100)
    take_batch(session, sender, range(40), 0)
    session.poll_slabs(0)
    tried.clear()
    (skipping,) = [Media(payload(40), 0, skipped=lost)]
    seal(sender, [skipping], MS)
    tell_counters(session, sender, 500 * MS)
    take_batch(session, sender, range(41, 81), 501 * MS)
    got = session.poll_slabs(501 * MS)
    assert [number_of(each) for slab in got for each in slab.payloads()] == list(range(41, 81))
    assert (session.stats.opened, session.stats.refused, len(tried)) == (80, 0, 1)


def test_a_receiver_far_behind_is_soon_through() -> None:
    """What is older than the sender's word by more than half a turn is refused together, not tried."""
    sender, (session, single) = pair(0, 100)
    take_batch(session, sender, range(10), 0)
    single.handle_data(seal(sender, media(10), 0), 0)
    old = seal(sender, media(*range(11, 51)), MS)
    seal(sender, [Media(payload(51), 0, skipped=50_000)], MS)
    tell_counters(session, sender, 500 * MS)
    take_as_trains(session, old, 500 * MS)
    assert (session.stats.opened, session.stats.refused, session.stats.replayed) == (10, 40, 0)
    take_batch(session, sender, range(52, 60), 501 * MS)
    assert session.stats.opened == 18


def test_in_doubt_three_packets_are_tried_for_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old packets whose SEQ might be of now are refused together; the first train of now opens."""
    tried, alone = [], srtp.open_packet
    sender, (session, _) = pair(0, 100)
    take_batch(session, sender, range(10), 0)
    old = seal(sender, media(*range(11, 51)), MS)
    seal(sender, [Media(payload(51), 0, skipped=65_536 + 20_000)], MS)
    tell_counters(session, sender, 500 * MS)
    now = 3_000 * MS
    seal(sender, [Media(payload(52), 0, skipped=20_000)], now)
    tell_counters(session, sender, now)
    monkeypatch.setattr(srtp, "open_packet", lambda *given: tried.append(1) or alone(*given))
    take_as_trains(session, old, now)
    assert (session.stats.opened, session.stats.refused) == (10, 40)
    assert len(tried) <= 3 * 2
    take_batch(session, sender, range(53, 61), now)
    assert session.stats.opened == 18


def test_a_slab_stays_when_nobody_fetched_it() -> None:
    """What was opened is kept if the next train comes before anybody asked for it."""
    sender, (session, _) = pair(0, 100)
    take_batch(session, sender, range(8), 0)
    take_batch(session, sender, range(8, 16), 0)
    assert [number_of(each) for each in session.poll_payloads(0)] == list(range(16))


@pytest.mark.parametrize("count", [127, 128, 129, 300])
def test_long_trains(count: int) -> None:
    """A train of more packets than are opened at a time opens whole."""
    sender, (session, _) = pair(0, 65_400)
    packets = seal(sender, [Media(payload(number, 20), 0) for number in range(count)], 0)
    take_as_trains(session, packets, 0)
    assert [number_of(each) for each in session.poll_payloads(0)] == list(range(count))
