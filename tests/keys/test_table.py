"""The life of keys: the table of transitions, and previous, current, next at a receiver."""

from itertools import product

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealcast.core.channel import Suite
from sealcast.core.errors import FormatError, LocalError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keys.material import Tek, make_tek
from sealcast.keys.policy import GRACE_MS, GRACE_MS_MAX
from sealcast.keys.schedule import ChainSchedule
from sealcast.keys.table import KEYS_MAX, TRANSITIONS, KeyEvent, KeyState, KeyTable, next_state
from sealcast.testing import SimRandom

LIFETIME_MS = 60_000


def key_id(epoch: int) -> KeyId:
    """Return the key ID of an epoch of our channel."""
    return KeyId(ChannelNumber(7), Epoch(epoch))


def tek(epoch: int) -> Tek:
    """Return the key of an epoch, always the same."""
    return make_tek(key_id(epoch), Suite.AES_128_GCM, SimRandom(epoch))


def table_with(*epochs: int, on_air: int | None = None) -> KeyTable:
    """Return a table that has learnt these keys, and perhaps heard which is on air."""
    table = KeyTable()
    for epoch in epochs:
        table.learn(tek(epoch), LIFETIME_MS, 0)
    if on_air is not None:
        table.announce(key_id(on_air), 0)
    return table


def state(table: KeyTable, epoch: int) -> KeyState | None:
    """Return where a key stands, None if it is not held."""
    entry = table.get(key_id(epoch))
    return entry.state if entry else None


@pytest.mark.parametrize(("before", "event"), list(product(KeyState, KeyEvent)))
def test_every_transition(before: KeyState, event: KeyEvent) -> None:
    """What stands in the table happens, everything else is refused."""
    if (before, event) in TRANSITIONS:
        assert next_state(before, event) is TRANSITIONS[before, event]
    else:
        with pytest.raises(LocalError, match="cannot be"):
            next_state(before, event)


def test_states_only_advance() -> None:
    """No transition leads back, and RETIRED is the end."""
    for (before, _), after in TRANSITIONS.items():
        assert after.value > before.value
        assert before is not KeyState.RETIRED


def test_a_life() -> None:
    """Learnt, announced, superseded, unused for the grace, gone and erased."""
    table = table_with(1)
    first = table.get(key_id(1))
    assert first
    assert (state(table, 1), table.current) == (KeyState.PUBLISHED, None)
    assert table.announce(key_id(1), 0)
    assert table.current is first
    table.learn(tek(2), LIFETIME_MS, NS_PER_S)
    table.mark_used(key_id(1), 2 * NS_PER_S)
    assert table.announce(key_id(2), 2 * NS_PER_S)
    assert (state(table, 1), state(table, 2)) == (KeyState.DRAINING, KeyState.ACTIVE)
    over_ns = 2 * NS_PER_S + GRACE_MS * NS_PER_MS
    assert table.next_timeout() == over_ns
    assert table.expire(over_ns - 1) == []
    assert table.expire(over_ns) == [key_id(1)]
    assert (table.held, table.next_timeout()) == ((key_id(2),), None)
    assert (first.state, len(first.tek.key)) == (KeyState.RETIRED, 0)


def test_use_keeps_the_previous_key_but_not_for_ever() -> None:
    """Late packets prolong its life, to 60 s after the switch at the most."""
    table = table_with(1, 2, on_air=1)
    table.announce(key_id(2), NS_PER_S)
    last_ns = NS_PER_S + GRACE_MS_MAX * NS_PER_MS
    for now in range(NS_PER_S, last_ns, 5 * NS_PER_S):
        table.mark_used(key_id(1), now)
        assert table.expire(now) == []
    assert table.next_timeout() == last_ns
    assert table.expire(last_ns) == [key_id(1)]


