"""What encoders do that would break GCM if their numbers were kept: starts again, repeats, jumps."""

import struct
from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sealcast.sender.liveinput import MAX_DROPOUT_PACKETS, PAYLOAD_BYTES_MAX, LiveInput
from sealcast.sender.pump import Pump
from sealcast.sender.runs import Run
from sealcast.testing import SimRandom
from sealcast.wire.rtp import SEQ_MODULUS
from simulation.parts import PAYLOAD_BYTES, make_sender, make_spec, serve

RTP_BYTES = 12
STEPS = st.sampled_from([1, 1, 1, 1, 1, 1, 0, 2, 3, -1, -2, -99, -100, -101, 700, 3_000, 3_001, 40_000])
"""How an encoder's number goes on: mostly as it should."""

PACKETS = st.lists(
    st.tuples(
        STEPS, st.sampled_from([1, 1, 1, 1, 1, 2]), st.sampled_from([33, 33, 33, 33, 33 | 0x80, 96, 200])
    ),
    min_size=1,
    max_size=120,
)
"""Step of the sequence number, source, second byte of the header (200 is RTCP)."""


def encoded(steps: Sequence[tuple[int, int, int]], first_seq: int = 65_500) -> list[bytes]:
    """Return an encoder's packets; each has other bytes, whatever its number."""
    seq, packets = first_seq, []
    for number, (step, ssrc, second) in enumerate(steps):
        seq = (seq + step) % SEQ_MODULUS
        header = struct.pack(">BBHII", 0x80, second, seq, number * 90, ssrc)
        packets.append(header + number.to_bytes(4, "big") * (PAYLOAD_BYTES // 4))
    return packets


class Air:
    """Stands for the network: keeps what was sent."""

    def __init__(self) -> None:
        self.packets: list[bytes] = []

    def plain_send(self, segment_bytes: int) -> None:
        """Every train is sent with care."""

    def send_train(self, data: memoryview, segment_bytes: int) -> int:
        """Take all."""
        packets = [bytes(data[at : at + segment_bytes]) for at in range(0, len(data), segment_bytes)]
        self.packets += packets
        return len(packets)


def on_air(runs: Sequence[Run], first_seq: int = 0) -> list[bytes]:
    """Return the packets that a sender makes of a live input, all under one key."""
    session = make_sender(make_spec(600_000), first_seq=first_seq)
    serve(session, 0)
    air = Air()
    pump = Pump(session, air, random=SimRandom(1), payload_type=33, departed=lambda _: None)
    for run in runs:
        pump.feed(run)
    while not pump.is_idle:
        pump.depart(0)
    return air.packets


def indices(packets: Sequence[bytes], first: int) -> list[int]:
    """Return the packet indices, of which a packet carries the last 16 bits."""
    found, last = [], first - 1
    for packet in packets:
        seq = int.from_bytes(packet[2:4], "big")
        last += (seq - last) % SEQ_MODULUS
        found.append(last)
    return found


def trains(packets: Sequence[bytes], cuts: Sequence[int]) -> list[bytes]:
    """Return packets of one length as the kernel gathers them, cut at some places."""
    marks = sorted({0, len(packets), *(cut % (len(packets) + 1) for cut in cuts)})
    return [b"".join(packets[begin:end]) for begin, end in pairwise(marks)]


@given(PACKETS, st.lists(st.integers(0, 200), max_size=12), st.integers(0, 65_535))
def test_no_nonce_is_used_twice(steps: list[tuple[int, int, int]], cuts: list[int], first_seq: int) -> None:
    """Whatever an encoder does, the index only rises, under one SSRC and one key, and the stream goes on."""
    live = LiveInput(rtp=True)
    size = RTP_BYTES + PAYLOAD_BYTES
    runs = [run for train in trains(encoded(steps), cuts) for run in live.take_train(train, size)]
    packets = on_air(runs, first_seq)
    rising = indices(packets, first_seq)
    assert all(before < after <= before + MAX_DROPOUT_PACKETS for before, after in pairwise(rising))
    assert {packet[8:12] for packet in packets} == ({packets[0][8:12]} if packets else set())
    dropped = live.counters.duplicates + live.counters.late + live.counters.malformed
    assert len(packets) + dropped == live.counters.received == len(steps)
    if packets:
        # What the receiver misses is what the input missed.
        assert rising[-1] - rising[0] + 1 - len(packets) == live.counters.missing


@given(PACKETS, st.lists(st.integers(0, 200), max_size=12))
def test_trains_are_taken_as_single_packets_are(steps: list[tuple[int, int, int]], cuts: list[int]) -> None:
    """Many at once or one by one: the same payloads under the same headers after the same gaps."""
    packets = encoded(steps)
    singly, together = LiveInput(rtp=True), LiveInput(rtp=True)
    one_by_one = [run for packet in packets if (run := singly.take(packet)) is not None]
    size = RTP_BYTES + PAYLOAD_BYTES
    gathered = [run for train in trains(packets, cuts) for run in together.take_train(train, size)]
    assert flat(gathered) == flat(one_by_one)
    assert together.counters == singly.counters


def flat(runs: Sequence[Run]) -> list[tuple[bytes, int, bool, int | None, int]]:
    """Return payload, timestamp, marker, payload type and gap of each packet."""
    rows = []
    for run in runs:
        for place, payload in enumerate(run.payloads):
            timestamp = run.timestamps[place] if run.timestamps is not None else -1
            skipped = 0 if place else run.skipped
            rows.append((bytes(payload), timestamp, run.marker, run.payload_type, skipped))
    return rows


def test_what_follows_makes_one_run() -> None:
    """An orderly encoder costs a run a train, not a run a packet; the marker begins another."""
    steps = [(1, 1, 33)] * 40
    live = LiveInput(rtp=True)
    assert [len(run) for run in live.take_train(b"".join(encoded(steps)), RTP_BYTES + PAYLOAD_BYTES)] == [40]
    steps[20] = (1, 1, 33 | 0x80)
    live = LiveInput(rtp=True)
    runs = live.take_train(b"".join(encoded(steps)), RTP_BYTES + PAYLOAD_BYTES)
    assert [(len(run), run.marker) for run in runs] == [(20, False), (1, True), (19, False)]


def test_bare_packets_make_one_run() -> None:
    """A train of bare transport stream packets is one run of slices, its shorter last one included."""
    live = LiveInput()
    datagram = (b"\x47" + bytes(187)) * 7
    assert [len(run) for run in live.take_train(datagram * 3, len(datagram))] == [3]
    runs = live.take_train(datagram * 5 + datagram[:188], len(datagram))
    assert [[len(payload) for payload in run.payloads] for run in runs] == [[1316] * 5 + [188]]
    assert live.counters.received == 9


def test_what_does_not_fit_a_datagram_once_sealed_is_dropped() -> None:
    """A datagram near the longest that IP has is counted as malformed; the stream goes on."""
    bare, wrapped = LiveInput(), LiveInput(rtp=True)
    longest = bytes(PAYLOAD_BYTES_MAX)
    assert [len(run) for run in bare.take_train(longest, len(longest))] == [1]
    assert bare.take_train(longest + b"x", len(longest) + 1) == []
    (packet,) = encoded([(1, 1, 33)])
    assert wrapped.take_train(packet[:RTP_BYTES] + longest + b"x", RTP_BYTES + len(longest) + 1) == []
    assert (bare.counters.malformed, wrapped.counters.malformed) == (1, 1)
    assert len(on_air([Run([longest], payload_type=33)])) == 1


def test_an_encoder_that_starts_again() -> None:
    """Other bytes under old numbers, from the same source and from a new one: each packet has its own."""
    again = [(1, 1, 33)] * 50 + [(-49, 1, 33)] + [(1, 1, 33)] * 150 + [(-200, 2, 33)] + [(1, 2, 33)] * 50
    live = LiveInput(rtp=True)
    runs = live.take_train(b"".join(encoded(again)), RTP_BYTES + PAYLOAD_BYTES)
    packets = on_air(runs)
    numbers = [packet[2:4] for packet in packets]
    assert len(set(numbers)) == len(numbers)
    assert live.counters.restarts == 1
