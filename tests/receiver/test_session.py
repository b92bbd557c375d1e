"""A receiver's run: what it asks, what it believes, what it gives out, and how it counts."""

import pytest

from sealcast.core.errors import FormatError
from sealcast.core.ids import Epoch
from sealcast.messages.answers import Grant, StreamState
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.values import FetchRequest
from sealcast.sender.session import SenderSession
from sealcast.wire import rtp, srtp
from simulation.parts import (
    CHANNEL,
    MS,
    SECOND,
    make_grant,
    make_key,
    make_receiver,
    make_sender,
    make_slots,
    make_spec,
    media,
    number_of,
    on_air,
    payload,
    seal,
    serve,
)
from wire.single import seal_single

SPEC = make_spec(10_000)
SPREAD_NS = 2 * SECOND
"""Within this a receiver of this channel asks for a key that it meets unprepared."""


def asked(session: ReceiverSession, now: int = 0) -> None:
    """Let a receiver make the request that it wants to make."""
    assert session.poll_fetch(now) is not None


def joined(sender: SenderSession, *, reorder_ms: int = 20, has_streams: bool = True) -> ReceiverSession:
    """Return a receiver that has the grant for the sender's first key; the sender is on air."""
    tek = on_air(sender, 0)
    session = make_receiver(reorder_ms=reorder_ms)
    asked(session)
    streams = [StreamState(ssrc=sender.ssrc, roc=0, seq=0, age_ms=0)] if has_streams else []
    session.handle_grant(make_grant(SPEC, tek, streams=streams), 0)
    return session


def numbers(payloads: list[bytes]) -> list[int]:
    """Return the numbers of payloads."""
    return [number_of(each) for each in payloads]


def test_the_first_request_names_the_channel() -> None:
    """A receiver that is told a name asks by it, at once, and once."""
    session = make_receiver()
    request = session.poll_fetch(0)
    assert request is not None
    assert (request.channel, request.key_id, request.held) == ("news", None, ())
    assert session.poll_fetch(10 * SECOND) is None


def test_an_address_alone_asks_when_it_hears_something() -> None:
    """A receiver that is told only where to listen learns the channel's number from the first packet."""
    sender = make_sender(SPEC)
    on_air(sender, 0)
    session = make_receiver(channel=None)
    assert session.poll_fetch(0) is None
    assert session.next_timeout() is None
    session.handle_data(seal(sender, media(0), 0), 0)
    request = session.poll_fetch(0)
    assert request is not None
    assert (request.channel, request.key_id) == (str(CHANNEL), f"{CHANNEL:08x}00000001")


def test_a_number_that_a_stray_packet_told_can_be_forgotten() -> None:
    """When the key server does not know the channel, the next packet tells another."""
    session = make_receiver(channel=None)
    session.handle_data([bytes(40) + bytes([0, 0, 0, 99, 0, 0, 0, 1])], 0)
    request = session.poll_fetch(0)
    assert request is not None
    assert request.channel == "99"
    session.forget_channel()
    session.handle_fetch_failed(0, SECOND)
    session.handle_data([bytes(40) + bytes([0, 0, 0, CHANNEL, 0, 0, 0, 1])], SECOND)
    again = session.poll_fetch(20 * SECOND)
    assert again is not None
    assert again.channel == str(CHANNEL)


def test_a_forged_hint_does_not_hide_the_sender() -> None:
    """Addresses of unverified packets are collected, the newest first and a few at most."""
    session = make_receiver(channel=None)
    for number in range(20):
        sender = make_sender(SPEC, key_servers=(f"https://forged-{number}.example",))
        on_air(sender, 0)
        session.handle_control(sender.poll_control(0)[0], 0)
    sender = make_sender(SPEC)
    on_air(sender, 0)
    session.handle_control(sender.poll_control(0)[0], 0)
    assert session.hinted_servers[0] == "https://keys.example:8443"
    assert len(session.hinted_servers) == 8


