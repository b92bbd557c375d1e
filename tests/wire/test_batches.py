"""Batches: the same bytes as one by one, whatever the lengths, and nothing of what does not verify."""

import tracemalloc

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import LocalError
from sealcast.core.secret import Secret
from sealcast.testing import SimRandom
from sealcast.wire import rtp, srtp
from sealcast.wire.opening import Opener
from sealcast.wire.sealing import BATCH_BYTES_MAX, BATCH_PACKETS_MAX, INDEX_LIMIT, SealedBatch, Sealer
from wire.single import seal_single

RANDOM = SimRandom(1)
SSRC, MKI, SECOND = 0xA1B2C3D4, b"\x00\x00\x00\x07\x00\x00\x00\x2a", 0x80 | 33
KEY = srtp.derive_rtp(Secret(RANDOM.bytes(16)), Secret(RANDOM.bytes(12))).stream(SSRC)


def one_by_one(index: int, payload: bytes, timestamp: int) -> bytes:
    """Return the packet as RFC 3711 and RFC 7714 put it together, by the other implementation."""
    header = rtp.pack_header(33, index & 0xFFFF, timestamp, SSRC, marker=True)
    return seal_single(KEY, header, payload, index, MKI)


def all_batches(
    sealer: Sealer, index: int, payloads: list[bytes], timestamps: list[int]
) -> list[list[bytes]]:
    """Seal everything and return the packets of each batch."""
    batches, done = [], 0
    while done < len(payloads):
        batch = sealer.seal(KEY, MKI, index + done, payloads[done:], timestamps[done:], second=SECOND)
        batches.append([bytes(packet) for packet in batch])
        assert len(batches[-1]) == len(batch) > 0
        assert b"".join(batches[-1]) == bytes(batch.data)
        done += len(batch)
    return batches


@given(
    st.lists(st.sampled_from([0, 1, 100, 188, 1_316, 1_316, 1_316, 1_400, 9_000]), min_size=1, max_size=90),
    st.sampled_from([0, 65_500, (1 << 32) - 30, INDEX_LIMIT - 90]),
)
def test_batches_hold_what_single_packets_hold(lengths: list[int], index: int) -> None:
    """Every packet equals the one that is sealed alone, and the batches follow the rules of the kernel."""
    payloads = [SimRandom(number).bytes(length) for number, length in enumerate(lengths)]
    timestamps = [(number * 3_600) & 0xFFFFFFFF for number in range(len(payloads))]
    batches = all_batches(Sealer(SSRC), index, payloads, timestamps)
    flat = [packet for batch in batches for packet in batch]
    assert flat == [
        one_by_one(index + number, payload, timestamps[number]) for number, payload in enumerate(payloads)
    ]
    for batch in batches:
        assert len(batch) <= BATCH_PACKETS_MAX
        assert sum(map(len, batch)) <= BATCH_BYTES_MAX
        assert len({len(packet) for packet in batch[:-1]}) <= 1
        assert len(batch[-1]) <= len(batch[0])


def test_a_full_batch() -> None:
    """48 packets of a transport stream go into one, then the next begins."""
    batches = all_batches(Sealer(SSRC), 5, [bytes(1_316)] * 50, [0] * 50)
    assert [len(batch) for batch in batches] == [48, 2]


def test_a_change_of_key_or_marker_reaches_every_slot() -> None:
    """What stands in the slots beforehand is written anew when it changes."""
    sealer, payloads, stamps = Sealer(SSRC), [bytes(10)] * 5, [0] * 5
    sealer.seal(KEY, MKI, 0, payloads, stamps, second=SECOND)
    other = b"otherkey"
    for packet in sealer.seal(KEY, other, 5, payloads, stamps, second=33):
        assert (packet[1], bytes(packet[-8:])) == (33, other)
    for packet in sealer.seal(KEY, MKI, 10, payloads, stamps, second=SECOND):
        assert (packet[1], bytes(packet[-8:])) == (SECOND, MKI)


def test_the_rest_of_a_batch() -> None:
    """What a socket did not take is still there, packet for packet."""
    batch = Sealer(SSRC).seal(KEY, MKI, 0, [bytes(20), bytes(20), bytes(3)], [1, 2, 3], second=SECOND)
    packets = [bytes(packet) for packet in batch]
    assert [bytes(packet) for packet in batch.after(1)] == packets[1:]
    assert [bytes(packet) for packet in batch.after(2)] == packets[2:]
    assert len(batch.after(3)) == len(list(batch.after(3))) == 0


