"""The rollover counter: joining late with doubtful counters, wrapping, gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.wire.counters import (
    AHEAD_PACKETS,
    BEHIND_PACKETS,
    CANDIDATES_MAX,
    GAP_NS,
    INDEX_MAX,
    VOUCHED_NS,
    RolloverCounter,
    estimate_index,
)
from sealcast.wire.rtp import SEQ_MODULUS

HALF = SEQ_MODULUS // 2


def rfc_estimate(highest: int, seq: int) -> int:
    """RFC 3711 Appendix A, as written there."""
    roc, last = divmod(highest, SEQ_MODULUS)
    if last < HALF:
        return (roc - 1 if seq - last > HALF else roc) * SEQ_MODULUS + seq
    return (roc + 1 if last - HALF > seq else roc) * SEQ_MODULUS + seq


@given(st.integers(0, INDEX_MAX), st.integers(0, SEQ_MODULUS - 1))
def test_estimate_is_the_rfcs(highest: int, seq: int) -> None:
    """The estimate is that of RFC 3711 Appendix A, except that no index is below 0."""
    expected = rfc_estimate(highest, seq)
    assert estimate_index(highest, seq) == (expected if expected >= 0 else expected + SEQ_MODULUS)


@given(st.integers(0, 1 << 47), st.integers(-HALF + 1, HALF - 1))
def test_estimate_finds_what_is_near(highest: int, step: int) -> None:
    """An index less than 2^15 away is found from its SEQ alone."""
    index = highest + step
    if index >= 0:
        assert estimate_index(highest, index % SEQ_MODULUS) == index


def first_tries(counter: RolloverCounter, index: int, now: int = 0) -> tuple[int, ...]:
    """Return the guesses for the SEQ of `index`."""
    return counter.guesses(index % SEQ_MODULUS, now)


TOLD = [(roc, told) for roc in range(4) for told in (roc - 1, roc, roc + 1) if told >= 0]
"""True ROC and what the joiner was told: right, or one off either way."""


@pytest.mark.parametrize("seq", [0, 5, HALF, 65_530, 65_535])
@pytest.mark.parametrize(("roc", "told"), TOLD)
def test_late_join(roc: int, told: int, seq: int) -> None:
    """A joiner at any SEQ finds the index although the ROC it was told is one off, either way."""
    counter = RolloverCounter()
    counter.add_candidate(told, seq)
    index = roc * SEQ_MODULUS + seq
    guesses = first_tries(counter, index)
    assert index in guesses
    assert told != roc or guesses[0] == index


@pytest.mark.parametrize(("roc", "told"), TOLD)
def test_late_join_before_a_wrap_with_the_first_packets_lost(roc: int, told: int) -> None:
    """Told (r, 65530), with the first ten packets lost, the first packet seen has ROC r + 1."""
    counter = RolloverCounter()
    counter.add_candidate(told, 65_530)
    index = roc * SEQ_MODULUS + 65_530 + 10
    guesses = first_tries(counter, index)
    assert index in guesses
    assert told != roc or guesses[0] == index
    counter.commit(index, 0)
    assert first_tries(counter, index + 1) == (index + 1,)


def test_the_newest_candidate_is_tried_first() -> None:
    """Several sources may disagree: all are tried, the newest first, the oldest beyond four forgotten."""
    counter = RolloverCounter()
    for roc in (10, 20, 30, 40, 50, 60):
        counter.add_candidate(roc, 100)
    guesses = counter.guesses(100, 0)
    assert guesses[0] == 60 * SEQ_MODULUS + 100
    assert 30 * SEQ_MODULUS + 100 in guesses
    assert 20 * SEQ_MODULUS + 100 not in guesses
    assert len(guesses) == 3 * CANDIDATES_MAX


def test_nothing_told_means_a_fresh_stream() -> None:
    """Without any candidate the stream is taken to have just begun."""
    assert RolloverCounter().guesses(7, 0) == (7, 7 + SEQ_MODULUS)


def test_a_candidate_does_not_disturb_a_committed_counter() -> None:
    """While packets verify, what a grant or SEAL says is only remembered for the next gap."""
    counter = RolloverCounter()
    counter.commit(3 * SEQ_MODULUS + 9, 0)
    counter.add_candidate(77, 9)
    assert counter.guesses(10, NS_PER_MS) == (3 * SEQ_MODULUS + 10,)
    after = counter.guesses(10, GAP_NS)
    assert after[0] == 77 * SEQ_MODULUS + 10
    assert 3 * SEQ_MODULUS + 10 in after


@pytest.mark.parametrize("wraps", [0, 1])
def test_after_a_gap_the_neighbours_are_tried(wraps: int) -> None:
    """A gap as long as one wrap of SEQ is bridged without any candidate."""
    counter = RolloverCounter()
    counter.commit(5 * SEQ_MODULUS + 40_000, 0)
    index = 5 * SEQ_MODULUS + 40_010 + wraps * SEQ_MODULUS
    assert counter.is_committed(GAP_NS - 1)
    assert not counter.is_committed(GAP_NS)
    assert index in first_tries(counter, index, GAP_NS)


@given(
    st.integers(0, 40 * SEQ_MODULUS),
    st.lists(st.integers(-HALF + 1, HALF - 1), max_size=200),
)
def test_follows_a_stream(start: int, steps: list[int]) -> None:
    """Once committed, every packet nearer than 2^15 gets its index, over wraps and reordering."""
    counter, highest = RolloverCounter(), start
    counter.commit(start, 0)
    for now, step in enumerate(steps):
        index = highest + step
        if index < 0:
            continue
        assert first_tries(counter, index, now) == (index,)
        counter.commit(index, now)
        highest = max(highest, index)
        assert counter.highest == highest


@given(
    st.lists(st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFF)), max_size=6),
    st.one_of(st.none(), st.integers(0, 1 << 47)),
    st.integers(0, 0xFFFF),
    st.integers(0, 2 * GAP_NS),
)
def test_guesses_are_indices(
    candidates: list[tuple[int, int]], committed: int | None, seq: int, now: int
) -> None:
    """Whatever was claimed, each guess is an index of that SEQ, in 48 bits, once, and they are few."""
    counter = RolloverCounter()
    if committed is not None:
        counter.commit(committed, 0)
    for roc, highest_seq in candidates:
        counter.add_candidate(roc, highest_seq)
    guesses = counter.guesses(seq, now)
    assert 1 <= len(guesses) <= 3 * (CANDIDATES_MAX + 1)
    assert len(set(guesses)) == len(guesses)
    assert all(0 <= index <= INDEX_MAX and index % SEQ_MODULUS == seq for index in guesses)


def told(index: int, now: int = 0) -> RolloverCounter:
    """Return a counter that a SEAL packet told where the stream stands."""
    counter = RolloverCounter()
    counter.check(*divmod(index, SEQ_MODULUS), now)
    return counter


AT = 9 * SEQ_MODULUS + 100


@pytest.mark.parametrize(
    ("index", "is_tried"),
    [
        (AT, True),
        (AT + AHEAD_PACKETS, True),
        (AT + AHEAD_PACKETS + 1, False),
        (AT - BEHIND_PACKETS + 1, True),
        (AT - BEHIND_PACKETS - 1, False),
        (AT + SEQ_MODULUS, False),
    ],
)
def test_signed_counters_bound_what_is_tried(index: int, is_tried: bool) -> None:  # noqa: FBT001 - a parameter
    """No index far ahead of the sender's own word is tried, nor one far behind, committed or not."""
    counter = told(AT)
    assert (index in first_tries(counter, index)) is is_tried
    counter.commit(AT, 0)
    assert (first_tries(counter, index) == (index,)) is is_tried


