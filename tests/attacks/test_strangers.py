"""Attacks on receivers by those who hold no key: replays, changed bits, wrong sizes, floods."""

import struct
from collections.abc import Callable

import pytest

from attacks import digest
from attacks.pair import WAYS, Pair, fates, flips, joined, rose
from sealcast.receiver.fetch import UNKNOWN_KEY_NS
from sealcast.receiver.pending import PENDING_BYTES_MAX, PENDING_PACKETS_MAX
from sealcast.receiver.session import ReceiverSession
from simulation.parts import (
    CHANNEL,
    SECOND,
    make_grant,
    make_receiver,
    make_sender,
    make_slots,
    media,
    on_air,
    seal,
)

DATAGRAM_BYTES_MAX = 65_507
MKI_BYTES = 8
SSRC_PLACE = range(8, 12)


@pytest.mark.parametrize("hand_over", WAYS)
@pytest.mark.parametrize("after_s", [0, 3, 30])
def test_replay_of_data(after_s: int, hand_over: Callable[[ReceiverSession, list[bytes], int], None]) -> None:
    """Packets played again, at once or when the counters are in doubt, are counted and change nothing."""
    pair = Pair()
    now = after_s * SECOND
    pair.receiver.poll_payloads(now)
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    hand_over(pair.receiver, [*pair.packets[:5], *reversed(pair.packets[:5])], now)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"received": 10, "replayed": 10}


def test_replay_of_control() -> None:
    """A SEAL packet played again is refused by its index."""
    pair = Pair()
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    for _ in range(3):
        pair.receiver.handle_control(pair.first_seal, SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"control_refused": 3}


def test_replay_of_long_ago_to_a_joiner() -> None:
    """Packets of the same epoch, 40,000 packets old, verify; the signed counters keep them out."""
    pair = Pair()
    old = pair.packets[:8]
    for start in range(10, 40_000, 1_000):
        seal(pair.sender, media(*range(start, start + 1_000)), 0)
    pair.sender.poll_control(0)
    joiner = joined(pair.spec, pair.tek)
    joiner.handle_control(pair.next_seal(), SECOND)
    before, counted = digest.whole(joiner), fates(joiner)
    joiner.handle_data(old, SECOND)
    assert digest.whole(joiner) == before
    assert rose(counted, joiner) == {"received": 8, "refused": 8}
    joiner.handle_data(seal(pair.sender, media(40_010), SECOND), SECOND)
    assert joiner.stats.opened == 1


def test_seal_of_an_earlier_run_replayed_to_a_joiner() -> None:
    """Without a key it is a hint, with the new run's key it is of the past; either way it moves nothing."""
    earlier = Pair()
    old = [earlier.first_seal, earlier.next_seal(), *earlier.sender.end(2 * SECOND)]
    joiner = make_receiver(channel=None)
    before = digest.beliefs(joiner)
    for packet in old:
        joiner.handle_control(packet, 0)
    assert digest.beliefs(joiner) == before
    assert joiner.poll_fetch(0) is not None
    later = make_sender(earlier.spec, slots=make_slots(2, 16), seed="later")
    joiner.handle_grant(make_grant(earlier.spec, on_air(later, 0)), 0)
    before, counted = digest.whole(joiner), fates(joiner)
    for packet in old:
        joiner.handle_control(packet, SECOND)
    assert digest.whole(joiner) == before
    assert rose(counted, joiner) == {"control_refused": len(old)}
    joiner.handle_control(later.poll_control(SECOND)[0], SECOND)
    assert joiner.stats.control == 1


def test_bit_flips_in_data() -> None:
    """A packet with any one bit changed opens nothing: header, payload, tag; unchanged it opens."""
    pair = Pair()
    packet = pair.small_packet()
    before = digest.whole(pair.receiver)
    for at, changed in flips(packet):
        if at in SSRC_PLACE or at >= len(packet) - MKI_BYTES:
            continue
        counted = fates(pair.receiver)
        pair.receiver.handle_data([changed], 0)
        told = rose(counted, pair.receiver)
        # Another SEQ may be that of a packet that was opened.
        assert told in ({"received": 1, "refused": 1}, {"received": 1, "replayed": 1}), at
        assert digest.whole(pair.receiver) == before
    pair.receiver.handle_data([packet], 0)
    assert pair.receiver.stats.opened == 6


def test_bit_flips_in_mki_and_ssrc() -> None:
    """Under another key or SSRC a packet waits, or is of another channel or of the past: beliefs stay."""
    pair = Pair()
    packet = pair.small_packet()
    believed = digest.beliefs(pair.receiver)
    for at, changed in flips(packet):
        if at not in SSRC_PLACE and at < len(packet) - MKI_BYTES:
            continue
        counted, held_back = fates(pair.receiver), pair.receiver.state(0).held_back
        pair.receiver.handle_data([changed], 0)
        told = rose(counted, pair.receiver)
        assert told.pop("received") == 1
        assert sum(told.values()) + pair.receiver.state(0).held_back - held_back == 1
        assert digest.beliefs(pair.receiver) == believed
    pair.receiver.handle_data([packet], 0)
    assert pair.receiver.stats.opened == 6


