"""The replay window against a set that forgets nothing."""

from hypothesis import given
from hypothesis import strategies as st

from sealcast.wire.replay import WINDOW_PACKETS, ReplayWindow

STEPS = st.one_of(
    st.integers(-3, 3),
    st.integers(-WINDOW_PACKETS - 2, -WINDOW_PACKETS + 2),
    st.integers(WINDOW_PACKETS - 2, WINDOW_PACKETS + 2),
    st.integers(-5_000, 100_000),
)


@given(st.integers(0, 1 << 40), st.lists(STEPS, max_size=60))
def test_against_a_set(start: int, steps: list[int]) -> None:
    """An index is new if it was not marked and is less than a window behind the highest."""
    window, seen = ReplayWindow(), set[int]()
    index = start
    for step in steps:
        index = max(0, index + step)
        expected = index not in seen and (not seen or index > max(seen) - WINDOW_PACKETS)
        assert window.is_new(index) is expected
        if expected:
            window.mark(index)
            seen.add(index)
            assert not window.is_new(index)


def test_any_order_inside_the_window() -> None:
    """A window's worth of packets in reverse order is taken, each once."""
    window = ReplayWindow()
    for index in reversed(range(WINDOW_PACKETS)):
        assert window.is_new(index)
        window.mark(index)
    assert not any(window.is_new(index) for index in range(WINDOW_PACKETS))
    assert window.is_new(WINDOW_PACKETS)


def test_asking_changes_nothing() -> None:
    """A forged packet, which is only asked for, does not move the window."""
    window = ReplayWindow()
    window.mark(10)
    assert window.is_new(1 << 47)
    assert window.is_new(9)


def test_is_as_wide_as_promised() -> None:
    """The window holds at least 1,024 packets."""
    assert WINDOW_PACKETS >= 1_024