def test_the_previous_key_is_kept_after_the_switch_however_long_unused() -> None:
    """A key whose announcements were lost, or on a slow stream, still opens the packets that come late."""
    table = table_with(1, 2, on_air=1)
    table.announce(key_id(2), 50 * NS_PER_S)
    assert table.expire(50 * NS_PER_S + GRACE_MS * NS_PER_MS // 2) == []
    assert key_id(1) in table.held


def test_use_alone_switches_nothing() -> None:
    """A packet under the next key is opened, but only an announcement puts it on air."""
    table = table_with(1, 2, on_air=1)
    table.mark_used(key_id(2), 5)
    assert (state(table, 1), state(table, 2)) == (KeyState.ACTIVE, KeyState.PUBLISHED)


def test_announcements_never_go_back() -> None:
    """A repeated or older announcement is no news."""
    table = table_with(1, 2, on_air=2)
    assert not table.announce(key_id(2), 1)
    assert not table.announce(key_id(1), 1)
    assert table.announced == key_id(2)


def test_a_key_that_never_went_on_air_is_dropped() -> None:
    """An eviction may skip the prefetched key: it is retired at once."""
    table = table_with(1, 2, 3, on_air=1)
    skipped = table.get(key_id(2))
    table.announce(key_id(3), 5)
    assert skipped
    assert (state(table, 1), state(table, 2), state(table, 3)) == (KeyState.DRAINING, None, KeyState.ACTIVE)
    assert len(skipped.tek.key) == 0


def test_announced_before_it_is_held() -> None:
    """A key learnt after its announcement is on air at once; older ones are not taken any more."""
    table = table_with(1, on_air=1)
    table.announce(key_id(3), 5)
    assert (table.current, state(table, 1)) == (None, KeyState.DRAINING)
    assert not table.learn(tek(2), LIFETIME_MS, 6)
    assert table.learn(tek(3), LIFETIME_MS, 6)
    assert state(table, 3) is KeyState.ACTIVE


def test_two_keys_under_one_id() -> None:
    """The same key again is no news; another under its ID is an error and changes nothing."""
    table = table_with(1)
    assert not table.learn(tek(1), LIFETIME_MS, 1)
    other = make_tek(key_id(1), Suite.AES_128_GCM, SimRandom("other"))
    with pytest.raises(FormatError, match="two different keys"):
        table.learn(other, LIFETIME_MS, 1)
    entry = table.get(key_id(1))
    assert entry
    assert entry.tek == tek(1)


def test_the_oldest_previous_key_makes_room() -> None:
    """A full table gives up what it needs least: not the key on air, not the next."""
    table = table_with(1, 2, 3, on_air=1)
    table.announce(key_id(2), 0)
    table.announce(key_id(3), 0)
    table.learn(tek(4), LIFETIME_MS, 0)
    table.learn(tek(5), LIFETIME_MS, 0)
    assert set(table.held) == {key_id(epoch) for epoch in (2, 3, 4, 5)}


def test_keys_ahead_are_bounded() -> None:
    """However many keys are granted ahead, the nearest ones stay."""
    table = table_with(1, 4, 5, 6, on_air=1)
    table.learn(tek(2), LIFETIME_MS, 0)
    assert set(table.held) == {key_id(epoch) for epoch in (1, 2, 4, 5)}


def test_erase() -> None:
    """All keys go at once."""
    table = table_with(1, 2, on_air=1)
    entries = [table.get(key) for key in table.held]
    table.erase()
    assert table.held == ()
    assert all(entry is not None and len(entry.tek.key) == 0 for entry in entries)


def chained(*epochs: int) -> list[Tek]:
    """Return keys that follow from one another, the first a fresh start."""
    schedule, before, teks = ChainSchedule(Suite.AES_128_GCM, SimRandom(5), fresh_epochs=99), None, []
    for epoch in epochs:
        before = schedule.make(key_id(epoch), before, is_fresh=False).tek
        teks.append(before)
    return teks


def origins(*teks: Tek) -> list[tuple[int, int]]:
    """Return how many bytes are left of C and Ku of each key."""
    return [
        (len(tek.origin.link), len(tek.origin.update or b"") if tek.origin.follows else 0)
        for tek in teks
        if tek.origin is not None
    ]


def test_what_led_to_a_key_is_erased() -> None:
    """C goes when the key that follows is learnt, whichever comes first, and Ku with it; the keys stay."""
    one, two, three = chained(1, 2, 3)
    table = KeyTable()
    table.learn(one, LIFETIME_MS, 0)
    assert origins(one) == [(32, 0)]
    table.learn(two, LIFETIME_MS, 0)
    assert origins(one, two) == [(0, 0), (32, 0)]
    table = KeyTable()
    other, following = chained(2, 3)
    table.learn(following, LIFETIME_MS, 0)
    table.learn(other, LIFETIME_MS, 0)
    assert origins(other, following) == [(0, 0), (32, 0)]
    assert origins(three) == [(32, 32)], "what was not learnt is its owner's"
    assert all(len(tek.key) for tek in (one, two, other, following))


def test_the_origin_of_a_superseded_key_is_erased() -> None:
    """From a key that drains nothing follows, also before a fresh start; at the end nothing is left."""
    (one,), (two,) = chained(1), chained(2)
    table = KeyTable()
    table.learn(one, LIFETIME_MS, 0)
    table.announce(key_id(1), 0)
    table.learn(two, LIFETIME_MS, 0)
    assert origins(one, two) == [(32, 0), (32, 0)]
    table.announce(key_id(2), NS_PER_S)
    assert (origins(one, two), len(one.key)) == ([(0, 0), (32, 0)], 16)
    table.erase()
    assert (origins(two), len(two.key)) == ([(0, 0)], 0)


class Life(RuleBasedStateMachine):
    """Any sequence of grants, announcements, packets and time."""

    def __init__(self) -> None:
        super().__init__()
        self.table = KeyTable()
        self.now = 0
        self.newest = -1
        self.seen: dict[KeyId, tuple[KeyState, Tek]] = {}

    @rule(ahead=st.integers(-3, 6))
    def learn(self, ahead: int) -> None:
        """Bring a key around the newest announced, as a grant does."""
        epoch = max(0, self.newest + ahead)
        taken = self.table.learn(tek(epoch), LIFETIME_MS, self.now)
        assert not (taken and epoch < self.newest)

    @rule(ahead=st.integers(-2, 4))
    def announce(self, ahead: int) -> None:
        """SEAL or a grant says what is on air."""
        epoch = max(0, self.newest + ahead)
        assert self.table.announce(key_id(epoch), self.now) is (epoch > self.newest)
        self.newest = max(self.newest, epoch)

    @rule(number=st.integers(0, KEYS_MAX))
    def use(self, number: int) -> None:
        """Let a packet verify under a key that is held."""
        if number < len(self.table.held):
            self.table.mark_used(self.table.held[number], self.now)

    @rule(ms=st.sampled_from([1, 100, 5_000, 10_000, 70_000]))
    def wait(self, ms: int) -> None:
        """Time passes."""
        self.now += ms * NS_PER_MS
        self.table.expire(self.now)
        timeout = self.table.next_timeout()
        assert timeout is None or timeout > self.now

    @invariant()
    def holds(self) -> None:
        """One key on air, the announced; few keys; states only advance; what is gone is erased."""
        held = {key: self.table.get(key) for key in self.table.held}
        states = [entry.state for entry in held.values() if entry]
        assert states.count(KeyState.ACTIVE) <= 1
        assert len(held) <= KEYS_MAX
        current = self.table.current
        assert current is None or current.tek.key_id == self.table.announced
        for key, (before, kept) in self.seen.items():
            entry = held.get(key)
            if entry is None or entry.tek is not kept:
                assert len(kept.key) == len(kept.salt) == 0
            else:
                assert entry.state.value >= before.value
        self.seen = {key: (entry.state, entry.tek) for key, entry in held.items() if entry}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40)