def test_the_index_ends() -> None:
    """No packet is given out at or above 2^48; a payload longer than a datagram is refused."""
    with pytest.raises(LocalError, match="used up"):
        Sealer(SSRC).seal(KEY, MKI, INDEX_LIMIT - 1, [b"a", b"b"], [0, 0], second=33)
    with pytest.raises(LocalError, match="used up"):
        Sealer(SSRC).seal(KEY, MKI, INDEX_LIMIT - 1, [b"aa", b"b"], [0, 0], second=33)
    with pytest.raises(LocalError, match="does not fit"):
        Sealer(SSRC).seal(KEY, MKI, 0, [bytes(65_500)], [0], second=33)


def received(batch: SealedBatch) -> Opener:
    """Return an opener that has received a batch."""
    opener = Opener()
    opener.received[: len(batch.data)] = batch.data
    return opener


@given(st.integers(1, 48), st.sampled_from([1, 188, 1_316]), st.sampled_from([0, 65_530, 1 << 40]))
def test_a_run_opens_into_one_buffer(count: int, length: int, index: int) -> None:
    """All payloads stand one behind the other, and the fields of each packet are read right."""
    payloads = [SimRandom(number).bytes(length) for number in range(count)]
    opener = received(Sealer(SSRC).seal(KEY, MKI, index, payloads, [7] * count, second=SECOND))
    size = length + rtp.HEADER_BYTES + srtp.OVERHEAD_BYTES
    assert [opener.fields(size, number) for number in range(count)] == [
        (0x80, (index + number) & 0xFFFF, SSRC, MKI) for number in range(count)
    ]
    assert opener.run_length(size, 0, count, MKI) == opener.follow(size, 0, count) == count
    assert opener.open_run(KEY, size, 0, count, index) == count
    assert bytes(opener.payloads(size, 0, count)) == b"".join(payloads)


@given(st.integers(0, 9), st.data())
def test_nothing_of_a_forged_packet_is_left(bad: int, data: st.DataObject) -> None:
    """A flipped bit ends the run before its packet, whose place in the output holds zeros."""
    payloads = [SimRandom(number).bytes(188) for number in range(10)]
    opener = received(Sealer(SSRC).seal(KEY, MKI, 100, payloads, [7] * 10, second=SECOND))
    size = 188 + rtp.HEADER_BYTES + srtp.OVERHEAD_BYTES
    bit = data.draw(st.integers(0, (size - len(MKI)) * 8 - 1))
    opener.received[bad * size + bit // 8] ^= 1 << bit % 8
    assert opener.open_run(KEY, size, 0, 10, 100) == bad
    assert bytes(opener.payloads(size, 0, bad)) == b"".join(payloads[:bad])
    assert bytes(opener.payloads(size, bad, 1)) == bytes(188)
    # The run goes on behind it, at its own index.
    assert opener.open_run(KEY, size, bad + 1, 9 - bad, 101 + bad) == 9 - bad
    assert bytes(opener.payloads(size, bad + 1, 9 - bad)) == b"".join(payloads[bad + 1 :])


@given(st.lists(st.tuples(st.integers(1, 70), st.sampled_from([*range(100, 112), 1_316])), max_size=12))
def test_slots_grow_with_the_batches(steps: list[tuple[int, int]]) -> None:
    """Short batches and long ones, of more lengths than are remembered, in any order: all is right."""
    sealer, index = Sealer(SSRC), 0
    for count, length in steps:
        payloads = [SimRandom(index + number).bytes(length) for number in range(count)]
        flat = [packet for batch in all_batches(sealer, index, payloads, [5] * count) for packet in batch]
        assert flat == [one_by_one(index + number, payload, 5) for number, payload in enumerate(payloads)]
        index += count


def test_payloads_of_every_length_cost_little() -> None:
    """A live input's packets differ in length: slots are made for those that are, not for a whole batch."""
    sealer = Sealer(SSRC)
    tracemalloc.start()
    for index in range(100):
        sealer.seal(KEY, MKI, index, [bytes(100 + index)], [0], second=SECOND)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 50_000


def test_strangers_datagrams_of_odd_lengths_cost_little() -> None:
    """Places are laid out for as many packets as came, not for as many as the buffer could hold."""
    opener = Opener()
    opener.fields(100, 0)
    tracemalloc.start()
    for length in range(37, 137):
        opener.fields(length, 0)
        assert opener.open_run(KEY, length, 0, 1, 0) == 0
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken < 50_000


def test_another_key_opens_nothing() -> None:
    """The first packet already does not verify."""
    opener = received(Sealer(SSRC).seal(KEY, MKI, 0, [bytes(50)] * 3, [0] * 3, second=SECOND))
    stranger = srtp.StreamKey(AESGCM(bytes(16)), KEY.base)
    assert opener.open_run(stranger, 50 + rtp.HEADER_BYTES + srtp.OVERHEAD_BYTES, 0, 3, 0) == 0
