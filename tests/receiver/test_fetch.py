"""When a receiver asks for keys: in its window, once at a time, and never in a hurry for made-up keys."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.receiver.fetch import NO_KEY_YET_NS, RETRY_NS_MAX, UNKNOWN_KEY_NS, FetchPlanner
from sealcast.testing import SimRandom
from simulation.parts import MS, SECOND


def key_id(epoch: int) -> KeyId:
    """Return a key ID of channel 1."""
    return KeyId(ChannelNumber(1), Epoch(epoch))


def make_planner(seed: int = 1) -> FetchPlanner:
    """Return a planner that has joined and got its first keys at 0."""
    planner = FetchPlanner(SimRandom(seed), 0)
    assert planner.poll(0)
    planner.handle_answer(0, has_keys=True)
    return planner


def due(planner: FetchPlanner) -> int:
    """Return when the planner asks next."""
    due_ns = planner.next_timeout()
    assert due_ns is not None
    return due_ns


def test_joining_asks_at_once_and_once() -> None:
    """The first request leaves at once; no second one while it is under way."""
    planner = FetchPlanner(SimRandom(1), 5)
    assert planner.poll(5)
    planner.want_unknown(key_id(1), 6)
    assert not planner.poll(100 * SECOND)
    assert planner.next_timeout() is None


def test_the_key_met_while_asking_is_not_asked_for_twice() -> None:
    """Packets that came while the answer was under way cause no second request."""
    planner = FetchPlanner(SimRandom(1), 0)
    assert planner.poll(0)
    planner.want_unknown(key_id(1), 1 * MS)
    planner.handle_answer(10 * MS, has_keys=True)
    assert planner.next_timeout() is None


def test_made_up_keys_cost_one_request_in_two_seconds() -> None:
    """Ten thousand unknown key IDs in ten seconds make five or six requests."""
    planner = make_planner()
    asked = []
    for i in range(10_000):
        planner.want_unknown(key_id(i), i * MS)
        if planner.poll(i * MS):
            asked.append(i * MS)
            planner.handle_answer(i * MS, has_keys=True)
    assert 4 <= len(asked) <= 6
    assert all(later - earlier >= UNKNOWN_KEY_NS for earlier, later in pairwise(asked))


def test_instants_are_uniform_over_the_window() -> None:
    """Of 10,000 receivers a tenth falls into each tenth of the window, and none outside it."""
    bins: Counter[int] = Counter()
    for seed in range(10_000):
        planner = FetchPlanner(SimRandom(seed), 0)
        planner.poll(0)
        planner.handle_answer(0, has_keys=True)
        planner.want_next(key_id(1), 1_000, 2_999, 0, announced=key_id(2))
        assert 1_000 * MS <= due(planner) <= 2_999 * MS
        bins[(due(planner) - 1_000 * MS) // (200 * MS)] += 1
    chi_square = sum((bins[i] - 1_000) ** 2 / 1_000 for i in range(10))
    assert chi_square < 27.9, "less likely than one in a thousand, were they uniform"


def test_the_instant_is_drawn_once_for_a_window() -> None:
    """Each SEAL packet repeats the window; the instant stays, else all would ask early."""
    planner = make_planner()
    planner.want_next(key_id(1), 1_000, 2_000, 0)
    first = due(planner)
    for i in range(1, 50):
        planner.want_next(key_id(1), 1_000 - i, 2_000 - i, i * MS, announced=key_id(2))
    assert due(planner) == first


def test_a_key_that_is_not_there_is_asked_for_ever_less_often() -> None:
    """While the sender cannot publish, the second tries grow apart, to ten seconds."""
    planner = make_planner()
    planner.want_next(key_id(1), 0, 0, 0)
    instants = []
    for _ in range(8):
        now = due(planner)
        assert planner.poll(now)
        instants.append(now)
        planner.handle_answer(now, has_keys=True)
        planner.want_next(key_id(1), 0, 0, now)
    steps = [later - earlier for earlier, later in pairwise(instants)]
    assert steps == [500 * MS, 1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND, 10 * SECOND, 10 * SECOND]


def test_the_announcement_ends_the_waiting() -> None:
    """When the next key is announced after all, a fresh instant in its window replaces the second try."""
    planner = make_planner()
    now = 0
    for _ in range(8):
        planner.want_next(key_id(1), 0, 0, now)
        now = due(planner)
        planner.poll(now)
        planner.handle_answer(now, has_keys=True)
    planner.want_next(key_id(1), 0, 0, now)
    assert due(planner) == now + RETRY_NS_MAX
    planner.want_next(key_id(1), 0, 1_000, now, announced=key_id(2))
    assert due(planner) <= now + 1_000 * MS


def test_the_announcement_ends_the_backing_off() -> None:
    """The same after requests without answer, also while one of them is under way."""
    planner = make_planner()
    planner.want_next(key_id(1), 0, 0, 0)
    for _ in range(8):
        now = due(planner)
        assert planner.poll(now)
        planner.handle_failure(now)
    now = due(planner)
    assert planner.poll(now)
    planner.want_next(key_id(1), 0, 1_000, now, announced=key_id(2))
    planner.handle_failure(now + 1)
    assert due(planner) <= now + 1_000 * MS


def test_an_answer_with_the_next_key_ends_the_asking() -> None:
    """An instant drawn while the answer was under way is dropped with it."""
    planner = make_planner()
    planner.want_unknown(key_id(1), UNKNOWN_KEY_NS)
    assert planner.poll(UNKNOWN_KEY_NS)
    planner.want_next(key_id(1), 1_000, 2_000, UNKNOWN_KEY_NS)
    planner.handle_answer(UNKNOWN_KEY_NS, has_keys=True, has_next=True)
    assert planner.next_timeout() is None


def test_asking_ahead_of_the_window_costs_no_delay() -> None:
    """Requests for other reasons before the window opens do not push the instant out of it."""
    planner = make_planner()
    for i in range(6):
        planner.want_next(key_id(1), 20_000, 25_000, 0)
        planner.want_unknown(key_id(99), i * UNKNOWN_KEY_NS)
        assert planner.poll(due(planner))
        planner.handle_answer(0, has_keys=True)
    planner.want_next(key_id(1), 1_000, 2_000, 0)
    assert 1_000 * MS <= due(planner) <= 2_000 * MS


@pytest.mark.parametrize("retry_after_ns", [None, 10 * SECOND])
def test_failures_back_off(retry_after_ns: int | None) -> None:
    """Without an answer the requests come apart, never more than the longest step, and never stop."""
    planner = FetchPlanner(SimRandom(3), 0)
    instants = []
    for _ in range(12):
        now = due(planner)
        assert planner.poll(now)
        instants.append(now)
        planner.handle_failure(now, retry_after_ns)
    steps = [later - earlier for earlier, later in pairwise(instants)]
    assert all(step <= (retry_after_ns or 0) + RETRY_NS_MAX for step in steps)
    assert steps[-1] >= RETRY_NS_MAX // 2
    assert all(step >= (retry_after_ns or 125 * MS) for step in steps)


def test_permitted_but_no_key_yet_asks_again_at_leisure() -> None:
    """Receivers that wait for a stream ask every five to ten seconds, each at instants of its own."""
    instants = set()
    for seed in range(50):
        planner = FetchPlanner(SimRandom(seed), 0)
        planner.poll(0)
        planner.handle_answer(0, has_keys=False)
        instants.add(due(planner))
    assert len(instants) == 50
    assert all(NO_KEY_YET_NS // 2 <= at <= NO_KEY_YET_NS for at in instants)


def test_the_start_of_a_stream_ends_the_waiting() -> None:
    """Who waits for a stream asks in the spread of its first packet, and no sooner because it waited."""
    planner = FetchPlanner(SimRandom(1), 0)
    planner.poll(0)
    planner.handle_answer(0, has_keys=False)
    waits_until_ns = due(planner)
    planner.want_unknown(key_id(1), waits_until_ns - 1, 60_000)
    assert due(planner) > waits_until_ns
    assert planner.poll(due(planner))
    planner.handle_answer(due_ns := waits_until_ns + 60 * SECOND, has_keys=False)
    assert due(planner) > due_ns, "it waits again"


def test_a_key_met_unprepared_is_asked_for_within_the_spread() -> None:
    """All receivers meet a restarted sender in one millisecond; of 10,000 a tenth asks in each tenth."""
    bins: Counter[int] = Counter()
    for seed in range(10_000):
        planner = make_planner(seed)
        planner.want_unknown(key_id(2), SECOND, 1_999)
        first = due(planner)
        planner.want_unknown(key_id(2), SECOND + MS, 1_999)
        assert due(planner) == first, "the instant is drawn once"
        bins[(first - SECOND) // (200 * MS)] += 1
    assert set(bins) == set(range(10))
    chi_square = sum((bins[i] - 1_000) ** 2 / 1_000 for i in range(10))
    assert chi_square < 27.9, "less likely than one in a thousand, were they uniform"


EVENTS = st.lists(
    st.tuples(st.sampled_from(["unknown", "next", "answer", "none", "failure"]), st.integers(0, 3_000)),
    max_size=80,
)


@given(EVENTS)
def test_at_most_one_request_is_under_way(events: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, a second request never begins before the first has ended."""
    planner = FetchPlanner(SimRandom(1), 0)
    now, under_way = 0, False
    for what, step_ms in events:
        now += step_ms * MS
        if what == "unknown":
            planner.want_unknown(key_id(step_ms), now)
        elif what == "next":
            planner.want_next(
                key_id(1),
                step_ms,
                step_ms + 100,
                now,
                announced=key_id(2 + step_ms % 3) if step_ms % 2 else None,
            )
        elif under_way and what == "failure":
            planner.handle_failure(now)
            under_way = False
        elif under_way:
            planner.handle_answer(now, has_keys=what == "answer")
            under_way = False
        if planner.poll(now):
            assert not under_way
            under_way = True


