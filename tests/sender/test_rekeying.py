"""Shows when the repeats of an update are due: k of them, evenly in the first half of the window."""

from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.update import WRAPPED_BYTES, Update
from sealcast.keys.policy import repair_window
from sealcast.sender.rekeying import Rekeying
from sealcast.wire.rekey import parse_rekey
from sender.chaining import chain_spec
from simulation.parts import MS, SECOND

UPDATE = Update(KeyId(ChannelNumber(7), Epoch(4)), KeyId(ChannelNumber(7), Epoch(5)), bytes(WRAPPED_BYTES))


def dues(rekeying: Rekeying) -> list[int]:
    """Return all instants, each taken when it is due and not before."""
    found: list[int] = []
    while rekeying.left:
        found.append(rekeying.due_ns)
        assert not rekeying.take(found[-1] - 1)
        assert rekeying.take(found[-1])
    return found


def test_the_first_leaves_when_the_window_opens() -> None:
    """Y is 2.5 s, 0.5 s of it kept free and 1 s for those who ask: three repeats in the first second."""
    rekeying = Rekeying(UPDATE, chain_spec(), switch_ns=10 * SECOND, window_ms=2_500, now=5 * SECOND)
    assert parse_rekey(rekeying.message) == UPDATE
    assert dues(rekeying) == [7_500 * MS, 7_833 * MS, 8_166 * MS]
    assert not rekeying.take(20 * SECOND)


def test_in_a_window_that_is_open_it_leaves_at_once() -> None:
    """A window set anew begins anew."""
    rekeying = Rekeying(UPDATE, chain_spec(), switch_ns=10 * SECOND, window_ms=2_500, now=8 * SECOND)
    assert dues(rekeying)[0] == 8 * SECOND


def test_one_that_is_late_does_not_put_the_others_off() -> None:
    """After a second in which nothing ran all that is due leaves, and nothing more."""
    rekeying = Rekeying(UPDATE, chain_spec(), switch_ns=10 * SECOND, window_ms=2_500, now=5 * SECOND)
    now = 7_900 * MS
    assert [rekeying.take(now) for _ in range(3)] == [True, True, False]
    assert rekeying.due_ns == 8_166 * MS


@given(
    lifetime_ms=st.integers(1_000, 86_400_000),
    repeats=st.integers(1, 16),
    prefetch_at=st.sampled_from(["1%", "10%", "25%", "49%"]),
    window_ms=st.integers(0, 10**7),
)
def test_all_leave_before_anybody_asks(
    lifetime_ms: int, repeats: int, prefetch_at: str, window_ms: int
) -> None:
    """Whatever the window: exactly k instants, in order, none after the repair window opens."""
    spec = chain_spec(lifetime_ms, repeats=repeats, prefetch_at=prefetch_at)
    rekeying = Rekeying(UPDATE, spec, switch_ns=window_ms * MS, window_ms=window_ms, now=0)
    found = dues(rekeying)
    assert len(found) == repeats
    assert found == sorted(found)
    assert found[0] == 0
    assert found[-1] <= repair_window(spec, window_ms, window_ms).opens_in_ms * MS
