"""The instants of a key change."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, Threshold
from sealcast.core.ids import ChannelNumber
from sealcast.keys.policy import (
    GRACE_MS,
    GUARD_MS_MIN,
    command_window_ms,
    fetch_window,
    grace_ms,
    publish_in_ms,
    repair_window,
    spread_ms,
    update_spacing_ms,
)


def channel(lifetime_ms: int, publish_at: str = "50%", prefetch_at: str = "25%") -> ChannelSpec:
    """Return a channel with these thresholds."""
    return ChannelSpec(
        ChannelNumber(1),
        "news",
        "239.1.2.3",
        5004,
        lifetime_ms=lifetime_ms,
        publish_at=Threshold.parse(publish_at),
        prefetch_at=Threshold.parse(prefetch_at),
    )


def test_publish_at() -> None:
    """The next key is due when X remains, at once if less does."""
    spec = channel(10_000)
    assert [publish_in_ms(spec, remaining) for remaining in (10_000, 6_000, 5_000, 100)] == [
        5_000,
        1_000,
        0,
        0,
    ]
    assert publish_in_ms(channel(10_000, publish_at="2s", prefetch_at="1s"), 10_000) == 8_000


def test_fetch_window() -> None:
    """Receivers fetch between Y and a fifth of Y before the switch; a late one at once."""
    spec = channel(10_000)
    early, late, over = (fetch_window(spec, remaining) for remaining in (10_000, 1_000, 200))
    assert (early.opens_in_ms, early.closes_in_ms) == (7_500, 9_500)
    assert (late.opens_in_ms, late.closes_in_ms) == (0, 500)
    assert (over.opens_in_ms, over.closes_in_ms) == (0, 0)


def test_updates_first_then_repairs() -> None:
    """Of a chain's window the first half is for the updates, the later for those who missed them."""
    spec = replace(channel(10_000), repeats=4)
    early, late, over = (repair_window(spec, remaining) for remaining in (10_000, 1_000, 200))
    assert (early.opens_in_ms, early.closes_in_ms) == (8_500, 9_500)
    assert (late.opens_in_ms, late.closes_in_ms) == (0, 500)
    assert (over.opens_in_ms, over.closes_in_ms) == (0, 0)
    assert update_spacing_ms(spec) == 250
    window = repair_window(spec, 3_000, 3_000)
    assert (window.opens_in_ms, window.closes_in_ms) == (1_200, 2_400)
    assert update_spacing_ms(spec, 3_000) == 300


@given(st.integers(1_000, 7 * 86_400_000), st.integers(0, 7 * 86_400_000), st.integers(1, 16))
def test_a_repair_window_lies_in_the_fetch_window(lifetime_ms: int, remaining_ms: int, repeats: int) -> None:
    """Both close together, the repairs open later, and every update is on the air by then."""
    spec = replace(channel(lifetime_ms), repeats=repeats)
    fetch, repair = fetch_window(spec, remaining_ms), repair_window(spec, remaining_ms)
    assert 0 <= fetch.opens_in_ms <= repair.opens_in_ms <= repair.closes_in_ms == fetch.closes_in_ms
    assert repair.closes_in_ms <= remaining_ms
    from_the_opening = repair_window(spec, lifetime_ms // 4, lifetime_ms // 4)
    assert update_spacing_ms(spec, lifetime_ms // 4) * (repeats - 1) <= from_the_opening.opens_in_ms


def test_the_guard_has_a_floor() -> None:
    """With a second's lifetime there is still time for a second try."""
    window = fetch_window(channel(1_000), 1_000)
    assert 1_000 - window.closes_in_ms >= GUARD_MS_MIN
    assert window.opens_in_ms < window.closes_in_ms


@given(
    st.integers(1_000, 7 * 86_400_000),
    st.integers(0, 7 * 86_400_000),
    st.floats(0.01, 0.99),
)
def test_windows_are_windows(lifetime_ms: int, remaining_ms: int, rate: float) -> None:
    """Whatever the thresholds and what remains: 0 ≤ opens ≤ closes, and closed before the switch."""
    window = fetch_window(channel(lifetime_ms, prefetch_at=f"{rate * 100:.4f}%"), remaining_ms)
    assert 0 <= window.opens_in_ms <= window.closes_in_ms <= remaining_ms


def test_a_commanded_change_has_a_window_of_its_own() -> None:
    """W is two seconds, more for a large audience, never more than Y; a fifth is left for second tries."""
    hour = channel(3_600_000)
    assert [command_window_ms(hour, audience) for audience in (0, 600, 1_000, 30_000, 10**6)] == [
        2_000,
        2_000,
        3_333,
        100_000,
        900_000,
    ]
    assert command_window_ms(channel(4_000), 1_000) == 1_000
    window = fetch_window(hour, 3_333, 3_333)
    assert (window.opens_in_ms, window.closes_in_ms) == (0, 3_333 - 666)


def test_spread() -> None:
    """A crowd's question is spread as in a window, but packets wait no longer than 4 s; a few ask at once."""
    lifetimes = (600_000, 20_000, 10_000, 1_000)
    assert [spread_ms(channel(lifetime), 100_000) for lifetime in lifetimes] == [4_000, 4_000, 2_000, 150]
    assert [spread_ms(channel(600_000), audience) for audience in (0, 50, 350, 650, 10_000)] == [
        0,
        0,
        1_000,
        2_000,
        4_000,
    ]


@pytest.mark.parametrize(("lifetime_ms", "grace"), [(1_000, 1_000), (10_000, 10_000), (600_000, GRACE_MS)])
def test_grace(lifetime_ms: int, grace: int) -> None:
    """The previous key is kept for min(10 s, lifetime) unused."""
    assert grace_ms(lifetime_ms) == grace
