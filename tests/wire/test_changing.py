"""When patterns change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import LocalError, UsageError
from sealcast.core.ids import U32_MAX
from sealcast.wire.changing import Change, PatternSchedule


def numbers(schedule: PatternSchedule, sizes: list[int], now: int, in_line: int = 1) -> list[int]:
    """Return the number that each packet goes under, `in_line` of them seen at a time."""
    given_out: list[int] = []
    while len(given_out) < len(sizes):
        line = sizes[len(given_out) :][:in_line]
        number, count = schedule.plan(line, now)
        assert 1 <= count <= len(line)
        schedule.record(count, sum(line[:count]))
        given_out += [number] * count
    return given_out


def test_change_by_packets() -> None:
    """Exactly so many packets go under a pattern."""
    assert numbers(PatternSchedule(Change(after_packets=3)), [1] * 8, 0) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_change_by_bytes() -> None:
    """The packet with which the bytes are reached is the last; none is cut; a long one is alone."""
    schedule = PatternSchedule(Change(after_bytes=100), first=7)
    assert numbers(schedule, [60, 39, 60, 100, 400, 99, 1, 1], 0) == [7, 7, 7, 8, 9, 10, 10, 11]


def test_change_by_time() -> None:
    """The first packet starts the time; changes keep to its grid, and go on in a pause."""
    schedule = PatternSchedule(Change(after_ns=100))
    assert schedule.remaining_ns(5) is None
    seen = [
        (now, *numbers(schedule, [1], now), schedule.remaining_ns(now)) for now in (10, 109, 110, 215, 900)
    ]
    assert seen == [(10, 0, 100), (109, 0, 1), (110, 1, 100), (215, 2, 95), (900, 8, 10)]


def test_time_without_packets() -> None:
    """Numbers go on by time alone; the first look starts the time."""
    schedule = PatternSchedule(Change(after_ns=100), first=2)
    assert [schedule.follow(now) for now in (50, 149, 150, 449)] == [2, 2, 3, 5]
    assert schedule.remaining_ns(449) == 1
    assert numbers(schedule, [1], 450) == [6]
    assert schedule.follow(10_000) == 101


def test_whichever_is_first() -> None:
    """Packets, bytes and time together: each makes a new pattern, and counts begin again with it."""
    schedule = PatternSchedule(Change(after_bytes=1_000, after_packets=3, after_ns=100))
    assert numbers(schedule, [1, 1, 1, 1, 999, 1], 0) == [0, 0, 0, 1, 1, 2]
    assert numbers(schedule, [1, 1, 1, 1], 100) == [3, 3, 3, 4]


@given(
    st.lists(st.integers(1, 2_000), min_size=1, max_size=80),
    st.integers(1, 70),
    st.integers(1, 9_000),
    st.integers(1, 20),
)
def test_batches_do_not_matter(sizes: list[int], in_line: int, bytes_: int, packets: int) -> None:
    """Which packet goes under which number is the same however many are in line at a time."""
    change = Change(after_bytes=bytes_, after_packets=packets)
    assert numbers(PatternSchedule(change), sizes, 0, in_line) == numbers(PatternSchedule(change), sizes, 0)


def test_a_plan_that_is_not_carried_out() -> None:
    """Planning counts nothing: what a socket did not take is planned again."""
    schedule = PatternSchedule(Change(after_packets=3))
    assert schedule.plan([1] * 5, 0) == schedule.plan([1] * 5, 0) == (0, 3)
    schedule.record(2, 2)
    assert schedule.plan([1] * 5, 0) == (0, 1)
    schedule.record(1, 1)
    assert schedule.plan([1] * 5, 0) == schedule.plan([1] * 5, 0) == (1, 3)


def test_the_end_of_the_numbers() -> None:
    """The last number is stayed with."""
    schedule = PatternSchedule(Change(after_packets=1), first=U32_MAX - 1)
    assert numbers(schedule, [1] * 4, 0) == [U32_MAX - 1, U32_MAX, U32_MAX, U32_MAX]


@pytest.mark.parametrize(
    "change", [{}, {"after_bytes": 0}, {"after_packets": -1}, {"after_ns": 0, "after_bytes": 5}]
)
def test_changes_that_are_none(change: dict[str, int]) -> None:
    """A change is told, and above 0."""
    with pytest.raises(UsageError):
        Change(**change)


@pytest.mark.parametrize("first", [-1, U32_MAX + 1])
def test_numbers_that_are_none(first: int) -> None:
    """Numbers have 32 bits."""
    with pytest.raises(LocalError):
        PatternSchedule(Change(after_packets=1), first)
