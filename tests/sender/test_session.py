"""A sender's run: what it seals, what it says of itself, and how it ends."""

import pytest

from sealcast.core.errors import LocalError
from sealcast.core.ids import Epoch
from sealcast.sender.actions import ConsumeSlot, PublishKey, ReportAir
from sealcast.sender.control import INTERVAL_NS
from sealcast.sender.reports import REPORT_NS
from sealcast.sender.session import INDEX_LIMIT, SenderSession
from sealcast.wire import rtp, srtcp, srtp
from sealcast.wire.seal import Seal, parse_seal, verify_seal
from simulation.parts import (
    MS,
    SECOND,
    SIGNER,
    Media,
    answer,
    make_sender,
    make_spec,
    media,
    payload,
    seal,
    serve,
)

SPEC = make_spec(10_000)
END_NS = 10 * SECOND


def started(*, first_seq: int = 0, slots_seed: str = "sender") -> SenderSession:
    """Return a sender on air."""
    session = make_sender(SPEC, first_seq=first_seq, seed=slots_seed)
    serve(session, 0)
    return session


def report_of(session: SenderSession, now: int) -> ReportAir | None:
    """Return the report that is due, unanswered; everything else is answered."""
    while (action := session.poll_action(now)) is not None:
        if isinstance(action, ReportAir):
            return action
        answer(session, action, now)
    return None


def read(packet: bytes) -> Seal:
    """Return what a SEAL packet says, its signature verified."""
    control = srtcp.split_control(packet)
    return verify_seal(
        parse_seal(control.clear_compound), SIGNER.public_key(), srtcp.index_word(control.index)
    )


def run_to(session: SenderSession, now: int) -> list[bytes]:
    """Answer all and take all SEAL packets, from timeout to timeout, until `now`."""
    packets, at = [], 0
    while at <= now:
        serve(session, at)
        packets += session.poll_control(at)
        following = session.next_timeout(at)
        assert following > at, f"the sender wants to be called again at once, at {at} ns"
        at = following
    return packets


def test_packets_open_under_the_key_on_air() -> None:
    """What is sealed opens with the published key under the rising index, across a rollover of SEQ."""
    session = make_sender(SPEC, first_seq=65_534)
    action = session.poll_action(0)
    assert isinstance(action, PublishKey)
    key = srtp.derive_rtp(action.tek.key, action.tek.salt).stream(session.ssrc)
    answer(session, action, 0)
    serve(session, 0)
    packets = seal(session, media(0, 1, 2, 3), 0)
    for number, packet in enumerate(packets):
        header = rtp.parse_header(packet)
        assert (header.seq, header.ssrc) == ((65_534 + number) & 0xFFFF, session.ssrc)
        assert (header.timestamp, header.payload_type) == (number * 1_000, 33)
        assert srtp.open_packet(key, packet, rtp.HEADER_BYTES, 65_534 + number) == payload(number)
    assert session.state(0).roc == 1


def test_seq_starts_below_half_its_range() -> None:
    """The first SEQ is random below 2^15, so that a lost first packet is not taken for a rollover."""
    firsts = set()
    for seed in range(50):
        session = make_sender(SPEC, first_seq=None, seed=str(seed))
        serve(session, 0)
        (packet,) = seal(session, media(0), 0)
        firsts.add(rtp.parse_header(packet).seq)
    assert len(firsts) > 40
    assert max(firsts) < 1 << 15


def test_packets_left_out_leave_their_place() -> None:
    """What a live input lost is lost to receivers as well: the index passes over it."""
    session = started()
    seal(session, media(0), 0)
    (packet,) = seal(session, [Media(payload(5), 0, skipped=4)], 0)
    assert rtp.parse_header(packet).seq == 5


