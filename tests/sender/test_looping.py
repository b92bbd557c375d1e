"""Shows that a looped transport stream is one stream: clocks, timestamps and counters go on."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.core.errors import FormatError, UsageError
from sealcast.sender.looping import LoopRestamper
from sealcast.sender.mpegts import PCR_HZ, PCR_MODULUS, PTS_MODULUS, read_pcr, read_pes_times, read_pid
from sealcast.sender.pacing import PcrPacer
from sender.streams import clocked_stream, counter_errors, datagrams, decode, packet, pes_header

MS = PCR_HZ // 1000


def _loop(data: bytes, passes: int, piece_bytes: int = 1 << 17) -> bytes:
    restamper, made = LoopRestamper(), b""
    for _ in range(passes):
        for at in range(0, len(data), piece_bytes):
            made += restamper.feed(data[at : at + piece_bytes])
        restamper.end_pass()
    return made


def _pcr_steps(stream: bytes) -> list[int]:
    pcrs = [read_pcr(stream, at) for at in range(0, len(stream), 188)]
    return [(b - a) % PCR_MODULUS for a, b in pairwise(pcr for pcr in pcrs if pcr is not None)]


def _decode_times(stream: bytes, pid: int) -> Iterator[int]:
    for at in range(0, len(stream), 188):
        times = read_pes_times(stream, at)
        if times is not None and read_pid(stream, at) == pid:
            yield times.decode


def test_a_looped_clip_decodes_as_one(constant_clip: Path, variable_clip: Path) -> None:
    """FFmpeg decodes three passes without a corrupt packet, a falling timestamp or a pause."""
    for clip in (constant_clip, variable_clip):
        data = clip.read_bytes()
        once, thrice = decode(data), decode(_loop(data, 3))
        assert once.pictures == 50
        assert thrice.pictures == 3 * once.pictures
        assert thrice.samples == pytest.approx(3 * once.samples, abs=4 * 1024)
        assert thrice.corrupt_packets == 0
        assert thrice.falling_timestamps == 0
        assert thrice.longest_pause_s < 0.15


def test_a_real_clip_loops(real_clip: Path) -> None:
    """So it is with pictures that are decoded in another order than shown (B frames)."""
    thrice = decode(_loop(real_clip.read_bytes(), 3))
    assert thrice.pictures == 3 * 132
    assert (thrice.corrupt_packets, thrice.falling_timestamps) == (0, 0)
    assert thrice.longest_pause_s < 0.15


def test_without_restamping_the_same_clip_does_not(constant_clip: Path) -> None:
    """The check above sees the seam of a clip that is simply repeated."""
    repeated = constant_clip.read_bytes() * 2
    assert decode(repeated).falling_timestamps
    assert counter_errors(repeated)


def test_counters_and_clock_go_on_over_the_seam(constant_clip: Path) -> None:
    """No PID's counter jumps, and PCRs stay as far apart as the standard allows (100 ms)."""
    looped = _loop(constant_clip.read_bytes(), 4)
    assert counter_errors(looped) == []
    assert max(_pcr_steps(looped)) <= 100 * MS


def test_a_looped_clip_is_paced_evenly(constant_clip: Path) -> None:
    """The pacer sees no jump: the time between datagrams never exceeds 100 ms, nor falls."""
    pacer = PcrPacer()
    looped = _loop(constant_clip.read_bytes(), 3)
    made = datagrams(pacer.feed(looped)) + datagrams(pacer.finish())
    offsets = [each.offset_ns or 0 for each in made]
    steps = [after - before for before, after in pairwise(offsets)]
    assert min(steps) >= 0
    assert max(steps) < 100_000_000
    assert pacer.end_offset_ns == pytest.approx(6e9, rel=0.1)


def test_the_first_pass_is_unchanged(variable_clip: Path) -> None:
    """What is sent once is what stands in the file."""
    data = variable_clip.read_bytes()
    assert _loop(data, 1) == data


