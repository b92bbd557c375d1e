"""Shows which run slots a sender gets, and that none is ever given twice."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.errors import RefusedError
from sealcast.core.ids import U32_MAX, Epoch, Ssrc
from sealcast.keys.lease import RUN_SLOTS
from sealcast.keys.table import KeyState
from sealcast.keyserver.service_lease import (
    NO_RECORD,
    PASSED_OVER_MAX,
    LeasePlan,
    fresh_ssrc,
    plan_lease,
)
from sealcast.keyserver.values import EpochRow
from sealcast.transport.system import SystemRandom

RANDOM = SystemRandom()


class Counting:
    """A generator that gives the same few values again and again."""

    def __init__(self, values: list[int]) -> None:
        self.values = values

    def bytes(self, count: int) -> bytes:
        """Return zeros."""
        return bytes(count)

    def below(self, limit: int) -> int:
        """Return the next value, the last for ever."""
        return min(limit - 1, self.values.pop(0) if len(self.values) > 1 else self.values[0])


def row(
    epoch: int, *, sender: str = "a", state: KeyState = KeyState.PLANNED, consumed: bool = False
) -> EpochRow:
    """Return a slot that was given before."""
    return EpochRow(
        epoch=Epoch(epoch),
        sender=sender,
        ssrc=Ssrc(1000 + epoch),
        consumed=consumed,
        state=state,
        has_key=state is not KeyState.PLANNED,
    )


def plan(rows: list[EpochRow], first_unused: int, next_epoch: int) -> LeasePlan:
    """Plan a lease for sender `a`."""
    taken = frozenset(int(each.ssrc) for each in rows)
    return plan_lease(rows, "a", first_unused, next_epoch=next_epoch, taken=taken, random=RANDOM)


def test_first_lease_has_all_slots_fresh() -> None:
    """A new sender gets sixteen consecutive epochs with sixteen SSRCs."""
    lease = plan([], NO_RECORD, 1)
    assert [slot.epoch for slot in lease.slots] == list(range(1, 1 + RUN_SLOTS))
    assert len({slot.ssrc for slot in lease.slots}) == RUN_SLOTS


def test_topping_up_keeps_what_is_not_consumed() -> None:
    """Slots from the first unused one on stay the sender's; as many new ones follow as are missing."""
    rows = [row(epoch) for epoch in range(1, 17)]
    lease = plan(rows, 4, 17)
    assert [each.epoch for each in lease.kept] == list(range(4, 17))
    assert [slot.epoch for slot in lease.fresh] == [17, 18, 19]
    assert [slot.epoch for slot in lease.slots] == list(range(4, 20))


def test_sender_without_record_gets_none_of_its_old_slots() -> None:
    """Who lost its memory may have used any of them: all are burned."""
    rows = [row(epoch) for epoch in range(1, 17)]
    lease = plan(rows, NO_RECORD, 17)
    assert lease.kept == ()
    assert lease.first_unused == 17
    assert [slot.epoch for slot in lease.fresh] == list(range(17, 33))


def test_slots_on_no_record_of_the_asking_run_stay_away() -> None:
    """Two runs of one credential, each with a record of its own, never share a slot."""
    rows = [row(epoch, state=KeyState.PUBLISHED) for epoch in range(1, 17)]
    lease = plan_lease(
        rows, "a", 3, next_epoch=17, taken=frozenset(), random=RANDOM, held=frozenset({2, 3, 5, 40})
    )
    assert [each.epoch for each in lease.kept] == [3, 5]
    assert lease.published == (3, 5)
    assert [slot.epoch for slot in lease.fresh] == list(range(17, 17 + RUN_SLOTS - 2))


def test_no_slot_below_a_fence() -> None:
    """A start after a removal takes no epoch whose key the removed device may hold; none is given twice."""
    rows = [
        row(epoch, state=KeyState.PUBLISHED if epoch == 3 else KeyState.PLANNED) for epoch in range(3, 17)
    ]
    lease = plan_lease(rows, "a", 3, next_epoch=17, taken=frozenset(), random=RANDOM, floor=4)
    assert [slot.epoch for slot in lease.slots] == list(range(4, 20))
    beyond = plan_lease(rows, "a", 3, next_epoch=17, taken=frozenset(), random=RANDOM, floor=17)
    assert [slot.epoch for slot in beyond.slots] == list(range(17, 33))


def test_slots_that_cannot_start_are_not_given() -> None:
    """Consumed slots, epochs on air or past, and other senders' slots are no part of a lease."""
    rows = [
        row(1, state=KeyState.DRAINING),
        row(2, state=KeyState.ACTIVE),
        row(3, consumed=True),
        row(4, sender="b"),
        row(5, state=KeyState.PUBLISHED),
    ]
    lease = plan(rows, 0, 6)
    assert [each.epoch for each in lease.kept] == [5]
    assert lease.published == (5,)
    assert lease.slots[1].epoch == 6


def test_restored_backup_gives_nothing_that_the_sender_remembers() -> None:
    """A database older than the sender's memory passes over the epochs that were given after the backup."""
    lease = plan([], 40, 17)
    assert [slot.epoch for slot in lease.slots] == list(range(40, 40 + RUN_SLOTS))


def test_epochs_are_passed_over_within_bounds() -> None:
    """A sender cannot burn a channel's epochs by claiming to have used most of them."""
    assert plan([], 17 + PASSED_OVER_MAX, 17).fresh[0].epoch == 17 + PASSED_OVER_MAX
    for claimed in (18 + PASSED_OVER_MAX, U32_MAX - 1):
        with pytest.raises(RefusedError, match="17 is next") as refused:
            plan([], claimed, 17)
        assert refused.value.type == "bad-request"


def test_epochs_run_out_with_a_clear_line() -> None:
    """At the end of the u32 no epoch comes back."""
    with pytest.raises(RefusedError, match="used up all its epochs"):
        plan([], 0, U32_MAX - 5)


@pytest.mark.parametrize("first_unused", [-1, U32_MAX + 1, 2**70])
def test_absurd_first_unused_is_refused(first_unused: int) -> None:
    """A number that is no u32 is the caller's fault."""
    with pytest.raises(RefusedError) as refused:
        plan([], first_unused, 1)
    assert refused.value.type == "bad-request"


def test_ssrcs_are_never_taken_twice() -> None:
    """A random SSRC that the channel had is drawn again; a stuck generator ends with an error, not a loop."""
    assert fresh_ssrc(frozenset({5}), Counting([4, 4, 6])) == 7
    with pytest.raises(RefusedError) as refused:
        fresh_ssrc(frozenset({5}), Counting([4]))
    assert refused.value.type == "internal"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), max_size=12))
def test_no_epoch_goes_to_two_leases(asked: list[tuple[str, int]]) -> None:
    """However two senders ask and consume, a fresh epoch is one that nobody ever had."""
    rows: list[EpochRow] = []
    next_epoch, unused = 1, {"a": NO_RECORD, "b": NO_RECORD}
    for sender, consumed in asked:
        lease = plan_lease(
            rows, sender, unused[sender], next_epoch=next_epoch, taken=frozenset(), random=RANDOM
        )
        assert not {slot.epoch for slot in lease.fresh} & {each.epoch for each in rows}
        assert all(one.epoch < other.epoch for one, other in pairwise(lease.slots))
        assert len(lease.slots) == RUN_SLOTS
        rows += [EpochRow(s.epoch, sender, s.ssrc, False, KeyState.PLANNED, False) for s in lease.fresh]
        next_epoch += len(lease.fresh)
        unused[sender] = lease.slots[min(consumed, RUN_SLOTS - 1)].epoch
