"""Shows when a receiver says that it is there: evenly spread, often enough, and never in a crowd."""

from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sealcast.receiver.presence import HEARTBEAT_MS_MAX, HEARTBEAT_MS_MIN, Presence
from sealcast.testing import SimRandom
from simulation.parts import MS, SECOND

EVERY_MS = 30_000
EVERY_NS = EVERY_MS * MS


def present(seed: int = 1, now: int = 0) -> Presence:
    """Return the presence of a receiver that got a grant at `now`."""
    presence = Presence(SimRandom(seed))
    presence.handle_grant(EVERY_MS, now)
    return presence


def due(presence: Presence) -> int:
    """Return when the next heartbeat is due."""
    due_ns = presence.next_timeout()
    assert due_ns is not None
    return due_ns


def beat(presence: Presence) -> int:
    """Let the next heartbeat be sent and answered at once; return its instant."""
    now = due(presence)
    assert presence.poll(now)
    presence.handle_answer(EVERY_MS, now)
    return now


def test_nothing_before_a_grant_and_nothing_unless_told() -> None:
    """Without a grant, and by a grant that tells no interval, no heartbeat is sent."""
    presence = Presence(SimRandom(1))
    assert presence.next_timeout() is None
    assert not presence.poll(100 * SECOND)
    presence.handle_grant(0, 0)
    assert presence.next_timeout() is None
    presence.handle_failure(0)
    assert presence.next_timeout() is None


def test_regular_after_the_first() -> None:
    """The first comes within the interval, each later one an interval after it, to the nanosecond."""
    presence = present()
    instants = [beat(presence) for _ in range(10)]
    assert 0 < instants[0] <= EVERY_NS
    assert all(later - earlier == EVERY_NS for earlier, later in pairwise(instants))


def chi_square(instants: list[int]) -> float:
    """Return how unevenly 10,000 instants lie on ten parts of the interval."""
    bins = Counter(instant % EVERY_NS * 10 // EVERY_NS for instant in instants)
    return sum((bins[part] - 1_000) ** 2 / 1_000 for part in range(10))


def test_a_crowd_is_spread_evenly_and_stays_so() -> None:
    """Of 10,000 receivers a tenth is in each tenth, first, later, and after all asked in one millisecond."""
    first, later, after_change = [], [], []
    for seed in range(10_000):
        presence = present(seed)
        first.append(beat(presence))
        later.append(beat(presence))
        presence.handle_grant(EVERY_MS, 70 * SECOND)
        after_change.append(beat(presence))
    for instants in (first, later, after_change):
        assert chi_square(instants) < 27.9, "less likely than one in a thousand, were they uniform"


def test_a_key_request_counts() -> None:
    """A heartbeat too soon after a key request is left out, and no gap is longer than 1.5 intervals."""
    for seed in range(200):
        presence = present(seed)
        beat(presence)
        asked_ns = 40 * SECOND + seed * 100 * MS
        while due(presence) < asked_ns:
            beat(presence)
        presence.handle_grant(EVERY_MS, asked_ns)
        assert EVERY_NS // 2 <= due(presence) - asked_ns <= EVERY_NS * 3 // 2


def test_frequent_key_requests_are_enough() -> None:
    """Where keys change every few seconds no heartbeat is sent at all, after the first."""
    presence = present()
    beat(presence)
    for second in range(31, 300, 5):
        presence.handle_grant(EVERY_MS, second * SECOND)
        assert not presence.poll((second + 5) * SECOND)


def test_sooner_after_a_failure_but_not_at_once() -> None:
    """Without an answer the next tries come after an eighth to a quarter, then later, never beyond one."""
    for seed in range(100):
        presence = present(seed)
        now = beat(presence)
        steps = []
        for _ in range(6):
            now = due(presence)
            assert presence.poll(now)
            presence.handle_failure(now)
            steps.append(due(presence) - now)
        assert EVERY_NS // 8 <= steps[0] <= EVERY_NS // 4
        assert EVERY_NS // 4 <= steps[1] <= EVERY_NS // 2
        assert all(EVERY_NS // 2 <= step <= EVERY_NS for step in steps[2:])
        assert presence.missed == 6
        before_ns = due(presence)
        assert presence.poll(before_ns)
        presence.handle_answer(EVERY_MS, before_ns)
        assert presence.missed == 0
        assert 0 < due(presence) - before_ns <= EVERY_NS, "it is back on its grid"


def test_a_busy_server_is_given_the_time_it_asks_for() -> None:
    """Retry-After is waited for, but no longer than an interval."""
    presence = present()
    now = due(presence)
    assert presence.poll(now)
    presence.handle_failure(now, 20 * SECOND)
    assert due(presence) == now + 20 * SECOND
    assert presence.poll(due(presence))
    presence.handle_failure(now, 3_600 * SECOND)
    assert due(presence) <= now + EVERY_NS


def test_the_interval_changes_as_the_key_server_says() -> None:
    """A new interval is drawn anew and kept to; an impossible one is brought into bounds; 0 ends it."""
    presence = present()
    now = due(presence)
    assert presence.poll(now)
    presence.handle_answer(1_000, now)
    assert now < due(presence) <= now + SECOND
    for told, least, most in ((1, 0, HEARTBEAT_MS_MIN), (10**12, 0, HEARTBEAT_MS_MAX)):
        presence.handle_grant(told, now)
        assert least < due(presence) - now <= most * MS
    presence.handle_grant(0, now)
    assert presence.next_timeout() is None


STEPS = st.lists(
    st.tuples(st.sampled_from(["grant", "answer", "failure", "wait"]), st.integers(0, 50_000)), max_size=60
)


@given(STEPS, st.integers(0, 1_000))
def test_one_at_a_time_and_never_silent(steps: list[tuple[str, int]], seed: int) -> None:
    """Whatever happens, one heartbeat is under way at most, and the next is due within 1.5 intervals."""
    presence, now, under_way = present(seed), 0, False
    for what, step_ms in steps:
        now += step_ms * MS
        if what == "grant":
            presence.handle_grant(EVERY_MS, now)
        elif under_way and what != "wait":
            presence.handle_failure(now) if what == "failure" else presence.handle_answer(EVERY_MS, now)
            under_way = False
        if presence.poll(now):
            assert not under_way
            under_way = True
        if not under_way:
            assert now < due(presence) <= now + EVERY_NS * 3 // 2