def test_the_bound_moves_on_with_time() -> None:
    """When no SEAL packet comes any more, a stream of any rate that we can take still opens."""
    counter = told(AT)
    counter.commit(AT, 0)
    for quarter in range(1, 100):
        index, now = AT + quarter * 15_000, quarter * NS_PER_S // 4
        assert index in first_tries(counter, index, now)
        counter.commit(index, now)


def test_a_counter_led_astray_comes_back_with_the_senders_word() -> None:
    """An index far ahead was committed before any word of the sender's: the word and one packet mend it."""
    counter = RolloverCounter()
    counter.commit(AT + 40 * SEQ_MODULUS, 0)
    counter.check(*divmod(AT, SEQ_MODULUS), 0)
    assert first_tries(counter, AT + 1)[0] == AT + 1
    counter.commit(AT + 1, 0)
    assert counter.highest == AT + 1
    assert first_tries(counter, AT + 2) == (AT + 2,)


def test_the_senders_word_is_good_for_a_while() -> None:
    """Twice the slowest rhythm of SEAL packets after the last one, control counts as not heard."""
    assert not RolloverCounter().is_vouched(0)
    assert told(AT).is_vouched(VOUCHED_NS - 1)
    assert not told(AT).is_vouched(VOUCHED_NS)


def test_what_verifies_keeps_a_counter_and_moves_it_nowhere() -> None:
    """The last packets of the key before keep the counters of a receiver that is behind."""
    counter = RolloverCounter()
    counter.keep(0)
    assert not counter.is_committed(0)
    counter.commit(70_000, 0)
    counter.keep(GAP_NS - 1)
    assert counter.is_committed(GAP_NS + 1)
    assert counter.highest == 70_000
    counter.keep(3 * GAP_NS)
    assert not counter.is_committed(3 * GAP_NS)


def test_more_than_half_a_turn_lost_at_once() -> None:
    """Where the sender says so, a committed counter tries the same SEQ further on, and only there."""
    counter = RolloverCounter()
    counter.add_candidate(1, 34_464)
    counter.commit(100_000, 0)
    assert first_tries(counter, 135_000) == (135_000 - SEQ_MODULUS,)
    counter.check(*divmod(130_000, SEQ_MODULUS), 0)
    assert first_tries(counter, 135_000) == (135_000,)
    assert first_tries(counter, 130_000 + AHEAD_PACKETS) == (130_000 + AHEAD_PACKETS,)
    assert first_tries(counter, 131_000 + AHEAD_PACKETS) == ()
    assert first_tries(counter, 100_001) == (100_001,)
