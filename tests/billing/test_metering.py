"""Metering: what is charged, and how many key epochs it is, whatever befalls the sender and the viewer."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.air import Aired
from sealcast.billing.metering import air_log, meter, turns
from sealcast.billing.usage import UsageEvent, first_of_turns, unique

MINUTE_MS = 60_000
LIFETIME_MS = 10 * MINUTE_MS


def air(*epochs: tuple[str, int, int]) -> list[Aired]:
    """Return epochs from 1 on by (cause, start, end) in minutes."""
    return [
        Aired(7, number, cause, start * MINUTE_MS, end * MINUTE_MS, 1_000, 10)
        for number, (cause, start, end) in enumerate(epochs, 1)
    ]


def metered(aired: list[Aired], charged: list[int]) -> tuple[UsageEvent, ...]:
    """Return the usage of a device that is charged for those epochs."""
    return meter("TV-1", charged, air_log(7, aired, LIFETIME_MS))


def key_epochs(aired: list[Aired], charged: list[int]) -> int:
    """Return how many key epochs a device is charged for."""
    return len(first_of_turns(unique(metered(aired, charged))))


def test_a_sender_that_crashes_ten_times_in_an_hour() -> None:
    """Six lifetimes pass; eleven starts make no seventh key epoch."""
    starts = [0, 5, 11, 16, 22, 27, 33, 38, 44, 50, 55, 60]
    aired = air(*(("start", start, end) for start, end in pairwise(starts)))
    assert key_epochs(aired, [each.epoch for each in aired]) == 6
    calm = air(*(("schedule" if start else "start", start, start + 10) for start in range(0, 60, 10)))
    assert key_epochs(calm, [each.epoch for each in calm]) == 6


def test_a_removal_of_somebody_else_costs_nothing() -> None:
    """The epoch that an eviction or a command began belongs to the one that it cut short."""
    aired = air(
        ("start", 0, 10),
        ("schedule", 10, 14),
        ("eviction", 14, 16),
        ("command", 16, 24),
        ("schedule", 24, 34),
    )
    assert turns(aired, LIFETIME_MS) == {1: 1, 2: 2, 3: 2, 4: 2, 5: 5}
    assert key_epochs(aired, [1, 2, 3, 4, 5]) == 3
    # Who came after the eviction pays the turn that it fell into, once.
    assert key_epochs(aired, [3, 4]) == 1


def test_a_viewer_who_comes_back_pays_each_epoch() -> None:
    """Stopping before the end of an epoch saves nothing of it; what was not granted is not charged."""
    aired = air(("start", 0, 10), ("schedule", 10, 20), ("schedule", 20, 30), ("schedule", 30, 40))
    events = metered(aired, [1, 2, 4])
    assert [event.id for event in events] == ["7/1/TV-1", "7/2/TV-1", "7/4/TV-1"]
    assert sum(event.bytes for event in events) == 3_000
    assert key_epochs(aired, [1, 2, 4]) == 3


def test_what_never_went_on_air_is_not_charged() -> None:
    """A key that was fetched ahead and skipped costs nothing."""
    aired = air(("start", 0, 10))
    assert [event.id for event in metered(aired, [1, 2])] == ["7/1/TV-1"]


CAUSES = st.sampled_from(["schedule", "start", "eviction", "command"])


@given(
    st.lists(st.tuples(CAUSES, st.integers(1, 20)), max_size=30), st.lists(st.integers(1, 30), max_size=60)
)
def test_key_epochs_never_exceed_those_of_the_schedule(
    steps: list[tuple[str, int]], charged: list[int]
) -> None:
    """However epochs are cut short, a lifetime that passes is one key epoch at most, beside the scheduled."""
    told, now = [], 0
    for cause, minutes in steps:
        told.append((cause, now, now + minutes))
        now += minutes
    aired = air(*told)
    scheduled = sum(cause == "schedule" for cause, _ in steps)
    assert key_epochs(aired, charged) <= scheduled + now * MINUTE_MS // LIFETIME_MS + 1
    assert key_epochs(aired, charged) <= len(set(charged) & {each.epoch for each in aired})
    twice = metered(aired, charged * 2)
    assert twice == metered(aired, charged)