def test_bit_flips_in_seal() -> None:
    """A control packet with any one bit changed says nothing: ROC, times, signature, tag, index, MKI."""
    pair = Pair()
    packet = pair.next_seal()
    before, believed = digest.whole(pair.receiver), digest.beliefs(pair.receiver)
    for at, changed in flips(packet):
        counted = fates(pair.receiver)
        pair.receiver.handle_control(changed, SECOND)
        if at < len(packet) - MKI_BYTES:
            assert rose(counted, pair.receiver) == {"control_refused": 1}
            assert at % 8 or digest.whole(pair.receiver) == before
        else:
            assert digest.beliefs(pair.receiver) == believed
    pair.receiver.handle_control(packet, SECOND)
    assert pair.receiver.stats.control == 2


def test_truncated_datagrams() -> None:
    """Any first part of a packet is refused or of no known key, on both ports; nothing is raised."""
    pair = Pair()
    data, control = pair.small_packet(), pair.next_seal()
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    for size in range(len(data)):
        pair.receiver.handle_data([data[:size]], SECOND)
    for size in range(len(control)):
        pair.receiver.handle_control(control[:size], SECOND)
    assert digest.whole(pair.receiver) == before
    told = rose(counted, pair.receiver)
    assert told["refused"] + told["foreign"] == told["received"] == len(data)
    assert told["control_refused"] == len(control)


def test_oversized_datagrams() -> None:
    """The largest datagrams there are: under a held key refused, under an unknown one few and bounded."""
    pair = Pair()
    data, control, mki = pair.small_packet(), pair.next_seal(), pair.tek.key_id.pack()
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    stuffed = [
        packet[:-MKI_BYTES].ljust(size - MKI_BYTES, filler) + mki
        for packet in (data, control)
        for size in (len(packet) + 1, 9_000, DATAGRAM_BYTES_MAX)
        for filler in (b"\0", b"\xff")
    ]
    for packet in stuffed:
        pair.receiver.handle_data([data[:12] + packet[12:]], SECOND)
        pair.receiver.handle_control(packet, SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"received": 12, "refused": 12, "control_refused": 12}
    believed = digest.beliefs(pair.receiver)
    unknown = bytes([0x80]) + bytes(DATAGRAM_BYTES_MAX - 9) + struct.pack(">II", CHANNEL, 9)
    for _ in range(300):
        pair.receiver.handle_data([unknown], SECOND)
    assert digest.beliefs(pair.receiver) == believed
    assert pair.receiver.state(SECOND).held_back * DATAGRAM_BYTES_MAX <= PENDING_BYTES_MAX


def test_flood_of_unknown_key_ids() -> None:
    """Twenty thousand made-up key IDs: one question in two seconds, a bounded queue, the stream goes on."""
    pair = Pair()
    believed, counted = digest.beliefs(pair.receiver), fates(pair.receiver)
    made_up = [bytes([0x80]) + bytes(59) + struct.pack(">II", CHANNEL, 3 + n) for n in range(20_000)]
    pair.receiver.handle_data(made_up, SECOND)
    held_back = pair.receiver.state(SECOND).held_back
    assert held_back <= PENDING_PACKETS_MAX
    assert rose(counted, pair.receiver) == {"received": 20_000, "dropped": 20_000 - held_back}
    assert digest.beliefs(pair.receiver) == believed
    for number, packet in enumerate(made_up):
        now = SECOND + number * UNKNOWN_KEY_NS // len(made_up)
        pair.receiver.handle_data([packet], now)
        if pair.receiver.poll_fetch(now) is not None:
            pair.receiver.handle_fetch_failed(now, retry_after_ns=60 * SECOND)
    assert pair.receiver.stats.fetches == counted["fetches"] + 1
    pair.receiver.handle_data(pair.packets[5:], now)
    assert pair.receiver.stats.opened == 10


def test_packets_of_another_channel() -> None:
    """Data and control under another channel's key are counted, and neither wait nor cause a question."""
    pair = Pair()
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    other = struct.pack(">II", CHANNEL + 1, 1)
    pair.receiver.handle_data([packet[:-MKI_BYTES] + other for packet in pair.packets], SECOND)
    pair.receiver.handle_control(pair.first_seal[:-MKI_BYTES] + other, SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"received": 10, "foreign": 10, "control_refused": 1}


def test_made_up_streams_under_a_held_key() -> None:
    """Six thousand made-up SSRCs under the key on air wait for a while, then they are gone."""
    pair = Pair()
    believed, mki = digest.beliefs(pair.receiver), pair.tek.key_id.pack()
    heads = (bytes([0x80, 33, 0, 1]) + bytes(4) + struct.pack(">I", ssrc) for ssrc in range(6_000))
    for head in heads:
        pair.receiver.handle_data([head + bytes(40) + mki], 0)
    assert pair.receiver.state(0).held_back == PENDING_PACKETS_MAX
    assert digest.beliefs(pair.receiver) == believed
    pair.receiver.handle_timeout(6 * SECOND)
    assert (pair.receiver.state(0).held_back, pair.receiver.stats.dropped) == (0, 6_000)
