"""Shows a sender's keys that follow from each other: updates on the air, fresh starts, and nothing kept."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.core.ids import Epoch
from sealcast.core.secret import Secret
from sealcast.core.update import Update
from sealcast.keys.material import Tek
from sealcast.keys.policy import repair_window, update_spacing_ms
from sealcast.keys.schedule import follow_update, is_chained, link_of
from sealcast.wire.rekey import parse_rekey
from sealcast.wire.seal import Seal
from sender.chaining import W_MS, ChainAir, chain_spec, window_ns
from simulation.parts import MS, SECOND

SPEC = chain_spec()
"""X is 5 s and Y 2.5 s before the switch; a fresh start comes every six epochs."""

END_NS = 10 * SECOND
OPENS_NS = END_NS - 2_500 * MS


def started(air: ChainAir) -> ChainAir:
    """Bring a sender on air."""
    air.start()
    air.run(air.now + SECOND)
    assert air.session is not None
    assert air.session.is_on_air
    return air


def update_in(seal: Seal) -> Update:
    """Return the one update that a SEAL packet carries."""
    (message,) = seal.rekeys
    update = parse_rekey(message)
    assert update is not None
    return update


def secrets_of(tek: Tek) -> list[Secret]:
    """Return all that a key holds."""
    origin = tek.origin
    assert origin is not None
    return [tek.key, tek.salt, origin.link, *([origin.update] if origin.update is not None else [])]


def test_a_change_is_k_updates_from_the_opening_of_the_window() -> None:
    """Three SEAL packets carry Ku, evenly from Y before the switch on; receivers make the next key of it."""
    air = started(ChainAir(SPEC))
    air.run(END_NS)
    sent = air.updates(2)
    spacing_ns = update_spacing_ms(SPEC) * MS
    assert [at for at, _ in sent] == [OPENS_NS + number * spacing_ns for number in range(3)]
    for _, seal in sent:
        assert follow_update(air.key(1), update_in(seal)) == air.key(2)
    assert sum(bool(seal.rekeys) for _, seal in air.seals) == 3
    assert air.switches == [(0, 1), (END_NS, 2)]


def test_who_missed_the_updates_asks_after_the_last() -> None:
    """The window that is told is the later half: it opens after the last repeat, and ends before a switch."""
    air = started(ChainAir(SPEC))
    air.run(END_NS)
    told = [(at, seal) for at, seal in air.seals if seal.next is not None]
    assert len(told) > 3
    opens = set()
    for at, seal in told:
        assert seal.next is not None
        assert seal.window is not None
        left_ms, window = seal.next.switch_in_ms, repair_window(SPEC, seal.next.switch_in_ms)
        assert at + left_ms * MS == END_NS
        assert (seal.window.opens_in_ms, seal.window.closes_in_ms) == (
            window.opens_in_ms,
            window.closes_in_ms,
        )
        opens.add(at + seal.window.opens_in_ms * MS)
    assert min(opens) > air.updates(2)[-1][0]


def test_a_fresh_start_at_t2_is_fetched() -> None:
    """The seventh epoch follows from nothing: no update, and the whole window to ask in."""
    air = started(ChainAir(SPEC))
    air.run(7 * END_NS - SECOND)
    assert [epoch for _, epoch in air.switches] == list(range(1, 8))
    assert [len(air.updates(epoch)) for epoch in range(1, 8)] == [0, 3, 3, 3, 3, 3, 0]
    assert [is_chained(air.key(epoch)) for epoch in range(1, 8)] == [False, *[True] * 5, False]
    told = [(at, seal) for at, seal in air.seals if seal.next is not None and seal.next.key_id.epoch == 7]
    early = [(at, seal) for at, seal in told if at < 6 * END_NS - 2_500 * MS]
    assert early
    for at, seal in early:
        assert seal.window is not None
        assert at + seal.window.opens_in_ms * MS == 6 * END_NS - 2_500 * MS


def test_a_late_publication_brings_the_updates_at_once() -> None:
    """When the key server is away at X the updates go out as soon as it is back, then receivers have Y."""
    air = started(ChainAir(SPEC))
    air.is_silent = True
    air.run(20 * SECOND)
    assert not air.updates(2)
    air.is_silent = False
    air.run(30 * SECOND)
    published_ns = air.published_ns[Epoch(2)]
    sent = air.updates(2)
    assert sent[0][0] == published_ns
    assert len(sent) == 3
    assert air.switches[1][0] >= published_ns + window_ns(SPEC)


def test_a_silence_after_the_updates_repeats_none() -> None:
    """Who missed them asks in a window anew; the others have the key since the first half."""
    air = started(ChainAir(SPEC))
    air.run(OPENS_NS + 1_200 * MS)
    assert len(air.updates(2)) == 3
    air.is_silent = True
    air.run(20 * SECOND)
    assert [epoch for _, epoch in air.switches] == [1]
    air.is_silent = False
    air.run(25 * SECOND)
    assert [epoch for _, epoch in air.switches] == [1, 2]
    assert len(air.updates(2)) == 3


@pytest.mark.parametrize("is_urgent", [True, False])
def test_a_removal_starts_afresh(is_urgent: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """The key that follows is dropped, its slot burned; the next is a fresh start that each one fetches."""
    air = started(ChainAir(SPEC))
    air.run(OPENS_NS + 100 * MS)
    assert len(air.updates(2)) == 1
    air.server.remove(is_urgent=is_urgent)
    assert air.session is not None
    air.session.handle_hint(air.now)
    ordered_ns = air.now
    air.run(4 * END_NS)
    assert len(air.updates(2)) == 1
    assert [epoch for _, epoch in air.switches[:3]] == [1, 3, 4]
    assert air.switches[1][0] == (ordered_ns + W_MS * MS if is_urgent else END_NS)
    assert not is_chained(air.key(3))
    assert not air.updates(3)
    assert len(air.updates(4)) == 3
    dropped = next(tek for tek in air.made if tek.key_id.epoch == 2)
    assert [len(secret) for secret in secrets_of(dropped)] == [0, 0, 0, 0]


def test_a_key_that_follows_is_dropped_also_beyond_the_fence() -> None:
    """A fence heard before the publication arrived: what follows is not even offered to the key server."""
    air = started(ChainAir(SPEC))
    air.run(5 * SECOND - MS)
    air.is_silent = True
    air.run(5 * SECOND + MS)
    assert [tek.key_id.epoch for tek in air.made] == [1, 2]
    air.is_silent = False
    air.server.remove(is_urgent=True)
    assert air.server.fences[0].epoch == 2
    assert air.session is not None
    air.session.handle_hint(air.now)
    air.run(3 * END_NS)
    assert [epoch for _, epoch in air.switches][:3] == [1, 3, 4]
    assert not is_chained(air.key(3))
    assert air.first_unused > 2
    assert not air.server.refused


def test_a_fence_that_crosses_a_publication() -> None:
    """The key server refuses what follows across a fence; the sender gave it up, and no answer moves it."""
    air = started(ChainAir(SPEC, delay_ns=300 * MS))
    air.run(5_700 * MS)
    assert [tek.key_id.epoch for tek in air.made] == [1, 2]
    air.server.remove(is_urgent=True)
    assert air.session is not None
    air.session.handle_hint(air.now)
    air.run(3 * END_NS)
    assert [epoch for _, epoch in air.switches][:3] == [1, 3, 4]
    assert air.server.refused == [2]
    dropped = next(tek for tek in air.made if tek.key_id.epoch == 2)
    assert not any(len(secret) for secret in secrets_of(dropped))


def test_a_refused_key_is_followed_by_a_fresh_start() -> None:
    """What the key server will not have as following, it gets as a fresh start in the next slot."""
    air = started(ChainAir(SPEC))
    air.refusals = 1
    air.run(3 * END_NS)
    assert [epoch for _, epoch in air.switches][:3] == [1, 3, 4]
    assert [is_chained(air.key(epoch)) for epoch in (2, 3, 4)] == [True, False, True]
    refused = next(tek for tek in air.made if tek.key_id.epoch == 2)
    assert not any(len(secret) for secret in secrets_of(refused))


def test_a_refused_key_is_forgotten_on_disk() -> None:
    """A start without the key server takes the slot behind it: nobody could get the key that was refused."""
    air = started(ChainAir(SPEC))
    air.refusals = 1
    air.run(6 * SECOND)
    assert air.first_unused == 3
    air.is_silent = True
    air.start()
    air.run(air.now + 3 * SECOND)
    assert air.starts == [1, 3]


def test_after_a_key_on_air_that_was_refused_nothing_follows() -> None:
    """A restart without the key server went on air under a key that it refuses: a fresh start, at once."""
    air = started(ChainAir(SPEC))
    air.run(6 * SECOND)
    air.is_silent = True
    for epoch in (1, 2):
        air.server.keys.pop(Epoch(epoch))
    air.start()
    air.run(air.now + 3 * SECOND)
    assert air.starts == [1, 2]
    air.is_silent = False
    back_ns = air.now
    air.run(air.now + 2 * END_NS)
    assert air.server.refused == [2]
    assert [epoch for _, epoch in air.switches][:3] == [1, 2, 3]
    assert air.switches[2][0] <= back_ns + W_MS * MS + 3 * SECOND
    assert not is_chained(air.key(3))
    assert is_chained(air.key(4))


def test_consumed_secrets_are_destroyed() -> None:
    """At the switch C, TEK and Ku of the epoch before are gone, and the Ku that led to the one on air."""
    air = started(ChainAir(SPEC))
    air.run(3 * END_NS + SECOND)
    first, second, third, fourth = air.made[:4]
    for tek in (first, second, third):
        assert not any(len(secret) for secret in secrets_of(tek))
    assert [len(secret) for secret in secrets_of(fourth)] == [16, 12, 32, 0]
    air.run(4 * END_NS - SECOND)
    assert [len(secret) for secret in secrets_of(air.made[4])] == [16, 12, 32, 32]


def test_a_key_published_late_keeps_its_update_until_then() -> None:
    """A restart that goes on air without the key server still has what the key server will want to see."""
    air = started(ChainAir(SPEC))
    air.run(6 * SECOND)
    air.is_silent = True
    air.server.keys.pop(Epoch(2))
    air.start()
    air.run(air.now + 5 * SECOND)
    on_air = air.made[-1]
    assert air.starts == [1, 2]
    assert [len(secret) for secret in secrets_of(on_air)] == [16, 12, 32, 32]
    air.is_silent = False
    air.run(air.now + 5 * SECOND)
    assert Epoch(2) in air.server.keys
    assert [len(secret) for secret in secrets_of(on_air)] == [16, 12, 32, 0]


def test_a_restart_in_mid_chain_goes_on() -> None:
    """A published key that was not on air is the first of the new run; the chain ends where it did."""
    air = started(ChainAir(SPEC))
    air.run(3 * END_NS + 6 * SECOND)
    assert Epoch(5) in air.published_ns
    air.start()
    air.run(air.now + 3 * END_NS)
    assert air.starts == [1, 5]
    assert air.key(5) == air.server.keys[Epoch(5)]
    assert [is_chained(air.key(epoch)) for epoch in (5, 6, 7, 8)] == [True, True, False, True]
    assert len(air.updates(6)) == 3
    assert not air.updates(7)


def test_a_restart_without_a_key_starts_afresh() -> None:
    """Early in an epoch the next key is not made yet, and C of the one on air is gone with the process."""
    air = started(ChainAir(SPEC))
    air.run(2 * END_NS + SECOND)
    air.start()
    air.run(air.now + END_NS + SECOND)
    assert air.starts == [1, 4]
    assert [is_chained(air.key(epoch)) for epoch in (3, 4, 5)] == [True, False, True]
    assert air.key(4).origin is not None
    assert air.key(4).origin.fresh_at == 10  # type: ignore[union-attr]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_happens(data: st.DataObject) -> None:
    """Changes, removals, refusals, silences and crashes at any time: no key returns, each change is whole.

    Every switch waits until receivers had their window; each change to a key that follows was told exactly k
    times, after its publication; a fresh start never; no chain passes T2 or a removal; consumed secrets are
    destroyed.
    """
    fresh_epochs, repeats = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 6))
    cycle = data.draw(st.sampled_from([0, 0, 1, 3]))
    prefetch_at = data.draw(st.sampled_from(["10%", "25%", "40%"]))
    spec = chain_spec(4_000, fresh_epochs=fresh_epochs, repeats=repeats, cycle=cycle, prefetch_at=prefetch_at)
    air = ChainAir(spec, delay_ns=data.draw(st.sampled_from([0, 0, 50 * MS])))
    air.start()
    events = ["removed", "urgent", "refused", "lost", "silent", "back", "crash", "nothing"]
    for _ in range(data.draw(st.integers(1, 12))):
        air.run(air.now + data.draw(st.integers(0, 9_000)) * MS)
        happen(air, data.draw(st.sampled_from(events)))
    air.is_silent = False
    air.run(air.now + 12 * SECOND)
    check_all(air)


def happen(air: ChainAir, event: str) -> None:
    """Have one thing go another way."""
    if event in ("removed", "urgent"):
        air.server.remove(is_urgent=event == "urgent")
    elif event == "refused":
        air.refusals += 1
    elif event == "lost":
        air.lost_answers += 1
    elif event in ("silent", "back"):
        air.is_silent = event == "silent"
    elif event == "crash":
        air.start()


def check_all(air: ChainAir) -> None:
    """Every promise, over all that was seen."""
    spec, keys = air.spec, {}
    for tek in air.copies:
        link = link_of(tek)
        assert link is not None
        assert keys.setdefault(tek.key_id, (tek, link.secret)) == (tek, link.secret)
    for part in (
        [tek.key.reveal() for tek, _ in keys.values()],
        [secret.reveal() for _, secret in keys.values()],
    ):
        assert len(set(part)) == len(part)
    updates = [ku.reveal() for tek, _ in keys.values() if (ku := ku_of(tek)) is not None]
    assert spec.cycle or len(set(updates)) == len(updates)
    assert [epoch for _, epoch in air.switches] == sorted({epoch for _, epoch in air.switches})
    for (_, before), (at, epoch) in pairwise(air.switches):
        if epoch not in air.starts:
            check_switch(air, before, epoch, at)
    check_erased(air)


def check_switch(air: ChainAir, before: Epoch, epoch: Epoch, at: int) -> None:
    """Check a change within a run: in time, told as often as it must be, and within the chain's bounds."""
    tek, published_ns, sent = air.key(epoch), air.published_ns[epoch], air.updates(epoch)
    assert tek.origin is not None
    if not is_chained(tek):
        assert at >= published_ns + min(window_ns(air.spec), W_MS * MS)
        assert not sent
        return
    assert tek.origin.follows == air.key(before).key_id
    assert at >= published_ns + window_ns(air.spec)
    assert epoch < tek.origin.fresh_at
    assert len(sent) == air.spec.repeats
    spacing_ns = update_spacing_ms(air.spec) * MS
    for number, (sent_ns, seal) in enumerate(sent):
        assert sent_ns >= published_ns
        assert sent_ns == sent[0][0] + number * spacing_ns
        assert follow_update(air.key(before), update_in(seal)) == tek


def check_erased(air: ChainAir) -> None:
    """Of the run on air, nothing is left of a key but that on air and the next."""
    assert air.session is not None
    state = air.session.state(air.now)
    for tek in air.made[air.made_before :]:
        if tek.key_id.epoch not in (state.epoch, state.next_epoch):
            assert not any(len(secret) for secret in secrets_of(tek))
        elif tek.key_id.epoch == state.epoch and (ku := ku_of(tek)) is not None:
            assert not len(ku)


def ku_of(tek: Tek) -> Secret | None:
    """Return the Ku that led to a key."""
    return tek.origin.update if tek.origin is not None else None