def test_nothing_is_sealed_off_air() -> None:
    """Before the first key and after the end, sealing is an error of the caller."""
    session = make_sender(SPEC)
    with pytest.raises(LocalError):
        seal(session, media(0), 0)
    serve(session, 0)
    session.end(0)
    with pytest.raises(LocalError):
        seal(session, media(0), 0)
    assert session.poll_control(SECOND) == []


def test_the_index_never_wraps() -> None:
    """At 2^48 packets the run is over; no index is used a second time."""
    session = started(first_seq=INDEX_LIMIT - 2)
    seal(session, media(0, 1), 0)
    for _ in range(2):
        with pytest.raises(LocalError, match="start the sender again"):
            seal(session, media(2), 0)


def test_seal_packets_say_what_is_so() -> None:
    """Counters, remaining time and the notice of the next key are those of the moment."""
    session = started(first_seq=65_535)
    seal(session, media(0, 1, 2), 0)
    before = read(session.poll_control(SECOND)[0])
    assert (before.roc, before.seq, before.next, before.window) == (1, 1, None, None)
    assert (before.remaining_ms, before.lifetime_ms, before.extended) == (9_000, 10_000, False)
    assert before.key_servers == ("https://keys.example:8443",)
    serve(session, 5 * SECOND)
    after = read(session.poll_control(7 * SECOND)[0])
    assert after.next is not None
    assert after.window is not None
    assert (after.next.key_id.epoch, after.next.switch_in_ms) == (2, 3_000)
    assert (after.window.opens_in_ms, after.window.closes_in_ms) == (500, 2_500)


def test_a_change_brings_three_packets_of_the_new_epoch() -> None:
    """Around a change three SEAL packets announce it, the first at once."""
    session = started()
    packets = [read(packet) for packet in run_to(session, END_NS + 100 * MS)]
    assert [packet.current.epoch for packet in packets[-3:]] == [2, 2, 2]
    assert packets[-4].current.epoch == 1


def test_control_indices_rise_over_key_changes() -> None:
    """No (key, index) pair comes twice, and a receiver can refuse what does not rise."""
    session = started()
    indices = [srtcp.split_control(packet).index for packet in run_to(session, 3 * END_NS)]
    assert indices == list(range(1, len(indices) + 1))


def test_the_end_is_said_three_times() -> None:
    """Three BYE packets name the last index; no more follow, and asking again gives none."""
    session = started()
    seal(session, media(*range(10)), 0)
    byes = session.end(SECOND)
    assert [(read(packet).bye, read(packet).seq) for packet in byes] == [(True, 9)] * 3
    assert len(set(byes)) == 3
    assert session.end(SECOND) == []
    assert session.poll_control(10 * SECOND) == []


def test_the_last_report_says_so() -> None:
    """After the end the totals are handed in once more, again if there is no answer, and then never more."""
    session = started()
    seal(session, media(*range(10)), SECOND)
    session.end(2 * SECOND)
    report = report_of(session, 2 * SECOND)
    assert report is not None
    assert report.ended
    assert (report.totals[-1].packets, report.totals[-1].bytes) == (10, 13_160)
    assert report.totals[-1].duration_ms == 2_000
    session.handle_failed(report, 3 * SECOND)
    again = report_of(session, 4 * SECOND)
    assert again is not None
    session.handle_reported(again, 4 * SECOND)
    assert report_of(session, 400 * SECOND) is None


def test_a_report_under_way_at_the_end_does_not_take_its_place() -> None:
    """The answer to an earlier report arrives after the end: the last one is still handed in."""
    session = started()
    earlier = report_of(session, REPORT_NS)
    assert earlier is not None
    session.end(REPORT_NS + MS)
    session.handle_reported(earlier, REPORT_NS + 2 * MS)
    last = report_of(session, REPORT_NS + 3 * MS)
    assert last is not None
    assert last.ended


