"""Shows which key a coming epoch gets, and that one given up is erased when nobody brings it anywhere."""

from sealcast.core.channel import KeyMaker
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keys.material import Tek
from sealcast.keys.schedule import PlannedKey, is_chained, schedule_of
from sealcast.sender.keyplans import KeyPlans
from sealcast.testing import SimRandom
from sender.chaining import chain_spec
from simulation.parts import CHANNEL, make_key, make_spec

SPEC = chain_spec()


def chained(count: int) -> list[Tek]:
    """Return the keys of epochs 1, 2, …, each of which follows from the one before."""
    schedule, keys = schedule_of(SPEC, SimRandom("chain")), list[Tek]()
    for epoch in range(1, count + 1):
        key_id = KeyId(ChannelNumber(CHANNEL), Epoch(epoch))
        keys.append(schedule.make(key_id, keys[-1] if keys else None, is_fresh=False).tek)
    return keys


def plans(known: dict[Epoch, Tek] | None = None) -> KeyPlans:
    """Return the plans of a run."""
    return KeyPlans(SPEC, known or {}, SimRandom("run"))


def test_a_fence_and_a_refusal_forbid_to_follow() -> None:
    """Under a fence, and until a key is published after a refusal, every key is a fresh start."""
    before = chained(1)[0]
    mine = plans()
    planned = [mine.plan(Epoch(2), before, is_fenced=is_fenced) for is_fenced in (False, True)]
    assert [is_chained(each.tek) for each in planned if each is not None] == [True, False]
    mine.want_fresh()
    for _ in range(2):
        refused = mine.plan(Epoch(2), before, is_fenced=False)
        assert refused is not None
        assert not is_chained(refused.tek)
    mine.note_published()
    again = mine.plan(Epoch(2), before, is_fenced=False)
    assert again is not None
    assert is_chained(again.tek)


def test_a_kept_key_is_taken_once() -> None:
    """It comes with its update if it follows from the one on air; the next time another is made."""
    first, second = chained(2)
    mine = plans({Epoch(2): second.copy()})
    resumed = mine.plan(Epoch(2), first, is_fenced=False)
    assert resumed is not None
    assert (resumed.tek, resumed.update is not None) == (second, True)
    made = mine.plan(Epoch(2), first, is_fenced=False)
    assert made is not None
    assert made.tek != second


def test_keys_that_a_removed_device_could_have_are_forgotten() -> None:
    """A fence leaves kept keys beyond it, but none that follows from another; the highest gone is told."""
    second, fresh = chained(2)[1], chained(1)[0]
    kept = {Epoch(2): make_key(2), Epoch(5): second, Epoch(6): fresh, Epoch(7): make_key(7)}
    mine = plans(dict(kept))
    assert mine.forget_known(Epoch(4)) == 5
    assert [len(tek.key) for tek in kept.values()] == [0, 0, 16, 16]
    assert mine.forget_known(Epoch(4)) == -1


def test_the_key_server_s_keys_are_not_made_here() -> None:
    """Where the key server makes the keys only those of the last run are known."""
    mine = KeyPlans(make_spec(keys=KeyMaker.KEYSERVER), {Epoch(5): make_key(5)}, SimRandom("run"))
    assert mine.plan(Epoch(5), None, is_fenced=False) == PlannedKey(make_key(5))
    assert mine.plan(Epoch(6), None, is_fenced=False) is None


def test_a_key_given_up_is_erased_once_nobody_reads_it() -> None:
    """At once, or when the errand that carries it is over; one that was never made is nothing to give up."""
    at_once, later = chained(2)
    mine = plans()
    mine.give_up(None, is_under_way=False)
    mine.give_up(later, is_under_way=True)
    assert len(later.key) == 16
    mine.settle()
    mine.give_up(at_once, is_under_way=False)
    assert later.origin is not None
    assert [len(at_once.key), len(later.key), len(later.origin.link)] == [0, 0, 0]
