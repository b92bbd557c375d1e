"""Shows what pushed events make a receiver ask: once in the window, and nothing for what is no news."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.core.channel import Suite
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.messages.subscribing import Event
from sealcast.receiver.fetch import FetchPlanner
from sealcast.receiver.keyring import KeyRing
from sealcast.receiver.notices import EVENT_NS, EVENTS_AT_ONCE, Notices
from sealcast.receiver.session import ReceiverSession
from sealcast.sender.actions import PublishKey
from sealcast.testing import SimRandom
from simulation.parts import (
    CHANNEL,
    MS,
    SECOND,
    make_grant,
    make_key,
    make_receiver,
    make_sender,
    make_spec,
    on_air,
    serve,
)

SPEC = make_spec(10_000)


def key_id(epoch: int, channel: int = CHANNEL) -> KeyId:
    """Return a key ID."""
    return KeyId(ChannelNumber(channel), Epoch(epoch))


def change(epoch: int, opens_in_ms: int = 1_000, closes_in_ms: int = 2_000, channel: int = CHANNEL) -> Event:
    """Return the event of a coming key."""
    return Event(
        kind="key-change",
        channel=channel,
        key_id=str(key_id(epoch, channel)),
        opens_in_ms=opens_in_ms,
        closes_in_ms=closes_in_ms,
    )


def watching(*held: int, current: int = 1) -> tuple[Notices, FetchPlanner]:
    """Return the notices of a receiver that has joined under a key and holds some, and its planner."""
    ring, planner = KeyRing(), FetchPlanner(SimRandom(1), 0)
    planner.poll(0)
    ring.announce(key_id(current), 0)
    for epoch in held:
        ring.learn(make_key(epoch, Suite.AES_128_GCM), 10_000, 0)
    planner.handle_answer(0, has_keys=True)
    return Notices(ring, planner), planner


def test_an_event_draws_the_instant_in_its_window() -> None:
    """A coming key is asked for once, in the window of the event."""
    notices, planner = watching(1)
    assert notices.handle(change(2), 0)
    assert SECOND <= (planner.next_timeout() or 0) <= 2 * SECOND


@pytest.mark.parametrize(
    "event",
    [
        change(1),
        change(0),
        change(2, channel=99),
        change(3),
        Event(kind="key-change", channel=CHANNEL, key_id="nothing"),
        Event(kind="key-change", channel=CHANNEL),
        Event(kind="key-change", channel=CHANNEL, key_id=str(key_id(9, 99))),
        Event(kind="fence", channel=CHANNEL),
    ],
)
def test_what_is_no_news_asks_nothing(event: Event) -> None:
    """A key on air, past, held, of another channel or misshapen, and what is for senders, change nothing."""
    notices, planner = watching(1, 3)
    assert not notices.handle(event, 0)
    assert planner.next_timeout() is None
    assert notices.taken == 0


def test_before_the_first_grant_events_mean_nothing() -> None:
    """Without a key on air there is nothing that could change."""
    planner = FetchPlanner(SimRandom(1), 0)
    planner.poll(0)
    assert not Notices(KeyRing(), planner).handle(change(2), 0)


def test_the_same_event_again_asks_no_more() -> None:
    """Told twice, also after the key was asked for in vain, it is asked for by the SEAL notice only."""
    notices, planner = watching(1)
    notices.handle(change(2, 0, 0), 0)
    assert planner.poll(0)
    planner.handle_answer(0, has_keys=True)
    assert not notices.handle(change(2, 0, 0), SECOND)
    assert planner.next_timeout() is None


def test_events_in_a_flood_are_looked_at_now_and_then() -> None:
    """A thousand events in ten seconds, each a new key: as many are looked at as the bound allows."""
    notices, _ = watching(1)
    taken = sum(notices.handle(change(2 + number), number * 10 * MS) for number in range(1_000))
    assert taken == EVENTS_AT_ONCE + (10 * SECOND - 1) // EVENT_NS


def test_an_end_is_asked_about_once() -> None:
    """The word that a reception ended leads to one question, however often it comes."""
    notices, planner = watching(1)
    ended = Event(kind="ended", channel=CHANNEL, closes_in_ms=1_000)
    assert notices.handle(ended, 0)
    assert (planner.next_timeout() or 0) <= SECOND
    assert planner.poll(SECOND)
    planner.handle_answer(SECOND, has_keys=True)
    assert not notices.handle(ended, 2 * SECOND)
    assert planner.next_timeout() is None


@pytest.mark.parametrize("event_first", [True, False])
@given(seed=st.integers(0, 10_000), step_ms=st.integers(50, 400))
def test_event_and_seal_notice_cause_one_fetch(*, event_first: bool, seed: int, step_ms: int) -> None:
    """Told by an event, by SEAL packets and by the schedule, a receiver asks once for the next key."""
    sender = make_sender(SPEC)
    first = on_air(sender, 0)
    session = ReceiverSession(channel="news", reorder_ms=20, random=SimRandom(seed), now=0)
    assert session.poll_fetch(0) is not None
    session.handle_grant(make_grant(SPEC, first), 0)
    following, asked = None, []
    for now in range(0, 9_900 * MS, step_ms * MS):
        published = [action.tek for action in serve(sender, now) if isinstance(action, PublishKey)]
        following = published[0] if published else following
        told = change(2, max(0, 7_500 - now // MS), max(0, 9_500 - now // MS))
        if event_first and following:
            session.notices.handle(told, now)
        for packet in sender.poll_control(now):
            session.handle_control(packet, now)
        if following:
            session.notices.handle(told, now)
        if session.poll_fetch(now) is not None:
            asked.append(now)
            assert following is not None
            session.handle_grant(make_grant(SPEC, None, following), now)
    assert len(asked) == 1
    assert session.state(now).holds_next


def test_a_key_that_takes_the_place_of_a_prefetched_one_is_fetched() -> None:
    """A removal skips the epoch that the removed device has; who holds that key asks for the one after it."""
    notices, planner = watching(1, 2)
    assert notices.handle(change(3, 0, 2_000), 0)
    assert (planner.next_timeout() or 10**18) <= 2 * SECOND
    other, planner = watching(1)
    assert other.handle(change(2, 5_000, 6_000), 0)
    assert other.handle(change(3, 0, 2_000), 0)
    assert (planner.next_timeout() or 10**18) <= 2 * SECOND, (
        "in its own window, not in that of the skipped one"
    )


def test_the_seal_notice_of_such_a_key_is_enough() -> None:
    """The same by SEAL packets alone: the announced key is not the one that is held."""
    sender = make_sender(SPEC)
    first = on_air(sender, 0)
    session = make_receiver()
    assert session.poll_fetch(0) is not None
    session.handle_grant(make_grant(SPEC, first, make_key(9)), 0)
    assert session.state(0).holds_next
    asked = []
    for now in range(0, 9_900 * MS, 100 * MS):
        serve(sender, now)
        for packet in sender.poll_control(now):
            session.handle_control(packet, now)
        if session.poll_fetch(now) is not None:
            asked.append(now)
            session.handle_grant(make_grant(SPEC, None, make_key(2)), now)
    assert len(asked) == 1