@given(piece_bytes=st.integers(1, 5000), cut_bytes=st.integers(0, 187))
@settings(max_examples=20)
def test_pieces_of_any_size_give_the_same(piece_bytes: int, cut_bytes: int) -> None:
    """However the file is read, and however its last packet is cut, the loop is the same."""
    data = clocked_stream([0, 40 * MS, 80 * MS], 9)
    expected = _loop(data, 3)
    assert _loop(data + data[:cut_bytes], 3, piece_bytes) == expected


@given(start=st.integers(0, PCR_MODULUS - 1), steps_ms=st.lists(st.integers(20, 100), min_size=1, max_size=5))
def test_clocks_wrap_on_the_way(start: int, steps_ms: list[int]) -> None:
    """Wherever the clock stands, it goes on by the time that the bytes at the seam take."""
    pcrs = [(start + sum(steps_ms[:i]) * MS) % PCR_MODULUS for i in range(len(steps_ms) + 1)]
    looped = _loop(clocked_stream(pcrs, 9), 3)
    mean_ms = sum(steps_ms) / len(steps_ms)
    seams = _pcr_steps(looped)[len(steps_ms) :: len(steps_ms) + 1]
    assert len(seams) == 2
    assert all(seam == pytest.approx(mean_ms * MS, abs=301) for seam in seams)


def test_timestamps_rise_where_a_stream_outlasts_the_clock() -> None:
    """Sound that lasts longer than the PCRs say makes the pass longer, so that it does not overlap."""
    frames = [packet(0x101, i, payload=pes_header(9_000 * i, stream_id=0xC0), starts=True) for i in range(10)]
    clocks = [packet(0x100, i, pcr=50 * MS * i) for i in range(10)]
    data = b"".join(clock + frame for clock, frame in zip(clocks, frames, strict=True))
    times = list(_decode_times(_loop(data, 3), 0x101))
    assert {after - before for before, after in pairwise(times)} == {9_000}


def test_pts_wrap_and_keep_their_distance_to_the_clock() -> None:
    """Over the wrap of 2^33, PTS minus PCR is the same in each pass."""
    first_pts = PTS_MODULUS - 5_000
    data = b"".join(
        packet(
            0x100,
            i,
            pcr=(first_pts - 9_000 + 3_600 * i) % PTS_MODULUS * 300,
            payload=pes_header((first_pts + 3_600 * i) % PTS_MODULUS),
            starts=True,
        )
        for i in range(5)
    )
    looped = _loop(data, 40)
    for at in range(0, len(looped), 188):
        times, pcr = read_pes_times(looped, at), read_pcr(looped, at)
        assert times is not None
        assert pcr is not None
        assert (times.pts - pcr // 300) % PTS_MODULUS == 9_000
    assert counter_errors(looped) == []


def test_packets_without_payload_keep_the_count() -> None:
    """A PID that begins or ends with clock-only packets, which do not count, goes on rightly."""
    clock_only = packet(0x100, 7, pcr=0, payload=None)
    data = clock_only + packet(0x100, 8) * 1 + packet(0x100, 8, pcr=40 * MS, payload=None)
    looped = _loop(data, 20)
    assert counter_errors(data) == []
    assert counter_errors(looped) == []


def test_a_jump_announced_at_the_beginning_is_taken_back() -> None:
    """A file cut from a live stream may begin with the discontinuity indicator; its repetition has none."""
    data = packet(0x100, 0, pcr=0, jumps=True) + packet(0x100, 1, pcr=40 * MS)
    looped = _loop(data, 2)
    assert looped[5] & 0x80
    assert not looped[2 * 188 + 5] & 0x80


def test_a_scrambled_stream_is_not_looped() -> None:
    """Its timestamps cannot be moved: one line says to leave out --loop."""
    with pytest.raises(UsageError, match="--loop"):
        LoopRestamper().feed(packet(0x100, payload=b"secret", starts=True, scrambled=True))


def test_damage_is_refused() -> None:
    """Bytes without the rhythm of packets raise FormatError."""
    with pytest.raises(FormatError):
        LoopRestamper().feed(b"\x00" * 188)