def test_the_run_that_is_vouched_for_is_not_forgotten() -> None:
    """However many other runs are named, the stream whose SEAL packets keep coming stays."""
    session = make_receiver()
    kept = session._streams.vouch(1)
    for ssrc in range(2, 40):
        session._streams.vouch(ssrc)
        assert session._streams.vouch(1) is kept
    assert len(session._streams) == 16


def test_an_unverified_seal_packet_is_a_hint() -> None:
    """Before the first grant a SEAL packet says where to ask, and nothing more."""
    sender = make_sender(SPEC)
    on_air(sender, 0)
    session = make_receiver(channel=None)
    session.handle_control(sender.poll_control(0)[0], 0)
    assert session.hinted_servers == ("https://keys.example:8443",)
    assert (session.stats.control, session.stats.control_refused) == (0, 0)
    assert session.state(0).epoch is None
    assert session.poll_fetch(0) is not None


def test_payloads_leave_in_order() -> None:
    """Packets in any order leave by index, after the wait for what is missing."""
    sender = make_sender(SPEC)
    session = joined(sender)
    packets = seal(sender, media(*range(6)), 0)
    session.handle_data([packets[i] for i in (1, 0, 2, 4, 5)], 0)
    assert session.poll_payloads(0) == []
    assert session.next_timeout() == 20 * MS
    assert numbers(session.poll_payloads(20 * MS)) == [0, 1, 2, 4, 5]
    session.handle_data([packets[3]], 21 * MS)
    assert session.poll_payloads(60 * MS) == []
    assert (session.stats.late, session.stats.opened, session.state(0).lost) == (1, 6, 0)


def test_without_reordering_they_leave_as_they_come() -> None:
    """With `reorder_ms` 0 nothing waits."""
    sender = make_sender(SPEC)
    session = joined(sender, reorder_ms=0)
    packets = seal(sender, media(*range(4)), 0)
    session.handle_data([packets[i] for i in (2, 0, 3)], 0)
    assert numbers(session.poll_payloads(0)) == [2, 0, 3]
    assert (session.stats.late, session.state(0).lost) == (0, 1)


def test_packets_wait_for_their_key() -> None:
    """What came before the grant opens with it, in order, and the payloads are the sender's."""
    sender = make_sender(SPEC)
    tek = on_air(sender, 0)
    session = make_receiver()
    session.handle_data(seal(sender, media(*range(50)), 0), 0)
    assert session.state(0).held_back == 50
    asked(session)
    streams = [StreamState(ssrc=sender.ssrc, roc=0, seq=0, age_ms=0)]
    session.handle_grant(make_grant(SPEC, tek, streams=streams), SECOND)
    assert session.poll_payloads(SECOND + 20 * MS) == [payload(number) for number in range(50)]
    assert session.stats.opened == 50


def test_packets_of_an_unknown_run_wait_for_its_announcement() -> None:
    """With the key but without counters for the SSRC, packets wait for a SEAL packet."""
    sender = make_sender(SPEC)
    session = joined(sender, has_streams=False)
    session.handle_data(seal(sender, media(0, 1), 0), 0)
    assert (session.stats.opened, session.state(0).held_back) == (0, 2)
    session.handle_control(sender.poll_control(0)[0], 0)
    assert (session.stats.opened, session.state(0).held_back) == (2, 0)


def test_keys_that_are_held_are_named_in_the_request() -> None:
    """A key server need not send again what a receiver has."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_data([bytes(40) + bytes([0, 0, 0, CHANNEL, 0, 0, 0, 9])], 3 * SECOND)
    request = session.poll_fetch(3 * SECOND + SPREAD_NS)
    assert request is not None
    assert (request.held, request.key_id) == ((f"{CHANNEL:08x}00000001",), f"{CHANNEL:08x}00000009")


def test_a_grant_that_repeats_nothing_is_no_reason_to_hurry() -> None:
    """When all that there is is held, the next request waits for the window."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_data([bytes(40) + bytes([0, 0, 0, CHANNEL, 0, 0, 0, 9])], 3 * SECOND)
    asked(session, 3 * SECOND + SPREAD_NS)
    empty = make_grant(SPEC, None)
    session.handle_grant(empty, 3 * SECOND + SPREAD_NS)
    assert session.poll_fetch(6 * SECOND) is None