def test_reports_come_each_five_seconds() -> None:
    """The key server hears of the counters regularly, one report at a time."""
    session = started()
    assert report_of(session, REPORT_NS - 1) is None
    report = report_of(session, REPORT_NS)
    assert report is not None
    assert report_of(session, 10 * REPORT_NS) is None
    session.handle_reported(report, 2 * REPORT_NS)
    assert report_of(session, 3 * REPORT_NS - 1) is None
    assert report_of(session, 3 * REPORT_NS) is not None


def test_a_switch_waits_for_a_word_from_the_key_server() -> None:
    """A key server that answers late holds the switch until it does; then it is reported at once."""
    session = started()
    report = report_of(session, 5 * SECOND)
    assert report is not None
    for at in (5 * SECOND, END_NS - 500 * MS, END_NS):
        assert report_of(session, at) is None
    assert session.state(END_NS).epoch == 1
    assert session.state(END_NS).extended
    session.handle_reported(report, END_NS + 5 * MS)
    following = report_of(session, END_NS + 5 * MS)
    assert following is not None
    assert following.epoch == 2
    assert [totals.epoch for totals in following.totals] == [1, 2]


def test_after_a_silence_receivers_get_the_whole_window_again() -> None:
    """A key server away during the fetch window: heard again, the switch comes Y later, not at once."""
    session = started()
    report = report_of(session, 5 * SECOND)
    assert report is not None
    for at in (5 * SECOND, END_NS - 500 * MS):
        assert report_of(session, at) is None
    session.handle_failed(report, END_NS - 400 * MS)
    again = report_of(session, END_NS + SECOND)
    assert again is not None
    assert session.state(END_NS + SECOND).extended
    heard = END_NS + SECOND + 5 * MS
    session.handle_reported(again, heard)
    assert not session.state(heard).extended
    fetch_ns = SPEC.prefetch_at.of_ms(SPEC.lifetime_ms) * MS
    serve(session, heard + fetch_ns - 1)
    assert session.state(heard + fetch_ns - 1).epoch == 1
    serve(session, heard + fetch_ns)
    assert session.state(heard + fetch_ns).epoch == 2


def test_totals_of_an_epoch_are_kept_until_they_arrived() -> None:
    """What an epoch carried is reported until the key server has it, and exactly once more after that."""
    session = started()
    seal(session, media(1, 2), 0)
    for at in (5 * SECOND, END_NS - 500 * MS):
        serve(session, at)
    report = report_of(session, END_NS)
    assert report is not None
    session.handle_failed(report, END_NS)
    seal(session, media(3), END_NS)
    again = report_of(session, END_NS + SECOND)
    assert again is not None
    assert [(totals.epoch, totals.packets) for totals in again.totals] == [(1, 2), (2, 1)]
    session.handle_reported(again, END_NS + SECOND)
    third = report_of(session, END_NS + SECOND + REPORT_NS)
    assert third is not None
    assert [totals.epoch for totals in third.totals] == [2]


def test_no_timeout_is_in_the_past_while_answers_are_awaited() -> None:
    """A sender whose key server is silent sleeps between its packets; it does not spin."""
    session = make_sender(SPEC)
    now, calls = 0, 0
    while now < 60 * SECOND:
        while (action := session.poll_action(now)) is not None:
            if isinstance(action, ConsumeSlot):
                session.handle_consumed(action.epoch, now)
        session.poll_control(now)
        now = max(now + 1, session.next_timeout(now))
        calls += 1
    assert session.is_on_air
    assert calls <= 60 * SECOND // INTERVAL_NS + 50


def test_a_reported_action_without_answer_comes_again() -> None:
    """A publish that got no answer is repeated with the same key."""
    session = make_sender(SPEC)
    first = session.poll_action(0)
    assert isinstance(first, PublishKey)
    session.handle_failed(first, 0)
    assert session.poll_action(249 * MS) is None
    second = session.poll_action(250 * MS)
    assert isinstance(second, PublishKey)
    assert second.tek is first.tek
    session.handle_published(Epoch(1), 250 * MS)
