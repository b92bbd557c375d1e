"""Which key is on air and which comes next: in time, after the receivers, and never twice."""

from itertools import pairwise

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch
from sealcast.sender.actions import Action, Cause, ConsumeSlot, GenerateKey, PublishKey, RenewLease, ReportAir
from sealcast.sender.attempts import RETRY_NS_MAX
from sealcast.sender.epochs import START_WAIT_NS
from sealcast.sender.session import SenderSession
from simulation.parts import MS, SECOND, answer, copy_key, make_key, make_sender, make_slots, make_spec, serve

SPEC = make_spec(10_000)
PUBLISH_NS = 5 * SECOND
FETCH_NS = 2_500 * MS
END_NS = 10 * SECOND


def kinds(actions: list[Action]) -> list[str]:
    """Return the names of actions, without the reports."""
    return [type(action).__name__ for action in actions if not isinstance(action, ReportAir)]


def started(session: SenderSession, now: int = 0) -> SenderSession:
    """Bring a sender on air."""
    serve(session, now)
    assert session.is_on_air
    return session


def poll_kind(session: SenderSession, now: int, kind: type[Action]) -> Action | None:
    """Return the next action of a kind, unanswered; all others are answered."""
    while (action := session.poll_action(now)) is not None:
        if isinstance(action, kind):
            return action
        answer(session, action, now)
    return None


def epoch_of(session: SenderSession, now: int = 0) -> int | None:
    """Return the epoch on air."""
    return session.state(now).epoch


def test_start_publishes_then_consumes_then_goes_on_air() -> None:
    """Nothing is on air before its key is at the key server and its slot is durably consumed."""
    session = make_sender(SPEC)
    actions = serve(session, 0)
    assert kinds(actions) == ["PublishKey", "ConsumeSlot"]
    reports = [action for action in actions if isinstance(action, ReportAir)]
    assert [(report.epoch, report.cause) for report in reports] == [(1, Cause.START)]


def test_the_next_key_is_published_at_x_and_not_before() -> None:
    """The publish threshold is kept to the nanosecond, and the timeouts lead to it."""
    session = started(make_sender(SPEC))
    assert poll_kind(session, PUBLISH_NS - 1, PublishKey) is None
    assert session.next_timeout(PUBLISH_NS - 1) <= PUBLISH_NS
    action = poll_kind(session, PUBLISH_NS, PublishKey)
    assert isinstance(action, PublishKey)
    assert action.tek.key_id.epoch == 2


def test_the_switch_comes_at_the_end_of_the_lifetime() -> None:
    """The slot is consumed shortly before; the switch itself comes at the instant that was announced."""
    session = started(make_sender(SPEC))
    serve(session, PUBLISH_NS)
    assert kinds(serve(session, END_NS - SECOND)) == []
    assert kinds(serve(session, END_NS - 500 * MS)) == ["ConsumeSlot"]
    serve(session, END_NS - 1)
    assert epoch_of(session) == 1
    session.poll_control(END_NS - 1)
    assert session.next_timeout(END_NS - 1) == END_NS
    serve(session, END_NS)
    assert epoch_of(session) == 2
    assert session.state(END_NS).key_changes == 1


def test_without_a_durable_slot_there_is_no_switch() -> None:
    """A disk that takes its time delays the switch, and never lets a key go on air unrecorded."""
    session = started(make_sender(SPEC))
    serve(session, PUBLISH_NS)
    consume = poll_kind(session, END_NS - 500 * MS, ConsumeSlot)
    assert isinstance(consume, ConsumeSlot)
    session.poll_action(END_NS + SECOND)
    assert epoch_of(session) == 1
    session.handle_failed(consume, END_NS + SECOND)
    again = poll_kind(session, END_NS + 2 * SECOND, ConsumeSlot)
    assert again == consume
    session.handle_consumed(Epoch(2), END_NS + 2 * SECOND)
    session.poll_action(END_NS + 2 * SECOND)
    assert epoch_of(session) == 2