def swapped(grant: Grant, **changes: object) -> Grant:
    """Return a grant with other parts."""
    fields = {name: getattr(grant, name) for name in grant.__struct_fields__}
    return Grant(**{**fields, **changes})


@pytest.mark.parametrize("fault", ["channel", "key", "sender", "key of another channel"])
def test_a_grant_that_does_not_fit_changes_nothing(fault: str) -> None:
    """A grant is taken whole or not at all."""
    sender = make_sender(SPEC)
    session = joined(sender)
    asked_key = bytes(40) + bytes([0, 0, 0, CHANNEL, 0, 0, 0, 9])
    session.handle_data([asked_key], 3 * SECOND)
    asked(session, 3 * SECOND + SPREAD_NS)
    grant = make_grant(SPEC, make_key(2), make_key(3))
    if fault == "channel":
        grant = swapped(grant, channel=type(grant.channel)(name="other", group="239.9.9.9", port=6, number=8))
    elif fault == "key":
        grant = make_grant(SPEC, make_key(2), make_key(1, seed="other"))
    elif fault == "sender":
        (known,) = grant.senders
        grant = swapped(grant, senders=[type(known)(id="x", key=type(known.key)(kty="OKP", x="AA"))])
    else:
        spec = type(SPEC)(number=8, name="news", group="239.1.2.3", port=5004)
        grant = swapped(make_grant(spec, make_key(2)), channel=grant.channel)
        (key,) = grant.keys
        material = type(key.material)(
            key_id=f"{8:08x}00000001", suite="aes-128-gcm", key=bytes(16), salt=bytes(12)
        )
        grant = swapped(
            grant, keys=[type(key)(material=material, state="next", remaining_ms=1, lifetime_ms=1)]
        )
    before = (session.state(3 * SECOND), session._ring.held, session.spec)
    with pytest.raises(FormatError):
        session.handle_grant(grant, 3 * SECOND)
    assert (session.state(3 * SECOND), session._ring.held, session.spec) == before
    session.handle_fetch_failed(3 * SECOND)
    session.handle_control(sender.poll_control(3 * SECOND)[0], 3 * SECOND)
    assert session.stats.control == 1, "the sender is still known"


def test_the_next_key_is_fetched_in_its_window() -> None:
    """After the notice the request falls into the window, and the switch then needs none."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_control(sender.poll_control(0)[0], 0)
    serve(sender, 5 * SECOND)
    session.handle_control(sender.poll_control(5 * SECOND)[0], 5 * SECOND)
    due_ns = session._fetch.next_timeout()
    assert due_ns is not None
    assert 7_500 * MS <= due_ns <= 9_500 * MS
    assert session.poll_fetch(due_ns - 1) is None
    assert session.poll_fetch(due_ns) is not None


def test_an_answer_without_a_key_that_is_there_is_short() -> None:
    """A request knows which key the stream announced, so that an answer without it sends us elsewhere."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_control(sender.poll_control(0)[0], 0)
    serve(sender, 5 * SECOND)
    session.handle_control(sender.poll_control(5 * SECOND)[0], 5 * SECOND)
    request = session.poll_fetch(10 * SECOND)
    assert request is not None
    second = f"{CHANNEL:08x}00000002"
    assert (request.key_id, request.announced) == (None, second)
    assert request.is_short([])
    assert request.is_short([*request.held])
    assert not request.is_short([second])


def test_a_key_on_the_air_that_does_not_come_is_missed() -> None:
    """An answer lacks the key that we heard and asked for, but not what we hold."""
    request = FetchRequest("7", "0000000700000003", ("0000000700000002",), "0000000700000002")
    assert request.is_short(["0000000700000004"])
    assert not request.is_short(["0000000700000003"])
    assert not FetchRequest("7", None, ()).is_short([])


