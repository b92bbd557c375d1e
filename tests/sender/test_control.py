"""When SEAL packets leave: often enough for joiners, three around a change, never a burden."""

from collections.abc import Iterable
from itertools import pairwise

import pytest

from sealcast.sender.control import (
    BURST,
    BURST_SPACING_NS,
    DATA_PER_CONTROL,
    INTERVAL_NS,
    INTERVAL_NS_MAX,
    PACKETS_MAX,
    ControlSchedule,
)
from simulation.parts import MS, SECOND

SEAL_BYTES = 400


def run(schedule: ControlSchedule, data: Iterable[tuple[int, int]], size_bytes: int = 1316) -> list[int]:
    """Send batches of (instant, packets), and SEAL packets as they fall due; return when those left."""
    left = []
    for at_ns, packets in data:
        while schedule.next_timeout() <= at_ns:
            left.append(schedule.next_timeout())
            schedule.note_control(SEAL_BYTES, left[-1])
        schedule.note_data(packets, packets * size_bytes)
        if schedule.is_due(at_ns):
            left.append(at_ns)
            schedule.note_control(SEAL_BYTES, at_ns)
    return left


def steps(instants: list[int]) -> list[int]:
    """Return the times between."""
    return [later - earlier for earlier, later in pairwise(instants)]


def test_every_200_ms_at_a_normal_rate() -> None:
    """At 8 Mbit/s a SEAL packet leaves each 200 ms."""
    left = run(ControlSchedule(0), ((i * SECOND // 760, 1) for i in range(7_600)))
    assert 49 <= len(left) <= 51
    assert all(INTERVAL_NS <= step <= INTERVAL_NS + 2 * MS for step in steps(left))


def test_every_8192_packets_at_a_high_rate() -> None:
    """At a million packets a second a joiner never waits for more than an eighth of a rollover."""
    schedule = ControlSchedule(0)
    left = run(schedule, ((i * 64_000, 64) for i in range(15_625)))
    assert 15_625 * 64 // PACKETS_MAX - 1 <= len(left) <= 15_625 * 64 // PACKETS_MAX + 1


def test_the_first_data_after_a_silence_is_soon_followed() -> None:
    """A stream that begins a while after its key went on air has its counters told within 200 ms."""
    schedule = ControlSchedule(0)
    schedule.start_burst(0)
    silence = run(schedule, ((i * 10 * MS, 0) for i in range(100)))
    assert len(silence) == BURST
    left = run(schedule, ((SECOND + i * SECOND // 760, 1) for i in range(200)))
    assert left
    assert left[0] <= SECOND + INTERVAL_NS


def test_a_silent_stream_is_still_told_of_its_keys() -> None:
    """Without any data a packet leaves each five seconds."""
    left = run(ControlSchedule(0), ((i * SECOND, 0) for i in range(61)))
    assert steps(left) == [INTERVAL_NS_MAX] * 12


@pytest.mark.parametrize("packets_per_second", [10, 20, 50, 100, 400])
def test_at_most_a_twentieth_of_a_slow_stream(packets_per_second: int) -> None:
    """Over a minute, control is at most 5 % of the stream, apart from the packet each five seconds."""
    data = ((i * SECOND // packets_per_second, 1) for i in range(60 * packets_per_second))
    left = run(ControlSchedule(0), data, size_bytes=200)
    bytes_of_data = 60 * packets_per_second * 200
    floor = 60 * SECOND // INTERVAL_NS_MAX
    assert len(left) <= max(bytes_of_data / DATA_PER_CONTROL / SEAL_BYTES, floor) + 2


def test_three_around_a_change() -> None:
    """A change brings three packets, the first at once, apart by more than a burst of loss takes."""
    schedule = ControlSchedule(0)
    run(schedule, ((i * SECOND // 760, 1) for i in range(760)))
    schedule.start_burst(SECOND)
    left = run(schedule, ((SECOND + i * SECOND // 760, 1) for i in range(100)))
    assert left[:BURST] == [SECOND + i * BURST_SPACING_NS for i in range(BURST)]


def test_a_long_silence_leaves_no_debt() -> None:
    """After an hour without data the rate comes back as soon as three packets' worth of data flowed."""
    schedule = ControlSchedule(0)
    run(schedule, ((i * SECOND, 0) for i in range(3_600)))
    begin = 3_600 * SECOND
    left = run(schedule, ((begin + i * SECOND // 760, 1) for i in range(760)))
    assert len(left) >= 4
