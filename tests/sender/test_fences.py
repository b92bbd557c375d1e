"""What a sender makes of a fence: a key that a removed device may hold never goes on air."""

import pytest

from sealcast.core.channel import KeyMaker
from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch
from sealcast.messages.answers import AirAnswer, FenceOrder
from sealcast.messages.encoding import decode
from sealcast.sender.actions import Action, Cause, ConsumeSlot, PublishKey, RenewLease, ReportAir
from sealcast.sender.epochs import START_WAIT_NS
from sealcast.sender.reports import REPORT_ALONE_NS, REPORT_NS, REPORT_RETRY_NS
from sealcast.sender.session import SenderSession
from sealcast.wire import srtcp
from sealcast.wire.seal import Seal, parse_seal
from simulation.parts import (
    MS,
    SECOND,
    answer,
    copy_key,
    make_key,
    make_sender,
    make_slots,
    make_spec,
    media,
    seal,
    serve,
)

SPEC = make_spec(60_000)
"""X is 30 s and Y 15 s before the switch."""

PUBLISH_NS = 30 * SECOND
END_NS = 60 * SECOND
W_MS = 3_000
GUARD_NS = 600 * MS


def order(epoch: int, *, urgent: bool = True) -> FenceOrder:
    """Return an order with a window of three seconds."""
    return FenceOrder(epoch=epoch, window_ms=W_MS, urgent=urgent)


def report_of(session: SenderSession, now: int) -> ReportAir:
    """Return the report that is due now; all else is answered."""
    session.handle_hint(now)
    while (action := session.poll_action(now)) is not None:
        if isinstance(action, ReportAir):
            return action
        answer(session, action, now)
    raise AssertionError("no report")


def fence(session: SenderSession, now: int, given: FenceOrder) -> list[Action]:
    """Give an order with the answer to a report; return what the sender asks for then, all answered."""
    session.handle_reported(report_of(session, now), now, given)
    return serve(session, now)


def run(session: SenderSession, now: int, until: int) -> list[tuple[int, int]]:
    """Go from timeout to timeout, answering all; return the switches as (instant, epoch)."""
    switches, epoch = [], session.state(now).epoch
    for _ in range(10_000):
        serve(session, now)
        session.poll_control(now)
        if (fresh := session.state(now).epoch) != epoch and fresh is not None:
            switches.append((now, fresh))
            epoch = fresh
        if now >= until:
            return switches
        now = min(until, max(now + 1, session.next_timeout(now)))
    raise AssertionError("time stands still")


def announced(session: SenderSession, now: int) -> Seal:
    """Return what the SEAL packet that is due now says."""
    (packet,) = session.poll_control(now)
    return parse_seal(srtcp.split_control(packet).clear_compound).seal


def prefetched(keys: KeyMaker = KeyMaker.SENDER) -> SenderSession:
    """Return a sender that has epoch 1 on air and epoch 2 published."""
    session = make_sender(make_spec(60_000, keys=keys))
    run(session, 0, PUBLISH_NS)
    assert (session.state(PUBLISH_NS).epoch, session.state(PUBLISH_NS).next_epoch) == (1, 2)
    return session


@pytest.mark.parametrize("keys", list(KeyMaker))
def test_an_urgent_fence_skips_the_prefetched_key_and_switches_after_the_window(keys: KeyMaker) -> None:
    """Epoch 2 is burned, 3 published at once, and on air W later, its cause an eviction."""
    session = prefetched(keys)
    now = PUBLISH_NS + 5 * SECOND
    actions = fence(session, now, order(3))
    assert ConsumeSlot(Epoch(2)) in actions
    assert session.lease.peek().epoch == 3
    assert run(session, now, now + 20 * SECOND) == [(now + W_MS * MS, 3)]
    report = report_of(session, now + 20 * SECOND)
    assert (report.epoch, report.cause) == (3, Cause.EVICTION)
    assert {totals.epoch for totals in report.totals} == {3}


def test_receivers_hear_of_it_at_once_with_its_own_window() -> None:
    """SEAL packets name the new next key; the window opens now and ends a fifth of W before the switch."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3))
    seal = announced(session, now)
    assert seal.next is not None
    assert seal.window is not None
    assert (seal.next.key_id.epoch, seal.next.switch_in_ms) == (3, W_MS)
    assert (seal.window.opens_in_ms, seal.window.closes_in_ms) == (0, W_MS - GUARD_NS // MS)
    assert session.next_timeout(now) <= now + 30 * MS


def test_the_key_server_hears_of_it_at_once() -> None:
    """A report follows the publication, so that grants tell the time that is left."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    reports = [action for action in fence(session, now, order(3)) if isinstance(action, ReportAir)]
    assert [report.remaining_ms for report in reports][-1] == W_MS


