"""Shows that datagrams leave at the times that the stream's own clock, or the rate, gives them."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import FormatError, UsageError
from sealcast.sender.mpegts import PCR_HZ, PCR_MODULUS
from sealcast.sender.pacing import (
    DATAGRAM_BYTES,
    MAX_LOOKAHEAD_BYTES,
    Pacer,
    PcrPacer,
    RatePacer,
    rtp_timestamp,
    rtp_timestamps,
)
from sealcast.sender.runs import Cut
from sender.streams import Datagram, clocked_stream, datagrams, packet

MS = PCR_HZ // 1000


def _pace(pacer: Pacer, data: bytes, piece_bytes: int = 1 << 17) -> list[Datagram]:
    made: list[Datagram] = []
    for at in range(0, len(data), piece_bytes):
        made += datagrams(pacer.feed(data[at : at + piece_bytes]))
    return made + datagrams(pacer.finish())


def _offsets(made: list[Datagram]) -> list[int]:
    return [each.offset_ns for each in made if each.offset_ns is not None]


def test_a_constant_rate_gives_even_steps(constant_clip: Path) -> None:
    """A clip at 8 Mbit/s leaves as a datagram of 1,316 bytes each 1.316 ms, from 0, unchanged."""
    data = constant_clip.read_bytes()
    made = _pace(PcrPacer(), data)
    assert b"".join(each.payload for each in made) == data
    assert {len(each.payload) for each in made[:-1]} == {DATAGRAM_BYTES}
    assert _offsets(made)[0] == 0
    assert all(abs(after - before - 1_316_000) <= 38 for before, after in pairwise(_offsets(made)))


def test_a_varying_rate_keeps_to_the_clips_time(variable_clip: Path) -> None:
    """Without null packets the steps vary, and the whole still lasts as long as the clip."""
    pacer = PcrPacer()
    offsets = _offsets(_pace(pacer, variable_clip.read_bytes()))
    assert offsets == sorted(offsets)
    assert pacer.end_offset_ns == pytest.approx(2e9, abs=0.2e9)


@given(
    steps_ms=st.lists(st.integers(1, 100), min_size=1, max_size=8),
    between=st.integers(0, 20),
    piece_bytes=st.integers(1, 3000),
    tail_bytes=st.integers(0, 187),
)
def test_pieces_of_any_size_give_the_same(
    steps_ms: list[int], between: int, piece_bytes: int, tail_bytes: int
) -> None:
    """However the input is cut, the datagrams and their times are those of one piece."""
    pcrs = [sum(steps_ms[:i]) * MS for i in range(len(steps_ms) + 1)]
    data = clocked_stream(pcrs, between) + b"\x47" * tail_bytes
    whole = _pace(PcrPacer(), data)
    assert _pace(PcrPacer(), data, piece_bytes) == whole
    assert b"".join(each.payload for each in whole) == data
    offsets = _offsets(whole)
    assert offsets[0] == 0
    assert offsets == sorted(offsets)


@given(start=st.integers(0, PCR_MODULUS - 1))
def test_times_do_not_depend_on_where_the_clock_stands(start: int) -> None:
    """A clock that wraps on the way gives the times of one that begins at 0."""
    pcrs = [40 * MS * i for i in range(6)]
    wrapped = [(start + pcr) % PCR_MODULUS for pcr in pcrs]
    expected = _offsets(_pace(PcrPacer(), clocked_stream(pcrs, 30)))
    assert _offsets(_pace(PcrPacer(), clocked_stream(wrapped, 30))) == expected


@pytest.mark.parametrize("jump_ms", [-3_600_000, -41, 6_000, 7_200_000])
def test_a_jump_of_the_clock_goes_on_at_the_last_rate(jump_ms: int) -> None:
    """Backward, or further forward than 5 s: the steps stay even."""
    before = [(100_000_000 + 40 * i) * MS for i in range(4)]
    after = [(100_000_000 + jump_ms + 40 * i) * MS for i in range(4, 8)]
    offsets = _offsets(_pace(PcrPacer(), clocked_stream(before + after, 34)))
    steps = [after - before for before, after in pairwise(offsets)]
    assert max(steps) - min(steps) <= 1
    assert steps[0] == 8_000_000


def test_an_announced_jump_is_one_however_small() -> None:
    """The discontinuity indicator starts a new time base even where the PCR would fit."""
    first = clocked_stream([0, 40 * MS, 80 * MS], 34)
    second = packet(0x100, pcr=3_000 * MS, jumps=True) + clocked_stream([3_000 * MS + 1143], 33)
    offsets = _offsets(_pace(PcrPacer(), first + second))
    assert max(after - before for before, after in pairwise(offsets)) <= 8_000_001


def test_only_the_first_clock_counts() -> None:
    """A second programme with another clock in the same stream changes nothing."""
    ours = [packet(0x100, i, pcr=40 * MS * i) for i in range(8)]
    other = [packet(0x200, i, pcr=900_000 * MS + 13 * MS * i) for i in range(8)]
    data = b"".join(a + packet(0x101) * 34 + b for a, b in zip(ours, other, strict=True))
    without = b"".join(a + packet(0x101) * 34 + packet(0x200) for a in ours)
    assert _offsets(_pace(PcrPacer(), data)) == _offsets(_pace(PcrPacer(), without))


def test_a_repeated_clock_does_not_stop_the_stream() -> None:
    """The same PCR twice (a duplicated packet) is passed over, not divided by."""
    offsets = _offsets(_pace(PcrPacer(), clocked_stream([0, 40 * MS, 40 * MS, 80 * MS], 34)))
    assert offsets == sorted(offsets)
    assert offsets[-1] > 70_000_000


def test_nothing_is_held_longer_than_the_limit() -> None:
    """Where PCRs cease, the stream goes on at its last rate, then by the next PID that has some."""
    pacer = PcrPacer()
    sent = datagrams(pacer.feed(clocked_stream([0, 40 * MS], 34)))
    silence = packet(0x100) * 1000
    fed, held_most = 70 * 188, 0
    for _ in range(60):
        sent += datagrams(pacer.feed(silence))
        fed += len(silence)
        held_most = max(held_most, fed - len(sent) * DATAGRAM_BYTES)
    assert held_most <= MAX_LOOKAHEAD_BYTES + len(silence) + DATAGRAM_BYTES
    sent += datagrams(pacer.feed(clocked_stream([5 * MS, 85 * MS], 69, pid=0x200)))
    sent += datagrams(pacer.finish())
    offsets = _offsets(sent)
    assert offsets == sorted(offsets)
    assert offsets[-1] - offsets[-2] == pytest.approx(8_000_000, abs=10)


@pytest.mark.parametrize("pcrs", [[], [5]])
def test_a_stream_without_a_clock_asks_for_a_rate(pcrs: list[int]) -> None:
    """Fewer than two PCRs within the limit, or in a whole short stream: use --rate."""
    data = clocked_stream(pcrs, 0) + packet(0x100) * 700
    with pytest.raises(UsageError, match="--rate"):
        _pace(PcrPacer(), data)
    with pytest.raises(UsageError, match="--rate"):
        PcrPacer().feed(data * 40)


@pytest.mark.parametrize("data", [b"plain text, and some more of it " * 40, b"\x47", b"\x00" * 188])
def test_what_is_no_transport_stream_asks_for_a_rate(data: bytes) -> None:
    """Text, zeros, and less than a packet."""
    with pytest.raises(UsageError, match="--rate"):
        _pace(PcrPacer(), data)


def test_damage_on_the_way_is_named() -> None:
    """A packet without its sync byte ends the stream with the place of the damage."""
    data = clocked_stream([0, 40 * MS], 34)
    with pytest.raises(FormatError, match=f"byte {len(data)}"):
        _pace(PcrPacer(), data + b"\x00" * 376)


def test_an_empty_stream_gives_nothing() -> None:
    """No bytes, no datagrams, no error."""
    assert _pace(PcrPacer(), b"") == []
    assert _pace(RatePacer(1000), b"") == []


@given(
    data=st.binary(max_size=6000),
    rate=st.integers(1, 10_000_000_000),
    size=st.integers(1, 1500),
    piece_bytes=st.integers(1, 4000),
)
def test_raw_data_leaves_at_its_rate(data: bytes, rate: int, size: int, piece_bytes: int) -> None:
    """Each payload leaves when the bytes before it have been sent at the rate."""
    pacer = RatePacer(rate, size)
    made = _pace(pacer, data, piece_bytes)
    assert [each.payload for each in made] == [data[at : at + size] for at in range(0, len(data), size)]
    assert _offsets(made) == [at * 8 * 1_000_000_000 // rate for at in range(0, len(data), size)]
    assert pacer.end_offset_ns == len(data) * 8 * 1_000_000_000 // rate


def test_a_rate_is_above_zero() -> None:
    """A rate of 0 is refused at once."""
    with pytest.raises(UsageError, match="above 0"):
        RatePacer(0)


@given(
    first_ns=st.integers(0, 10**18),
    step_ns=st.integers(1, 10**10),
    count=st.integers(1, 70),
    base=st.integers(0, 2**32 - 1),
)
def test_many_timestamps_are_those_of_each(first_ns: int, step_ns: int, count: int, base: int) -> None:
    """The quick way for many offsets, evenly spaced or not, gives what one by one gives."""
    offsets_ns = range(first_ns, first_ns + step_ns * count, step_ns)
    expected = [rtp_timestamp(offset_ns, base) for offset_ns in offsets_ns]
    assert rtp_timestamps(offsets_ns, base) == rtp_timestamps(list(offsets_ns), base) == expected


@given(
    data=st.binary(max_size=100), size=st.integers(1, 20), first=st.integers(0, 30), end=st.integers(0, 30)
)
def test_what_is_cut_when_asked_for_is_a_list(data: bytes, size: int, first: int, end: int) -> None:
    """Payloads that are cut apart when they are asked for are those of a list, by place and by slice."""
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    cut = Cut(data, size)
    assert list(cut) == parts
    assert cut[first:end] == parts[first:end]
    if first < len(parts):
        assert cut[first] == parts[first]


def test_rtp_timestamps_count_90_khz_from_their_base() -> None:
    """One second is 90,000, and the sum wraps at 2^32."""
    assert rtp_timestamp(0) == 0
    assert rtp_timestamp(1_000_000_000, base=7) == 90_007
    assert rtp_timestamp(1_000_000_000, base=2**32 - 1) == 89_999


def test_raw_data_in_any_pieces() -> None:
    """However the bytes are cut, the payloads and their times are the same, whole ones without a copy."""
    data = bytes(range(256)) * 40
    whole = RatePacer(8_000_000)
    expected = [whole.feed(data), whole.finish()]
    for piece_bytes in (1, 7, 1_315, 1_316, 1_317, 5_000):
        pacer = RatePacer(8_000_000)
        runs = [pacer.feed(data[at : at + piece_bytes]) for at in range(0, len(data), piece_bytes)]
        runs.append(pacer.finish())
        assert [bytes(p) for run in runs for p in run.payloads] == [
            bytes(p) for run in expected for p in run.payloads
        ]
        assert [o for run in runs for o in run.offsets_ns or ()] == [
            o for run in expected for o in run.offsets_ns or ()
        ]


@pytest.mark.parametrize("rate", [1, 3_000_000, 8_000_000, 2_000_000_000, 7_777_777_777, 10**15])
def test_times_of_raw_data_are_exact(rate: int) -> None:
    """Each datagram leaves when the bytes before it have had their time, whether that is whole ns or not."""
    pacer = RatePacer(rate)
    offsets = [offset for _ in range(3) for offset in pacer.feed(bytes(10_000)).offsets_ns or ()]
    assert offsets == [number * 1_316 * 8 * 10**9 // rate for number in range(len(offsets))]
    assert len(offsets) == 30_000 // 1_316
