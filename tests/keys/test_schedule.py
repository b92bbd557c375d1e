"""Shows how the keys of a channel are made one after the other: each alone, or in chains that end in time."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import ChannelSpec, ScheduleKind, Suite
from sealcast.core.errors import AuthenticationError, FormatError, SealcastError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.secret import Secret
from sealcast.core.update import UPDATE_BYTES, Update
from sealcast.keys.chain import make_update
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.schedule import (
    ChainSchedule,
    FetchSchedule,
    PlannedKey,
    check_origin,
    follow,
    follow_update,
    is_chained,
    link_of,
    schedule_of,
)
from sealcast.testing import SimRandom

SUITE = Suite.AES_128_GCM
CHANNEL = ChannelNumber(7)


def key_id(epoch: int, channel: int = CHANNEL) -> KeyId:
    """Return the key ID of an epoch."""
    return KeyId(ChannelNumber(channel), Epoch(epoch))


def chain(fresh_epochs: int = 6, cycle: int = 0, suite: Suite = SUITE, seed: int = 1) -> ChainSchedule:
    """Return a schedule of chains of `fresh_epochs`."""
    return ChainSchedule(suite, SimRandom(seed), fresh_epochs=fresh_epochs, cycle=cycle)


def walk(schedule: ChainSchedule, count: int, first: int = 1) -> list[PlannedKey]:
    """Return the keys of consecutive epochs."""
    made: list[PlannedKey] = []
    for epoch in range(first, first + count):
        made.append(schedule.make(key_id(epoch), made[-1].tek if made else None, is_fresh=False))
    return made


def update_of(tek: Tek) -> Secret:
    """Return the Ku that led to a chained key."""
    assert tek.origin is not None
    assert tek.origin.update is not None
    return tek.origin.update


def test_the_policy_names_the_schedule() -> None:
    """A channel has the schedule of its policy, T2 in epochs of its lifetime, and the suite."""
    spec = ChannelSpec(CHANNEL, "news", "239.1.2.3", 5004, suite=Suite.AES_256_GCM, lifetime_ms=1_000)
    assert isinstance(schedule_of(spec, SimRandom(1)), FetchSchedule)
    chained = replace(spec, schedule=ScheduleKind.CHAIN, fresh_every_ms=3_900)
    made = schedule_of(chained, SimRandom(1)).make(key_id(5), None, is_fresh=False)
    assert made.tek.suite is Suite.AES_256_GCM
    assert made.tek.origin is not None
    assert (made.tek.origin.fresh_at, made.tek.origin.follows) == (8, None)


def test_fetched_keys_have_nothing_in_common() -> None:
    """Under `fetch` every key is random, has no link, and needs a request."""
    schedule = FetchSchedule(SUITE, SimRandom(1))
    first = schedule.make(key_id(1), None, is_fresh=True)
    second = schedule.make(key_id(2), first.tek, is_fresh=False)
    assert first.tek.key != second.tek.key
    assert (second.tek.origin, second.update, link_of(second.tek)) == (None, None, None)
    assert schedule.resume(second.tek, first.tek) == PlannedKey(second.tek)


@pytest.mark.parametrize("suite", list(Suite))
def test_a_receiver_follows_to_the_fresh_start_and_not_beyond(suite: Suite) -> None:
    """Whoever holds one link makes all that follow from the updates; from the fresh start nothing follows."""
    made = walk(chain(suite=suite), 13)
    theirs = made[1].tek.copy()
    for ours in made[2:6]:
        assert ours.update is not None
        theirs = follow_update(theirs, ours.update)
        assert theirs == ours.tek
        check_origin(theirs)
    assert [planned.update is None for planned in made] == [epoch in (1, 7, 13) for epoch in range(1, 14)]
    assert [is_chained(planned.tek) for planned in made] == [planned.update is not None for planned in made]
    beyond = made[7].update
    assert beyond is not None
    for update in (beyond, replace(beyond, follows=theirs.key_id)):
        with pytest.raises((FormatError, AuthenticationError)):
            follow_update(theirs, update)
    with pytest.raises(FormatError):
        follow(theirs, key_id(7), make_update(SimRandom(2)))


@given(
    st.integers(1, 8), st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=40), st.integers(0, 3)
)
def test_no_chain_is_longer_than_t2(fresh_epochs: int, steps: list[tuple[int, bool]], cycle: int) -> None:
    """Whatever epochs are skipped, whenever a fresh start is ordered: no chain passes T2, no key returns."""
    schedule = chain(fresh_epochs, cycle)
    planned = schedule.make(key_id(1), None, is_fresh=False)
    started, epoch, fresh_at, secrets = 1, 1, 1 + fresh_epochs, []
    for skip, is_fresh in steps:
        before, epoch = planned.tek, epoch + skip
        planned = schedule.make(key_id(epoch), before, is_fresh=is_fresh)
        origin = planned.tek.origin
        assert origin is not None
        assert (planned.update is None) == (is_fresh or epoch >= fresh_at)
        started, fresh_at = epoch if planned.update is None else started, origin.fresh_at
        assert started <= epoch < started + fresh_epochs == fresh_at
        secrets += [planned.tek.key.reveal(), origin.link.reveal()]
        before.erase()
    assert len(set(secrets)) == len(secrets)


def test_updates_are_fresh_each_time() -> None:
    """No Ku is used twice, and none says anything of the key that it leads to."""
    updates = [update_of(planned.tek).reveal() for planned in walk(chain(100), 40)[1:]]
    assert len(set(updates)) == len(updates)
    assert {len(update) for update in updates} == {UPDATE_BYTES}


def test_a_prepared_cycle_repeats_the_ku_only() -> None:
    """With a cycle of three every third Ku is the same, also across fresh starts; no link or key returns."""
    made = walk(chain(5, cycle=3), 21)
    chained = [planned.tek for planned in made if is_chained(planned.tek)]
    updates = [update_of(tek).reveal() for tek in chained]
    assert updates == [updates[number % 3] for number in range(len(updates))]
    assert len(set(updates)) == 3
    links = [link_of(planned.tek) for planned in made]
    assert len({link.secret.reveal() for link in links if link is not None}) == len(made)
    assert len({planned.tek.key.reveal() for planned in made}) == len(made)
    wrapped = [planned.update.wrapped for planned in made if planned.update is not None]
    assert len(set(wrapped)) == len(wrapped)


def test_what_is_prepared_outlives_what_is_consumed() -> None:
    """Erasing a key erases its own Ku, and the prepared one comes round all the same."""
    schedule = chain(100, cycle=1)
    first = schedule.make(key_id(1), None, is_fresh=False).tek
    second = schedule.make(key_id(2), first, is_fresh=False).tek
    first.erase()
    used = update_of(second).reveal()
    third = schedule.make(key_id(3), second, is_fresh=False).tek
    second.erase()
    assert len(update_of(second)) == 0
    assert update_of(third).reveal() == used


def test_nothing_follows_from_what_no_link_is_left_of() -> None:
    """After an erased key, one that was fetched, or one of another suite comes a fresh start."""
    erased = walk(chain(), 1)[0].tek
    erased.erase()
    fetched = make_tek(key_id(1), SUITE, SimRandom(3))
    other = walk(chain(suite=Suite.AES_256_GCM), 1)[0].tek
    for before in (erased, fetched, other):
        made = chain().make(key_id(2), before, is_fresh=False)
        assert (made.update, is_chained(made.tek), made.tek.suite) == (None, False, SUITE)


def test_a_key_made_earlier_goes_on_with_its_update() -> None:
    """A kept key has its update again if it follows from the one on air, and keeps its place in the chain."""
    schedule = chain()
    first, second, third = walk(schedule, 3)
    resumed = schedule.resume(second.tek.copy(), first.tek)
    assert resumed.tek == second.tek
    assert resumed.tek.origin == second.tek.origin
    assert resumed.update is not None
    assert follow_update(first.tek, resumed.update) == second.tek
    following = schedule.make(key_id(3), resumed.tek, is_fresh=False)
    assert following.tek.origin is not None
    assert following.tek.origin.fresh_at == 7
    erased = first.tek.copy()
    erased.erase()
    for before in (None, third.tek, erased, make_tek(key_id(1), SUITE, SimRandom(3))):
        assert schedule.resume(second.tek, before) == PlannedKey(second.tek)
    forgotten = second.tek.copy()
    assert forgotten.origin is not None
    forgotten.origin.forget_update()
    assert schedule.resume(forgotten, first.tek).update is None
    assert schedule.resume(first.tek, None) == PlannedKey(first.tek)


@pytest.mark.parametrize(
    ("next_id", "ku_bytes"),
    [
        pytest.param(key_id(2, channel=8), 32, id="another channel"),
        pytest.param(key_id(1), 32, id="the same epoch"),
        pytest.param(key_id(0), 32, id="an earlier epoch"),
        pytest.param(key_id(7), 32, id="the next fresh start"),
        pytest.param(key_id(2), 31, id="a short Ku"),
        pytest.param(key_id(2), 0, id="an erased Ku"),
    ],
)
def test_what_does_not_follow(next_id: KeyId, ku_bytes: int) -> None:
    """Nothing follows under a key ID or by a Ku that cannot be the next, and from no key without a link."""
    before = walk(chain(), 1)[0].tek
    with pytest.raises(FormatError):
        follow(before, next_id, Secret(bytes(ku_bytes)))
    with pytest.raises(FormatError):
        follow(replace(before, origin=None), key_id(2), Secret(bytes(32)))
    assert follow(before, key_id(2), Secret(bytes(32))).key_id == key_id(2)


def test_updates_that_lead_nowhere() -> None:
    """An update for another key, by another subscriber's Ku or cut short is refused, and changes nothing."""
    first, second, third = walk(chain(), 3)
    assert second.update is not None
    assert third.update is not None
    wrong = [
        third.update,
        replace(third.update, follows=first.tek.key_id),
        replace(second.update, wrapped=bytes(40)),
        replace(second.update, wrapped=second.update.wrapped[:-8]),
        replace(second.update, wrapped=b""),
        replace(second.update, key_id=key_id(7)),
        Update(key_id(1, channel=8), key_id(2, channel=8), second.update.wrapped),
    ]
    for update in wrong:
        with pytest.raises(SealcastError):
            follow_update(first.tek, update)
    assert follow_update(first.tek, second.update) == second.tek