def test_a_switch_that_is_brought_forward_is_met() -> None:
    """An instant drawn for the schedule, or for a later switch, gives way to one in the window announced."""
    for drawn_for in (None, key_id(2)):
        planner = make_planner()
        planner.want_next(key_id(1), 600_000, 700_000, 0, announced=drawn_for)
        assert due(planner) >= 600 * SECOND
        planner.want_next(key_id(1), 0, 2_000, SECOND, announced=key_id(2))
        first = due(planner)
        assert SECOND <= first <= 3 * SECOND
        planner.want_next(key_id(1), 0, 1_900, SECOND + 100 * MS, announced=key_id(2))
        assert due(planner) == first


def test_a_switch_that_is_brought_forward_hurries_no_second_try() -> None:
    """A key server that does not answer is not asked more often for it."""
    planner = make_planner()
    planner.want_next(key_id(1), 0, 100, 0, announced=key_id(2))
    for _ in range(6):
        now = due(planner)
        assert planner.poll(now)
        planner.handle_failure(now)
    again = due(planner)
    planner.want_next(key_id(1), 0, 100, now + MS, announced=key_id(2))
    assert due(planner) == again


def test_a_window_that_opens_earlier_is_filled() -> None:
    """Of 2,000 receivers that had drawn for its later half, a quarter asks in each quarter."""
    bins: Counter[int] = Counter()
    for seed in range(2_000):
        planner = make_planner(seed)
        planner.want_next(key_id(1), 2_000, 2_999, 0)
        planner.want_next(key_id(1), 1_000, 2_999, 0, announced=key_id(2))
        first = due(planner)
        planner.want_next(key_id(1), 900, 2_899, 100 * MS, announced=key_id(2))
        assert due(planner) == first
        bins[(first - 1_000 * MS) // (500 * MS)] += 1
    chi_square = sum((bins[i] - 500) ** 2 / 500 for i in range(4))
    assert chi_square < 16.3, "less likely than one in a thousand, were they uniform"


def test_nobody_asks_before_the_window_announced() -> None:
    """An instant that was drawn for a window that opens earlier gives way: an update comes first."""
    planner = make_planner()
    planner.want_next(key_id(1), 0, 100, 0)
    planner.want_next(key_id(1), 1_000, 2_000, 0, announced=key_id(2))
    assert 1_000 * MS <= due(planner) <= 2_000 * MS


def test_a_key_that_followed_is_not_asked_for() -> None:
    """The instant goes, and so does the second try of a request under way; the next change draws as ever."""
    planner = make_planner()
    planner.want_next(key_id(1), 0, 0, 0, announced=key_id(2))
    planner.handle_followed()
    assert planner.next_timeout() is None
    planner.want_next(key_id(1), 0, 0, 0, announced=key_id(3))
    assert planner.poll(0)
    planner.handle_followed()
    planner.handle_failure(SECOND)
    assert planner.next_timeout() is None
    planner.want_next(key_id(3), 1_000, 2_000, SECOND)
    assert 2 * SECOND <= due(planner) <= 3 * SECOND


def test_why_it_ended_is_asked_whatever_follows() -> None:
    """Neither a key that follows nor a window announced puts off the question after an end."""
    planner = make_planner()
    planner.want_why(0, 100)
    first = due(planner)
    planner.want_next(key_id(1), 1_000, 2_000, 0, announced=key_id(2))
    planner.handle_followed()
    assert due(planner) == first
    assert planner.poll(first)
    planner.handle_failure(first)
    assert planner.next_timeout() is not None
