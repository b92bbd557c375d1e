"""A subscriber turned attacker: what somebody who holds the group's keys can and cannot do to the others.

There is no source authentication of data inside a group: who can open packets can seal them. SEAL packets are
signed, so the keys' life, the counters and the end of the stream are the sender's alone.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from attacks import digest
from attacks.pair import WAYS, Pair, fates, forged_data, rose
from sealcast.core.ids import Epoch, KeyId
from sealcast.keys.material import Tek
from sealcast.keys.policy import GRACE_MS_MAX
from sealcast.receiver.session import ReceiverSession
from sealcast.wire.counters import AHEAD_PACKETS
from simulation.parts import CHANNEL, MS, SECOND, SIGNER, copy_key, make_key, media, number_of, seal, serve

Way = Callable[[ReceiverSession, list[bytes], int], None]
TRAIN_PACKETS = 40
FORGED = b"\xff" * 100
FAR = (30_000, 3 * 65_536, 1 << 40)
NEAR = (10, 500, AHEAD_PACKETS)


def early_packets(pair: Pair, tek: Tek) -> list[bytes]:
    """Return data under a key, at indices near and far, under the sender's SSRC and another."""
    ssrcs = (pair.sender.ssrc, pair.sender.ssrc ^ 1)
    return [forged_data(tek, ssrc, index, FORGED) for ssrc in ssrcs for index in (*FAR, *NEAR)]


def early_notices(pair: Pair, tek: Tek) -> list[bytes]:
    """Return announcements under a key that is not on air yet, which the attacker signs with his own key."""
    following = KeyId(CHANNEL, tek.key_id.epoch)
    return [
        pair.changed(tek=tek),
        pair.changed(lambda seal: replace(seal, current=following), tek=tek),
        pair.changed(lambda seal: replace(seal, current=following, roc=7, seq=1), tek=tek),
        pair.changed(lambda seal: replace(seal, current=following, bye=True), tek=tek),
        pair.changed(lambda seal: replace(seal, ssrc=1), tek=tek),
        pair.changed(signer=SIGNER, tek=tek),
    ]


def change_keys(pair: Pair, now: int) -> None:
    """Let the sender switch and announce it, and the receiver take its packets on both ports."""
    serve(pair.sender, now)
    pair.receiver.handle_data(seal(pair.sender, media(*range(20, 40)), now), now)
    for packet in pair.sender.poll_control(now):
        pair.receiver.handle_control(packet, now)


@pytest.mark.parametrize("hand_over", WAYS)
def test_early_packets_under_the_next_key_from_a_subscriber(hand_over: Way) -> None:
    """Data may open; no key, counter or plan moves, and the switch comes as it would."""
    pair, twin = Pair(), Pair()
    tek, _ = copy_key(pair.publish_next()), twin.publish_next()
    now = 6 * SECOND
    for each in (pair, twin):
        each.receiver.handle_control(each.next_seal(now - 200 * MS), now - 200 * MS)
        each.overhear(now)
    notices = early_notices(pair, tek)
    before, counted = digest.course(pair.receiver), fates(pair.receiver)
    hand_over(pair.receiver, early_packets(pair, tek), now)
    for packet in notices:
        pair.receiver.handle_control(packet, now)
    assert digest.course(pair.receiver) == before
    told = rose(counted, pair.receiver)
    assert told["control_refused"] == len(notices)
    assert (told["opened"], told["refused"]) == (len(NEAR), len(FAR))
    for each in (pair, twin):
        change_keys(each, 10 * SECOND)
        each.receiver.handle_timeout(10 * SECOND)
    assert pair.receiver.state(now).epoch == 2
    assert digest.course(pair.receiver) == digest.course(twin.receiver)


def test_a_subscriber_forges_data() -> None:
    """The others open what he seals, and the packet whose place he took is a replay: not prevented."""
    pair = Pair()
    forged = forged_data(copy_key(pair.tek), pair.sender.ssrc, 5, FORGED)
    counted = fates(pair.receiver)
    pair.receiver.handle_data([forged, pair.packets[5]], 0)
    assert FORGED in pair.receiver.poll_payloads(SECOND)
    assert {name: rose(counted, pair.receiver)[name] for name in ("opened", "replayed")} == {
        "opened": 1,
        "replayed": 1,
    }