def test_an_order_that_comes_again_changes_nothing() -> None:
    """With every report the same order comes, until it is carried out: the switch stays where it was."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3))
    for later in range(1, 3):
        assert not [a for a in fence(session, now + later * SECOND, order(3)) if isinstance(a, PublishKey)]
    assert run(session, now + 2 * SECOND, now + 5 * SECOND) == [(now + W_MS * MS, 3)]
    assert fence(session, now + 5 * SECOND, order(3)) == []


def test_a_fence_without_hurry_keeps_to_the_schedule() -> None:
    """The skipped key gives way to another, published at once, and the switch comes when it was due."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3, urgent=False))
    assert run(session, now, END_NS + SECOND) == [(END_NS, 3)]
    assert report_of(session, END_NS + SECOND).cause is Cause.SCHEDULE


def test_a_fence_without_hurry_just_before_the_switch_waits_for_w_and_not_for_y() -> None:
    """A removed device keeps the epoch on air no longer than receivers need."""
    session = prefetched()
    now = END_NS - SECOND
    run(session, PUBLISH_NS, now)
    fence(session, now, order(3, urgent=False))
    seal = announced(session, now)
    assert seal.window is not None
    assert seal.window.closes_in_ms == W_MS - GUARD_NS // MS
    assert run(session, now, END_NS + 5 * SECOND) == [(now + W_MS * MS, 3)]


def test_a_next_key_that_the_device_cannot_have_is_hurried() -> None:
    """Published before the removal and never granted to the device, it only comes sooner."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    actions = fence(session, now, order(2))
    assert not [action for action in actions if isinstance(action, PublishKey | ConsumeSlot)]
    assert announced(session, now).next.switch_in_ms == W_MS  # type: ignore[union-attr]
    assert run(session, now, now + 10 * SECOND) == [(now + W_MS * MS, 2)]


def test_a_switch_that_comes_sooner_anyway_is_left_alone() -> None:
    """One second before the scheduled switch to a key beyond the fence nothing changes."""
    session = prefetched()
    now = END_NS - SECOND
    run(session, PUBLISH_NS, now)
    fence(session, now, order(2))
    assert run(session, now, END_NS + SECOND) == [(END_NS, 2)]


def test_before_the_next_key_is_planned() -> None:
    """Early in an epoch the key of the next is made and published at once."""
    session = make_sender(SPEC)
    run(session, 0, SECOND)
    actions = fence(session, SECOND, order(2))
    assert [action.tek.key_id.epoch for action in actions if isinstance(action, PublishKey)] == [2]
    assert run(session, SECOND, 10 * SECOND) == [(SECOND + W_MS * MS, 2)]


def test_while_the_key_to_skip_is_on_its_way() -> None:
    """The answer to a publication that a fence overtook moves nothing, and its key outlives the errand."""
    session = make_sender(SPEC)
    run(session, 0, PUBLISH_NS - 1)
    late = None
    while late is None:
        action = session.poll_action(PUBLISH_NS)
        assert action is not None
        if isinstance(action, PublishKey):
            late = action
        else:
            answer(session, action, PUBLISH_NS)
    session.handle_reported(report_of(session, PUBLISH_NS), PUBLISH_NS, order(3))
    assert copy_key(late.tek).key_id.epoch == 2
    session.handle_published(Epoch(2), PUBLISH_NS + SECOND)
    switches = run(session, PUBLISH_NS + SECOND, PUBLISH_NS + 10 * SECOND)
    assert switches == [(PUBLISH_NS + SECOND + W_MS * MS, 3)]


def test_when_the_slot_to_skip_is_consumed_already() -> None:
    """Half a second before its switch an epoch is recorded as used: it is dropped all the same."""
    session = prefetched()
    now = END_NS - 400 * MS
    run(session, PUBLISH_NS, now)
    assert session.lease.peek().epoch == 3
    fence(session, now, order(3))
    assert run(session, now, END_NS + 10 * SECOND) == [(now + W_MS * MS, 3)]


def test_two_fences_in_a_row() -> None:
    """A second device that had prefetched the key of the first eviction: that one is skipped as well."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3))
    later = now + 2 * SECOND
    run(session, now, later)
    fence(session, later, order(4, urgent=False))
    assert run(session, later, later + 10 * SECOND) == [(later + W_MS * MS, 4)]


