"""Packets that wait for their key: bounded in number, bytes, age and key IDs."""

from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.receiver.pending import (
    PENDING_BYTES_MAX,
    PENDING_KEYS_MAX,
    PENDING_NS_MAX,
    PENDING_PACKETS_MAX,
    PendingPackets,
)


def key_id(epoch: int) -> KeyId:
    """Return a key ID of channel 1."""
    return KeyId(ChannelNumber(1), Epoch(epoch))


def test_packets_come_back_in_order_with_their_arrival() -> None:
    """What waited for a key comes back once, in the order and with the instant in which it came."""
    pending = PendingPackets()
    for i in range(5):
        pending.hold(key_id(1), b"%d" % i, i)
    assert pending.take(key_id(1)) == [(i, b"%d" % i) for i in range(5)]
    assert pending.take(key_id(1)) == []
    assert len(pending) == 0
    assert pending.next_timeout() is None


def test_age_is_bounded() -> None:
    """A packet is given up after five seconds, at the instant that the timeout names."""
    pending = PendingPackets()
    pending.hold(key_id(1), b"a", 0)
    pending.hold(key_id(2), b"b", 10)
    due_ns = pending.next_timeout()
    assert due_ns is not None
    pending.expire(due_ns - 1)
    assert pending.dropped == 0
    pending.expire(due_ns)
    assert (pending.dropped, len(pending)) == (1, 1)
    assert pending.next_timeout() == 10 + PENDING_NS_MAX + 1


def test_flood_of_made_up_keys_is_bounded() -> None:
    """Ten thousand packets under as many key IDs leave two queues of one packet, and nothing raises."""
    pending = PendingPackets()
    for i in range(10_000):
        pending.hold(key_id(i), b"x", i)
        assert len(pending) <= PENDING_KEYS_MAX
    assert pending.dropped + len(pending) == 10_000


def test_full_of_one_key_and_then_others() -> None:
    """Dropping the last packet of a key leaves no empty queue behind, on which the next key would fail."""
    pending = PendingPackets()
    pending.hold(key_id(1), b"old", 0)
    for i in range(PENDING_PACKETS_MAX):
        pending.hold(key_id(2), b"x", i + 1)
    assert pending.take(key_id(1)) == []
    pending.hold(key_id(3), b"y", PENDING_PACKETS_MAX + 1)
    pending.hold(key_id(4), b"z", PENDING_PACKETS_MAX + 2)
    assert pending.dropped + len(pending) == PENDING_PACKETS_MAX + 3


def test_bytes_are_bounded() -> None:
    """Datagrams of the largest size take no more memory than the limit says."""
    pending = PendingPackets()
    for i in range(1_000):
        pending.hold(key_id(i % 2), bytes(65_000), i)
    assert len(pending) == PENDING_BYTES_MAX // 65_000


HOLDS = st.tuples(st.just("hold"), st.integers(1, 4), st.integers(0, 2_000_000_000))
TAKES = st.tuples(st.just("take"), st.integers(1, 4), st.just(0))
EXPIRES = st.tuples(st.just("expire"), st.just(0), st.integers(0, 6_000_000_000))


@given(st.lists(st.one_of(HOLDS, HOLDS, TAKES, EXPIRES), max_size=60))
def test_every_packet_is_accounted_for(steps: list[tuple[str, int, int]]) -> None:
    """In any order of calls, a packet is waiting, taken or counted as dropped, and never two of these."""
    pending = PendingPackets()
    now, held, taken = 0, 0, 0
    for what, epoch, step_ns in steps:
        now += step_ns
        if what == "hold":
            pending.hold(key_id(epoch), b"p", now)
            held += 1
        elif what == "take":
            packets = pending.take(key_id(epoch))
            assert packets == sorted(packets)
            taken += len(packets)
        else:
            pending.expire(now)
            due_ns = pending.next_timeout()
            assert due_ns is None or due_ns > now
        assert held == taken + pending.dropped + len(pending)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.sampled_from([10, 3_000])), max_size=12))
def test_runs_are_held_as_single_packets_are(runs: list[tuple[int, int, int]]) -> None:
    """Packets that came together wait, and give way, as if they had come one by one."""
    together, singly = PendingPackets(), PendingPackets()
    for epoch in (1, 2):
        together.hold(key_id(epoch), b"first", 0)
        singly.hold(key_id(epoch), b"first", 0)
    for number, (epoch, count, size_bytes) in enumerate(runs):
        packets = [bytes([each]) * size_bytes for each in range(count)] * 60
        together.hold_run(key_id(epoch), packets, number)
        for packet in packets:
            singly.hold(key_id(epoch), packet, number)
    assert (len(together), together.dropped) == (len(singly), singly.dropped)
    assert [together.take(key_id(epoch)) for epoch in (1, 2, 3)] == [
        singly.take(key_id(epoch)) for epoch in (1, 2, 3)
    ]