def test_a_key_is_checked_against_its_link() -> None:
    """A published key must be the one that its link gives, and lie within its chain."""
    good = walk(chain(), 2)[1].tek
    check_origin(good)
    other = walk(chain(seed=2), 2)[1].tek
    assert good.origin is not None
    cases: list[tuple[Tek, type[SealcastError]]] = [
        (replace(good, origin=None), FormatError),
        (replace(good, origin=other.origin), AuthenticationError),
        (replace(good, key=other.key), AuthenticationError),
        (replace(good, salt=other.salt), AuthenticationError),
        (replace(good, key_id=key_id(3)), AuthenticationError),
        (replace(good, origin=replace(good.origin, fresh_at=Epoch(2))), FormatError),
        (replace(good, origin=replace(good.origin, link=Secret(bytes(31)))), FormatError),
        (replace(good, origin=replace(good.origin, link=Secret(b""))), FormatError),
    ]
    for tek, error in cases:
        with pytest.raises(error):
            check_origin(tek)


def test_erasing_a_key_erases_what_it_came_from() -> None:
    """Key, salt, link and Ku go together; a copy stays, and a forgotten Ku takes nothing else along."""
    tek = walk(chain(), 2)[1].tek
    kept = tek.copy()
    tek.erase()
    assert tek.origin is not None
    assert [len(part) for part in (tek.key, tek.salt, tek.origin.link, update_of(tek))] == [0, 0, 0, 0]
    check_origin(kept)
    assert kept.origin is not None
    kept.origin.forget_update()
    assert len(update_of(kept)) == 0
    check_origin(kept.copy())
    assert follow(kept, key_id(3), make_update(SimRandom(1))).key_id == key_id(3)