def test_a_lease_that_runs_out_at_the_fence() -> None:
    """With all slots below the fence more are asked for, and the change follows."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    session.handle_reported(report_of(session, now), now, order(17))
    renewed = False
    while (action := session.poll_action(now)) is not None:
        if isinstance(action, RenewLease):
            assert action.first_unused == 17
            session.handle_lease(make_slots(17, 16), now)
            renewed = True
        else:
            answer(session, action, now)
    assert renewed
    assert run(session, now, now + 10 * SECOND) == [(now + W_MS * MS, 17)]


def test_an_order_that_crossed_its_own_switch_is_no_news() -> None:
    """The report of the epoch before is answered when the new one is on air."""
    session = prefetched()
    report = report_of(session, PUBLISH_NS)
    session.handle_reported(report, PUBLISH_NS, order(3))
    now = PUBLISH_NS + 5 * SECOND
    assert run(session, PUBLISH_NS, now)[0][1] == 3
    session.handle_reported(report, now, order(3))
    assert serve(session, now) == []
    assert session.state(now).next_epoch is None


def test_a_silent_key_server_holds_the_switch_back() -> None:
    """Without its word after the window receivers may not have the key: they get W anew when it is back."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3))
    while now < PUBLISH_NS + 20 * SECOND:
        while (action := session.poll_action(now)) is not None:
            if isinstance(action, ReportAir):
                session.handle_failed(action, now)
            else:
                answer(session, action, now)
        assert session.state(now).epoch == 1
        now = max(now + 1, session.next_timeout(now))
        session.poll_control(now)
    ((switch_ns, epoch),) = run(session, now, now + 10 * SECOND)
    assert epoch == 3
    assert now + W_MS * MS <= switch_ns <= now + W_MS * MS + REPORT_RETRY_NS


def test_before_the_first_epoch_is_on_air() -> None:
    """A start that learns of a fence takes the first slot beyond it, under the SSRC that it has."""
    session = make_sender(SPEC, known={Epoch(1): make_key(1)})
    publish = session.poll_action(0)
    assert isinstance(publish, PublishKey)
    session._epochs.handle_fence(order(3), 0)
    session.handle_published(Epoch(1), 0)
    serve(session, 0)
    assert session.is_on_air
    assert session.state(0).epoch == 3
    assert session.ssrc == make_slots(1, 1)[0].ssrc
    assert START_WAIT_NS > 0


def test_what_is_sealed_before_the_switch_is_under_the_old_key() -> None:
    """The packets name epoch 1 up to the switch and 3 from it on; 2 is in none."""
    session = prefetched()
    now = PUBLISH_NS + 5 * SECOND
    fence(session, now, order(3))
    seen = []
    for step in range(50):
        at = now + step * 100 * MS
        run(session, at, at)
        (packet,) = seal(session, media(step), at)
        seen.append((at, int.from_bytes(packet[-4:], "big")))
    assert {epoch for at, epoch in seen if at < now + W_MS * MS} == {1}
    assert {epoch for at, epoch in seen if at >= now + W_MS * MS} == {3}


def test_one_that_hears_events_asks_less_often() -> None:
    """Alone it reports twice a second, to be told of fences; every five seconds while events do that."""
    session = make_sender(SPEC, report_ns=REPORT_ALONE_NS)
    assert count_reports(session, 10) == 10 * SECOND // REPORT_ALONE_NS
    session.handle_listening(is_listening=True)
    assert count_reports(session, 10) <= 10 * SECOND // REPORT_NS + 1


@pytest.mark.parametrize("epoch", [-1, 2**32, 10**30])
def test_an_order_that_no_channel_can_have_is_no_answer(epoch: int) -> None:
    """A key server out of its mind burns no epochs: its answer breaks the rules and changes nothing."""
    told = f'{{"jti":"1","fence":{{"epoch":{epoch},"window_ms":2000,"urgent":true}}}}'.encode()
    with pytest.raises(FormatError):
        decode(told, AirAnswer)


def count_reports(session: SenderSession, seconds: int) -> int:
    """Return how many reports follow the first within a time, on a clock that begins anew."""
    count, now = -1, 0
    while now <= seconds * SECOND:
        count += sum(isinstance(action, ReportAir) for action in serve(session, now))
        session.poll_control(now)
        now = max(now + 1, session.next_timeout(now))
    return count