def test_state_for_people() -> None:
    """The snapshot says where the stream and its keys stand."""
    sender = make_sender(SPEC, first_seq=(2 << 16) + 5)
    tek = on_air(sender, 0)
    session = make_receiver()
    assert session.state(0).channel == "news"
    asked(session)
    streams = [StreamState(ssrc=sender.ssrc, roc=2, seq=0, age_ms=0)]
    session.handle_grant(make_grant(SPEC, tek, make_key(2), remaining_ms=7_000, streams=streams), 0)
    session.handle_data(seal(sender, media(0), 0), SECOND)
    state = session.state(2 * SECOND)
    assert (state.epoch, state.holds_next, state.remaining_ms, state.extended) == (1, True, 5_000, False)
    assert (state.joined_at_roc, state.first_opened_ns, state.lost) == (2, SECOND, 0)
    assert session.opened_since(2 * SECOND)
    assert not session.opened_since(20 * SECOND)


def test_drain_gives_out_what_waits() -> None:
    """At the end what waits for a missing packet leaves too."""
    sender = make_sender(SPEC)
    session = joined(sender)
    packets = seal(sender, media(0, 1, 2), 0)
    session.handle_data([packets[0], packets[2]], 0)
    assert numbers(session.drain(MS)) == [0, 2]


def test_erased_keys_open_nothing() -> None:
    """After the run no key is left, and packets are unknown again."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.erase()
    session.handle_data(seal(sender, media(0), 0), 0)
    assert session.stats.opened == 0


def test_senders_runs_are_bounded() -> None:
    """However many runs a key server names, sixteen are remembered."""
    session = make_receiver()
    asked(session)
    streams = [StreamState(ssrc=ssrc, roc=0, seq=0, age_ms=0) for ssrc in range(1, 100)]
    session.handle_grant(make_grant(SPEC, make_key(1), streams=streams), 0)
    assert len(session._streams) == 16


def test_the_end_of_an_earlier_run_does_not_end_this_one() -> None:
    """A BYE of the run before, played again while its key is still held, ends nothing and plans nothing."""
    earlier = make_sender(SPEC)
    session = joined(earlier)
    session.handle_control(earlier.poll_control(0)[0], 0)
    bye = earlier.end(SECOND)[0]
    later = make_sender(SPEC, slots=make_slots(2, 16), known={Epoch(2): make_key(2)}, seed="later")
    assert later.ssrc != earlier.ssrc
    on_air(later, SECOND)
    session.handle_grant(make_grant(SPEC, make_key(2)), SECOND)
    session.handle_control(later.poll_control(SECOND)[0], SECOND)
    assert session.stats.control == 2
    session.handle_control(bye, 2 * SECOND)
    assert session.stats.control == 3
    assert not session.is_over(10 * SECOND)


def test_packets_under_a_key_not_announced_move_no_counter() -> None:
    """While control is heard they open and are remembered; without any they have to move it."""
    sender = make_sender(SPEC)
    session = joined(sender)
    session.handle_control(sender.poll_control(0)[0], 0)
    session.handle_data(seal(sender, media(0), 0), 0)
    session.handle_grant(make_grant(SPEC, None, make_key(2)), 0)
    keys = srtp.derive_rtp(make_key(2).key, make_key(2).salt).stream(sender.ssrc)
    header = rtp.pack_header(33, 700, 0, sender.ssrc)
    early = seal_single(keys, header, payload(700), 700, make_key(2).key_id.pack())
    stream = session._streams[sender.ssrc]
    session.handle_data([early, early], 0)
    assert (stream.counter.highest, session.stats.opened, session.stats.replayed) == (0, 2, 1)
    header = rtp.pack_header(33, 701, 0, sender.ssrc)
    session.handle_data(
        [seal_single(keys, header, payload(701), 701, make_key(2).key_id.pack())], 11 * SECOND
    )
    assert stream.counter.highest == 701
