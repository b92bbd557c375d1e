"""Scrambled packets: S1's own figures, batches, any rule there and back, and hostile bytes."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import FormatError, LocalError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.testing import SimRandom
from sealcast.wire import rtp, scramble
from sealcast.wire.cycles import Cycle, PatternBook
from sealcast.wire.patterns import Component, Pattern, Rule
from sealcast.wire.scramble import ScrambledPacket, Scrambler
from sealcast.wire.sealing import BATCH_BYTES_MAX, BATCH_PACKETS_MAX
from wire.oracle import load_vectors
from wire.patterning import NUMBER, bit_by_bit, bits_of, books, bytes_of, cycle_of

KEY_ID = KeyId(ChannelNumber(7), Epoch(3))
TRAILER = scramble.pack_trailer(NUMBER, KEY_ID.pack())
SSRC, SECOND = 0x5EA1CA57, 33
VECTORS = load_vectors("scramble.json")


def cycle_under(book: PatternBook) -> Cycle:
    """Return the book's cycle under NUMBER."""
    cycle = book.cycle(NUMBER)
    assert cycle is not None
    return cycle


def scramble_all(cycle: Cycle, payloads: list[bytes], index: int = 0) -> list[bytes]:
    """Scramble payloads in as many batches as it takes; return the packets."""
    packets: list[bytes] = []
    while len(packets) < len(payloads):
        rest = payloads[len(packets) :]
        stamps = list(range(len(packets), len(payloads)))
        batch = Scrambler(SSRC).scramble(cycle, TRAILER, index + len(packets), rest, stamps, second=SECOND)
        assert 1 <= len(batch) <= BATCH_PACKETS_MAX
        assert len(batch.data) <= BATCH_BYTES_MAX
        assert {len(packet) for packet in batch} <= {batch.segment_bytes, len(rest[len(batch) - 1]) + 24}
        packets += map(bytes, batch)
    return packets


def descramble_all(cycle: Cycle, packets: list[bytes]) -> list[bytes]:
    """Return the payloads, packet by packet."""
    return [scramble.descramble_packet(cycle, scramble.parse_packet(packet)) for packet in packets]


def test_figures_25_to_28() -> None:
    """S1's pattern A = 1101: 1001 1010 becomes 0100 0111, and that becomes 1001 1010 again."""
    cycle = cycle_of("single", a="1101")
    scrambled = scramble.scramble_payload(cycle, bytes_of("1001 1010"))
    assert bits_of(scrambled) == "01000111"
    assert bits_of(scramble.scramble_payload(cycle, scrambled)) == "10011010"


def test_figures_31_and_32() -> None:
    """S1's inverted pair: A = 1101 and B = 0010 in this order, from the ninth bit on again, and back."""
    cycle = cycle_of("inverted", a="1101")
    scrambled = scramble.scramble_payload(cycle, bytes_of("1001 1010 1001 1010"))
    assert bits_of(scrambled) == "0100100001001000"
    assert bits_of(scramble.scramble_payload(cycle, scrambled)) == "1001101010011010"


def test_the_layout() -> None:
    """RTP header, payload XOR cycle, pattern number, MKI: byte for byte."""
    (packet,) = scramble_all(cycle_of("a", a="1101"), [b"\x9a\x00"], index=(5 << 16) + 65_530)
    assert packet.hex() == "8021fffa000000005ea1ca5747dd000000070000000700000003"
    parsed = scramble.parse_packet(packet)
    assert parsed == ScrambledPacket(
        rtp.RtpHeader(33, False, 65_530, 0, SSRC, 12, False), NUMBER, KEY_ID, b"\x47\xdd"
    )


def test_a_step_goes_with_the_packet() -> None:
    """With a step the cycle begins further in with each SEQ: a lost packet moves nothing."""
    cycle = cycle_of("a@3", a="11010")
    packets = scramble_all(cycle, [bytes(1)] * 4, index=65_535)
    assert [bits_of(packet[12:13]) for packet in packets] == ["11010110", "11010110", "10110101", "10101101"]
    assert descramble_all(cycle, packets[3:]) == [bytes(1)]


payloads_of = st.lists(st.sampled_from([0, 1, 187, 188, 376, 1_316]), min_size=1, max_size=60).map(
    lambda sizes: [SimRandom(place).bytes(size) for place, size in enumerate(sizes)]
)
indices = st.one_of(st.integers(0, 70_000), st.sampled_from([65_530, (1 << 48) - 100]))


@given(books, payloads_of, indices)
def test_there_and_back(book: PatternBook, payloads: list[bytes], index: int) -> None:
    """Any rule, patterns, index and lengths: what was scrambled in batches comes back, packet by packet."""
    cycle = cycle_under(book)
    assert descramble_all(cycle, scramble_all(cycle, payloads, index)) == payloads


@given(books, st.data())
@settings(max_examples=40)
def test_runs_are_cut_anywhere(book: PatternBook, data: st.DataObject) -> None:
    """A train of packets descrambles the same however it is cut into runs."""
    cycle, size = cycle_under(book), data.draw(st.sampled_from([0, 1, 188, 400]))
    payloads = [SimRandom(place).bytes(size) for place in range(data.draw(st.integers(1, 64)))]
    train, rest, length = memoryview(b"".join(scramble_all(cycle, payloads, 65_500))), payloads, size + 24
    while rest:
        assert scramble.run_length(train, length) == len(rest)
        count = data.draw(st.integers(1, len(rest)))
        assert scramble.descramble_run(cycle, train, length, count) == rest[:count]
        train, rest = train[count * length :], rest[count:]