@pytest.mark.parametrize("ahead", [5_000, AHEAD_PACKETS, 20_000, 60_000, 10 * 65_536])
@pytest.mark.parametrize("hand_over", WAYS)
def test_a_subscriber_leads_no_counter_away(ahead: int, hand_over: Way) -> None:
    """A forged packet costs the stream no more than the packets up to its place, and that is bounded."""
    pair = Pair()
    pair.receiver.handle_data([forged_data(copy_key(pair.tek), pair.sender.ssrc, 4 + ahead, FORGED)], 0)
    pair.receiver.poll_payloads(SECOND)
    got: list[int] = []
    for start in range(10, AHEAD_PACKETS + 2_000, 1_000):
        now = SECOND + start * MS
        for packet in pair.sender.poll_control(now):
            pair.receiver.handle_control(packet, now)
        packets = seal(pair.sender, media(*range(start, start + 1_000)), now)
        for first in range(0, len(packets), TRAIN_PACKETS):
            hand_over(pair.receiver, packets[first : first + TRAIN_PACKETS], now)
        got += [number_of(each) for each in pair.receiver.poll_payloads(now + SECOND)]
    assert got == sorted(set(got))
    assert got[-1] == start + 999
    lost = start + 1_000 - 10 - len(got)
    assert lost <= (ahead if ahead <= AHEAD_PACKETS else 0)


def test_a_subscriber_cannot_end_the_stream() -> None:
    """Neither a BYE nor a later epoch comes from anybody but the sender."""
    pair = Pair()
    before = digest.whole(pair.receiver)
    ends = [
        pair.changed(lambda seal: replace(seal, bye=True)),
        pair.changed(lambda seal: replace(seal, bye=True, current=KeyId(CHANNEL, Epoch(2)))),
    ]
    for packet in ends:
        pair.receiver.handle_control(packet, SECOND)
    assert digest.whole(pair.receiver) == before
    assert not pair.receiver.is_over(60 * SECOND)


def test_a_former_subscriber_is_out_with_the_previous_key() -> None:
    """Under the key of the epoch before packets open for a minute at most, and move no counter."""
    pair = Pair()
    old = copy_key(pair.tek)
    pair.publish_next()
    change_keys(pair, 10 * SECOND)
    stream = pair.receiver._streams[pair.sender.ssrc]
    index, now, highest = 50, 10 * SECOND, stream.counter.highest
    while old.key_id in pair.receiver._ring.held:
        index, now = index + 1, now + SECOND
        pair.receiver.handle_data([forged_data(old, pair.sender.ssrc, index, FORGED)], now)
        for packet in pair.sender.poll_control(now):
            pair.receiver.handle_control(packet, now)
        pair.receiver.handle_timeout(now)
        assert now <= 10 * SECOND + GRACE_MS_MAX * MS
        assert stream.counter.highest == highest
    counted = fates(pair.receiver)
    pair.receiver.handle_data([forged_data(old, pair.sender.ssrc, index + 1, FORGED)], now)
    assert rose(counted, pair.receiver) == {"received": 1, "dropped": 1}


def test_keys_of_other_epochs_open_nothing() -> None:
    """Keys are independent: with those of past epochs nobody seals what a receiver opens as the next."""
    pair = Pair()
    tek = pair.publish_next()
    other = make_key(2, seed="made up")
    forged = replace(other, key_id=tek.key_id)
    before, counted = digest.whole(pair.receiver), fates(pair.receiver)
    pair.receiver.handle_data([forged_data(forged, pair.sender.ssrc, 10, FORGED)], 6 * SECOND)
    assert digest.whole(pair.receiver) == before
    assert rose(counted, pair.receiver) == {"received": 1, "refused": 1}
