"""Keys that change with the content: at the boundary, not before, and only once receivers had their time."""

from sealcast.messages.answers import FenceOrder
from sealcast.sender.boundary import Boundary
from sealcast.sender.session import SenderSession
from simulation.parts import MS, SECOND, make_sender, make_spec, media, on_air, seal, serve

LIFETIME_MS = 20_000
SPEC = make_spec(LIFETIME_MS)
STEP_NS = 50 * MS


def run_until(session: SenderSession, now: int, until_ns: int) -> dict[int, int]:
    """Answer whatever it asks, step by step; return when each epoch was first seen on air."""
    seen: dict[int, int] = {}
    while now < until_ns:
        serve(session, now)
        session.poll_control(now)
        epoch = session.state(now).epoch
        assert epoch is not None
        seen.setdefault(epoch, now)
        now += STEP_NS
    return seen


def test_the_key_changes_with_the_content_and_not_before() -> None:
    """A boundary in the middle of an epoch: the key waits for it, and goes on air with its first packet."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(9 * SECOND, 0)
    assert list(run_until(session, 0, 9 * SECOND)) == [1]
    last = seal(session, media(1), 9 * SECOND)[0]
    assert session.change_now(9 * SECOND)
    first = seal(session, media(2), 9 * SECOND)[0]
    assert [int.from_bytes(packet[-4:], "big") for packet in (last, first)] == [1, 2]


def test_a_key_that_waits_is_not_put_on_air_by_time() -> None:
    """Content that runs over keeps its key, and receivers are told so; then the change comes at once."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(9 * SECOND, 0)
    assert list(run_until(session, 0, 30 * SECOND)) == [1]
    assert session.change_now(30 * SECOND)
    assert session.state(30 * SECOND).epoch == 2


def test_a_change_of_the_schedule_just_before_the_boundary_waits_for_it() -> None:
    """Less than Y apart the two are one; further apart both happen."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(23 * SECOND, 0)
    assert list(run_until(session, 0, 23 * SECOND)) == [1]
    assert session.change_now(23 * SECOND)
    apart = make_sender(SPEC)
    on_air(apart, 0)
    apart.expect_change(27 * SECOND, 0)
    assert list(run_until(apart, 0, 27 * SECOND)) == [1, 2]
    assert apart.change_now(27 * SECOND)
    assert apart.state(27 * SECOND).epoch == 3


def test_a_boundary_told_when_the_switch_is_set_moves_it() -> None:
    """The next key is out already: it waits for the content, and receivers have their whole window before."""
    session = make_sender(SPEC)
    on_air(session, 0)
    run_until(session, 0, 15 * SECOND)
    session.expect_change(24 * SECOND, 15 * SECOND)
    told = session.told(16 * SECOND)
    assert told is not None
    assert told.next is not None
    assert told.next.switch_in_ms == 8_000
    assert list(run_until(session, 15 * SECOND, 24 * SECOND)) == [1]
    assert session.change_now(24 * SECOND)


def test_a_boundary_that_is_near_gives_receivers_two_seconds() -> None:
    """Told half a second before, the content has to wait until receivers can have the key."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(1_500 * MS, SECOND)
    run_until(session, SECOND, 1_500 * MS)
    assert not session.change_now(1_500 * MS)
    run_until(session, 1_500 * MS, 2_500 * MS)
    assert not session.change_now(2_500 * MS)
    run_until(session, 2_500 * MS, 3_100 * MS)
    assert session.change_now(3_100 * MS)


def test_without_a_key_server_there_is_no_change() -> None:
    """The key is nowhere to be had: the content is told to wait, or given up on the change."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(9 * SECOND, 0)
    for now in range(0, 12 * SECOND, STEP_NS):
        while (action := session.poll_action(now)) is not None:
            session.handle_failed(action, now)
    assert not session.change_now(12 * SECOND)
    session.give_up_change()
    seen = run_until(session, 12 * SECOND, 30 * SECOND)
    assert list(seen) == [1, 2]
    assert seen[2] > 14 * SECOND


def test_a_removal_does_not_wait_for_the_content() -> None:
    """An urgent fence changes the key at once, and the boundary comes with a change of its own."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(15 * SECOND, 0)
    run_until(session, 0, 6 * SECOND)
    for action in iter(lambda: session.poll_action(6 * SECOND), None):
        assert action is None
    session._epochs.handle_fence(FenceOrder(epoch=2, window_ms=2_000, urgent=True), 6 * SECOND)
    seen = run_until(session, 6 * SECOND, 15 * SECOND)
    assert list(seen) == [1, 2]
    assert seen[2] <= 8_500 * MS
    assert session.change_now(15 * SECOND)
    assert session.state(15 * SECOND).epoch == 3


def test_keys_live_as_long_as_their_content_says() -> None:
    """From the boundary on the lifetime is that of the content, which receivers and key server are told."""
    session = make_sender(SPEC)
    on_air(session, 0)
    session.expect_change(5 * SECOND, 0, 60_000)
    run_until(session, 0, 5 * SECOND)
    assert session.change_now(5 * SECOND)
    told = session.told(5 * SECOND)
    assert told is not None
    assert (told.lifetime_ms, told.remaining_ms) == (60_000, 60_000)
    assert list(run_until(session, 5 * SECOND, 60 * SECOND)) == [2]


def test_what_a_boundary_takes() -> None:
    """An epoch ends with the content if that changes sooner, or less than Y (here 5 s) later."""
    boundary = Boundary(30 * SECOND)
    assert boundary.takes(SPEC, 40 * SECOND)
    assert boundary.takes(SPEC, 26 * SECOND)
    assert not boundary.takes(SPEC, 25 * SECOND)