def test_a_late_publish_leaves_receivers_the_whole_window() -> None:
    """While the key server is away the epoch is extended; then the switch waits for Y to pass."""
    session = started(make_sender(SPEC))
    now = PUBLISH_NS
    tries = []
    while now < 60 * SECOND:
        action = poll_kind(session, now, PublishKey)
        if action is not None:
            tries.append(now)
            session.handle_failed(action, now)
        now = max(now + 1, session.next_timeout(now))
        session.poll_control(now)
        assert epoch_of(session) == 1
    assert session.state(END_NS - 1).extended is False
    assert session.state(END_NS).extended is True
    assert max(later - earlier for earlier, later in pairwise(tries)) <= RETRY_NS_MAX
    serve(session, 70 * SECOND)
    state = session.state(70 * SECOND)
    assert (state.epoch, state.extended, state.remaining_ms) == (1, False, FETCH_NS // MS)
    serve(session, 70 * SECOND + FETCH_NS - 500 * MS)
    serve(session, 70 * SECOND + FETCH_NS)
    assert epoch_of(session) == 2


def test_keys_of_the_key_server() -> None:
    """The key server makes the key, and nothing goes on air before it came."""
    session = make_sender(make_spec(10_000, keys=KeyMaker.KEYSERVER))
    action = poll_kind(session, 0, GenerateKey)
    assert action == GenerateKey(Epoch(1))
    assert poll_kind(session, START_WAIT_NS + SECOND, ConsumeSlot) is None
    session.handle_generated(make_key(1), START_WAIT_NS + SECOND)
    serve(session, START_WAIT_NS + SECOND)
    assert epoch_of(session) == 1


def test_a_start_without_the_key_server_does_not_wait_for_ever() -> None:
    """With a slot and a key of its own a sender goes on air after two seconds, published or not."""
    session = make_sender(SPEC)
    publish = poll_kind(session, 0, PublishKey)
    assert publish is not None
    assert session.next_timeout(0) <= START_WAIT_NS
    assert poll_kind(session, START_WAIT_NS - 1, ConsumeSlot) is None
    consume = poll_kind(session, START_WAIT_NS, ConsumeSlot)
    assert consume == ConsumeSlot(Epoch(1))
    session.handle_consumed(Epoch(1), START_WAIT_NS)
    assert session.is_on_air


def test_a_key_that_went_on_air_unpublished_is_published_when_it_can_be() -> None:
    """Receivers need not wait for the next epoch when the key server comes back."""
    session = make_sender(SPEC)
    publish = poll_kind(session, 0, PublishKey)
    assert isinstance(publish, PublishKey)
    tek = copy_key(publish.tek)
    serve(session, START_WAIT_NS)
    assert session.is_on_air
    session.handle_failed(publish, 3 * SECOND)
    again = poll_kind(session, 4 * SECOND, PublishKey)
    assert isinstance(again, PublishKey)
    assert again.tek == tek
    session.handle_published(Epoch(1), 4 * SECOND)
    assert poll_kind(session, 4 * SECOND, PublishKey) is None
    following = poll_kind(session, START_WAIT_NS + PUBLISH_NS, PublishKey)
    assert isinstance(following, PublishKey)
    assert following.tek.key_id.epoch == 2


def test_a_published_key_of_the_last_run_goes_on_air() -> None:
    """A restart takes the epoch that receivers may hold already, under the same key and a fresh SSRC."""
    slots = make_slots(5, 4)
    session = make_sender(SPEC, slots=slots, known={Epoch(5): make_key(5)}, seed="other")
    publish = poll_kind(session, 0, PublishKey)
    assert isinstance(publish, PublishKey)
    assert publish.tek == make_key(5)
    assert session.ssrc == slots[0].ssrc


def test_a_known_key_of_the_key_server_needs_no_key_server() -> None:
    """A key that the key server made, and published, goes on air without asking again."""
    spec = make_spec(10_000, keys=KeyMaker.KEYSERVER)
    session = make_sender(spec, slots=make_slots(5, 16), known={Epoch(5): make_key(5)})
    assert kinds(serve(session, 0)) == ["ConsumeSlot"]
    assert epoch_of(session) == 5


def test_a_refused_epoch_is_passed_over() -> None:
    """When the key server will not have an epoch, the next slot is tried."""
    session = make_sender(SPEC)
    publish = poll_kind(session, 0, PublishKey)
    assert publish is not None
    session.handle_refused(publish, 0)
    following = poll_kind(session, SECOND, PublishKey)
    assert isinstance(following, PublishKey)
    assert following.tek.key_id.epoch == 2


def test_a_refusal_that_comes_late_burns_no_other_epoch() -> None:
    """The no to the key on air, published late, leaves the next one as planned."""
    session = make_sender(SPEC)
    publish = poll_kind(session, 0, PublishKey)
    assert publish is not None
    serve(session, START_WAIT_NS)
    poll_kind(session, START_WAIT_NS + PUBLISH_NS, PublishKey)
    session.handle_refused(publish, START_WAIT_NS + PUBLISH_NS)
    assert session.state(START_WAIT_NS + PUBLISH_NS).next_epoch == 2
    assert session.lease.peek().epoch == 2


def test_a_lease_is_topped_up_before_it_runs_out() -> None:
    """Below twelve slots more are asked for, and the consumed ones are named."""
    session = make_sender(SPEC, slots=make_slots(1, 12))
    assert kinds(serve(session, 0)) == ["PublishKey", "ConsumeSlot", "RenewLease"]
    assert len(session.lease.slots) == 11 + 16


def test_a_slot_consumed_while_the_lease_was_under_way_does_not_come_back() -> None:
    """The answer may name slots that were free when the question left."""
    session = make_sender(SPEC, slots=make_slots(1, 1))
    renew = poll_kind(session, 0, RenewLease)
    assert renew == RenewLease(Epoch(1))
    serve(session, 0)
    assert epoch_of(session) == 1
    session.handle_lease(make_slots(1, 16), 0)
    assert session.lease.peek().epoch == 2


def test_without_slots_the_epoch_goes_on() -> None:
    """An empty lease and no key server: delivery goes on under the key on air, flagged as extended."""
    session = make_sender(SPEC, slots=make_slots(1, 1))
    renew = poll_kind(session, 0, RenewLease)
    assert renew is not None
    serve(session, 0)
    session.handle_failed(renew, 0)
    assert poll_kind(session, 20 * SECOND, RenewLease) == RenewLease(Epoch(2))
    assert poll_kind(session, 20 * SECOND, PublishKey) is None
    assert session.state(20 * SECOND).extended
    session.handle_lease(make_slots(2, 16), 21 * SECOND)
    assert isinstance(poll_kind(session, 21 * SECOND, PublishKey), PublishKey)


def test_no_slot_at_all_is_one_clear_line() -> None:
    """A sender with no slot left does not start."""
    with pytest.raises(LocalError, match="no run slot is left"):
        make_sender(SPEC, slots=())


def test_a_refused_report_is_a_word_too() -> None:
    """A key server that will not take a report is there all the same: the switch comes in time."""
    session = started(make_sender(SPEC))
    now = PUBLISH_NS
    while now <= END_NS:
        while (action := session.poll_action(now)) is not None:
            if isinstance(action, ReportAir):
                session.handle_refused(action, now)
            else:
                answer(session, action, now)
        session.poll_control(now)
        now = session.next_timeout(now)
    assert epoch_of(session) == 2
    assert session.state(END_NS).remaining_ms == 10_000


def test_reports_between_do_not_undo_the_word() -> None:
    """A second report after the key server was heard leaves the switch where it is."""
    session = started(make_sender(SPEC))
    serve(session, PUBLISH_NS)
    serve(session, END_NS - 500 * MS)
    report = ReportAir(
        session.ssrc, Epoch(1), Cause.START, 400, 10_000, extended=False, roc=0, seq=0, totals=()
    )
    session.handle_reported(report, END_NS - 400 * MS)
    session.handle_reported(report, END_NS - MS)
    session.poll_control(END_NS)
    assert epoch_of(session) == 2


def test_erased_when_off_air() -> None:
    """The key of an epoch that is over is overwritten."""
    session = make_sender(SPEC)
    publish = poll_kind(session, 0, PublishKey)
    assert isinstance(publish, PublishKey)
    answer(session, publish, 0)
    serve(session, 0)
    serve(session, PUBLISH_NS)
    serve(session, END_NS - 500 * MS)
    assert len(publish.tek.key) == 16
    serve(session, END_NS)
    assert (len(publish.tek.key), len(publish.tek.salt)) == (0, 0)
