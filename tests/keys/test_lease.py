"""Run slots: each is used once, whatever answers cross on their way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch, Ssrc
from sealcast.keys.lease import Lease, RunSlot


def slots(first: int, last: int) -> tuple[RunSlot, ...]:
    """Return consecutive slots, as a key server reserves them."""
    return tuple(RunSlot(Ssrc(1_000 + epoch), Epoch(epoch)) for epoch in range(first, last + 1))


def test_slots_come_in_order() -> None:
    """The next slot is the one with the lowest epoch; consuming removes it and all before."""
    lease = Lease(slots(5, 9))
    assert lease.peek() == slots(5, 5)[0]
    assert lease.consume(Epoch(6)).slots == slots(7, 9)
    assert lease.slots == slots(5, 9)


def test_an_empty_lease_says_so() -> None:
    """Without a slot nothing starts, in one clear line."""
    with pytest.raises(LocalError, match="no run slot is left"):
        Lease(slots(5, 5)).consume(Epoch(5)).peek()


def test_extending_adds_what_follows() -> None:
    """An answer that repeats slots adds none of them twice."""
    assert Lease(slots(5, 9)).extend(slots(5, 12)).slots == slots(5, 12)
    assert Lease(slots(5, 9)).extend(slots(5, 9)).slots == slots(5, 9)
    assert Lease().extend(slots(5, 9)).slots == slots(5, 9)


def test_a_late_answer_brings_no_slot_back() -> None:
    """The last slot is consumed while an answer that still names it is on its way: it stays consumed."""
    lease = Lease(slots(16, 16)).consume(Epoch(16))
    assert lease.extend(slots(16, 31)).slots == slots(17, 31)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("consume"), st.just(0)),
            st.tuples(st.just("extend"), st.integers(0, 40)),
        ),
        max_size=40,
    )
)
def test_no_slot_is_peeked_twice(steps: list[tuple[str, int]]) -> None:
    """Over any consumptions and answers, late and repeated ones too, the epochs used only rise."""
    lease, used = Lease(), [-1]
    for step, first in steps:
        if step == "extend":
            lease = lease.extend(slots(first, first + 15))
        elif lease.slots:
            epoch = lease.peek().epoch
            assert epoch > used[-1]
            used.append(epoch)
            lease = lease.consume(epoch)