@given(books, st.binary(max_size=150), st.integers(0, 65_535))
@settings(max_examples=60)
def test_bit_by_bit(book: PatternBook, payload: bytes, seq: int) -> None:
    """The stream is what a second implementation, of characters for bits, makes of the rule."""
    patterns = {
        (term.source, NUMBER - term.back): pattern_bits(book, term.source, NUMBER - term.back)
        for term in book.rule.terms
    }
    expected = bit_by_bit(book.rule, patterns, payload, seq)
    assert scramble.scramble_payload(cycle_under(book), payload, seq) == expected


def pattern_bits(book: PatternBook, source: str, number: int) -> str:
    """Return a pattern of the book, written out."""
    pattern = book._patterns[source, number]
    return bits_of(pattern.secret.reveal())[: pattern.bits]


def test_batches_end_like_those_of_the_sealer() -> None:
    """Equal payloads and a shorter last one go into one; 49 of seven TS packets are what a datagram holds."""
    cycle = cycle_of("a", a="1101")

    def taken(sizes: list[int]) -> int:
        payloads = [bytes(size) for size in sizes]
        return len(Scrambler(1).scramble(cycle, TRAILER, 0, payloads, [0] * len(sizes), second=33))

    assert taken([1_316] * 70) == BATCH_BYTES_MAX // 1_340 == 48
    assert taken([10] * 70) == 64
    assert taken([10, 10, 9, 10]) == taken([10, 10, 9]) == 3
    assert taken([10, 10, 11]) == 2
    with pytest.raises(LocalError, match="does not fit"):
        taken([65_484])


def test_a_run_ends_where_anything_changes() -> None:
    """Another number, MKI, SSRC or header, or a SEQ left out, ends a run; no plain packet, no run."""
    packets = scramble_all(cycle_of("a", a="1101"), [bytes(20)] * 4, index=65_535)
    good, third, length = packets[0], packets[2], len(packets[0])
    assert scramble.run_length(memoryview(b"".join(packets)), length) == 4
    other_number, other_ssrc = third[:-9] + b"\x09" + third[-8:], third[:8] + bytes(4) + third[12:]
    others = [other_number, third[:-1] + b"\x09", b"\x81" + third[1:], b"\xa0" + third[1:]]
    for other in [*others, other_ssrc, packets[1], packets[3]]:
        train = packets[0] + packets[1] + other + packets[3]
        assert scramble.run_length(memoryview(train), length) == 2
    assert scramble.run_length(memoryview(others[2] + good), length) == 0
    assert scramble.run_length(memoryview(good + good[:-1]), length) == 1
    assert scramble.run_length(memoryview(bytes(100)), scramble.PACKET_OVERHEAD_BYTES - 1) == 0
    assert scramble.run_length(memoryview(b""), 40) == 0


def test_longer_headers_are_read() -> None:
    """CSRCs and an extension are left as they are, and the payload is found behind them."""
    cycle = cycle_of("a", a="1101")
    header = bytes([0x92, 33]) + bytes(10) + bytes(8) + b"\0\0\0\x01" + bytes(4)
    packet = header + scramble.scramble_payload(cycle, b"payload") + TRAILER
    assert scramble.descramble_packet(cycle, scramble.parse_packet(packet)) == b"payload"


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        bytes(24),
        rtp.pack_header(33, 0, 0, 0) + bytes(11),
        b"\x81" + bytes(26),
        b"\xa0" + bytes(40),
        b"\x90" + bytes(11) + b"\0\0\0\x05" + bytes(31),
        rtp.pack_header(33, 0, 0, 0) + bytes(65_496),
    ],
    ids=["empty", "not RTP", "short", "short of a CSRC", "padded", "short of an extension", "too long"],
)
def test_packets_that_are_none(packet: bytes) -> None:
    """Too short, too long, padded or not RTP: refused."""
    with pytest.raises(FormatError):
        scramble.parse_packet(packet)


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=80).map(lambda rest: b"\x80" + rest)))
@settings(max_examples=300)
def test_any_bytes(packet: bytes) -> None:
    """Any bytes are a packet, which is descrambled to something, or a FormatError."""
    try:
        parsed = scramble.parse_packet(packet)
    except FormatError:
        return
    payload = scramble.descramble_packet(cycle_of("a@1", a="1101"), parsed)
    assert len(payload) == len(packet) - parsed.header.length_bytes - scramble.TRAILER_BYTES


@pytest.mark.parametrize("vector", VECTORS["figures"], ids=lambda vector: vector["name"])
def test_vectors_of_the_figures(vector: dict[str, Any]) -> None:
    """The published bits of S1's figures are what ours makes."""
    cycle = cycle_of(vector["rule"], a=vector["pattern"])
    assert bits_of(scramble.scramble_payload(cycle, bytes_of(vector["data"]))) == vector["scrambled"]


@pytest.mark.parametrize("vector", VECTORS["packets"], ids=lambda vector: vector["name"])
def test_vectors_of_packets(vector: dict[str, Any]) -> None:
    """Each published packet is made, and read back, from its patterns and rule."""
    components = [
        Component(each["source"], each["number"], Pattern(each["bits"], Secret(bytes.fromhex(each["bytes"]))))
        for each in vector["components"]
    ]
    packet = bytes.fromhex(vector["packet"])
    parsed = scramble.parse_packet(packet)
    cycle = PatternBook(Rule.parse(vector["rule"]), components).cycle(parsed.number)
    assert cycle is not None
    assert cycle.bits == vector["cycle_bits"]
    payload = bytes.fromhex(vector["payload"])
    assert scramble.descramble_packet(cycle, parsed) == payload
    trailer = scramble.pack_trailer(vector["number"], bytes.fromhex(vector["key_id"]))
    (made,) = Scrambler(int(vector["ssrc"], 16)).scramble(
        cycle, trailer, vector["seq"], [payload], [vector["timestamp"]], second=33
    )
    assert bytes(made) == packet
