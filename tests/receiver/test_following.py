"""A receiver of a chain follows by updates on the air, and by nothing else; what it used up is destroyed."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from receiver.chained import FRESH_EPOCHS, Chain, held, joined, key_id, links, secrets_of
from sealcast.core.errors import FormatError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.core.update import WRAPPED_BYTES
from sealcast.keys.chain import make_update
from sealcast.keys.policy import fetch_window, repair_window
from sealcast.keys.schedule import link_of
from sealcast.messages.answers import KeyMaterial
from sealcast.receiver.session import ReceiverSession
from sealcast.testing import SimRandom
from simulation.parts import CHANNEL, MS, SECOND, STRANGER, make_receiver, number_of

CHAIN = Chain()
REPAIR = repair_window(CHAIN.spec, 10_000)
FETCH = fetch_window(CHAIN.spec, 10_000)


def counts(session: ReceiverSession) -> tuple[int, int]:
    """Return how many updates were followed, and how many refused."""
    return session.stats.updates, session.stats.updates_refused


def asks_at(session: ReceiverSession) -> int | None:
    """Return when a receiver asks next."""
    return session._fetch.next_timeout()


def test_an_update_on_the_air_is_the_next_key() -> None:
    """One verified packet: the key is learnt, the request for it is dropped, and its packets open."""
    chain = Chain()
    session = joined(chain)
    at_ns = asks_at(session)
    assert at_ns is not None
    assert REPAIR.opens_in_ms * MS <= at_ns <= REPAIR.closes_in_ms * MS
    session.handle_control(chain.seal(1, chain.message(2), coming=2), SECOND)
    assert (held(session), counts(session), asks_at(session)) == ([1, 2], (1, 0), None)
    session.handle_control(chain.seal(2), 2 * SECOND)
    session.handle_data([chain.data(2, 0)], 2 * SECOND)
    assert session.stats.opened == 1
    assert session.stats.fetches == 1


def test_packets_that_ran_ahead_of_the_update_open_with_it() -> None:
    """What was sealed under a key that is not held yet waits, and leaves when the update is there."""
    chain = Chain()
    session = joined(chain)
    session.handle_data([chain.data(2, 0), chain.data(2, 1)], 0)
    assert session.state(0).held_back == 2
    session.handle_control(chain.seal(1, chain.message(2), coming=2), MS)
    assert [number_of(each) for each in session.poll_payloads(21 * MS)] == [0, 1]


def test_from_link_to_link_up_to_the_fresh_start() -> None:
    """Update by update to the last epoch of the chain; the fresh start is asked for."""
    chain = Chain()
    session = joined(chain)
    for epoch in range(1, FRESH_EPOCHS):
        session.handle_control(chain.seal(epoch, chain.message(epoch + 1)), epoch * SECOND)
        session.handle_control(chain.seal(epoch + 1), epoch * SECOND + MS)
    assert (counts(session), session.stats.key_changes) == ((FRESH_EPOCHS - 1, 0), FRESH_EPOCHS - 1)
    assert FRESH_EPOCHS + 1 not in chain.updates
    assert asks_at(session) is not None


def test_what_is_used_up_is_destroyed() -> None:
    """C goes when the next key is learnt, Ku with it, and C of a key that was superseded; at the end all."""
    chain = Chain()
    session = joined(chain, 1, chain.update(2))
    assert links(session) == [2]
    (gone,) = secrets_of(session, 1)
    link, update = secrets_of(session, 2)
    assert (len(gone), len(link), len(update)) == (0, 32, 0)
    session.handle_control(chain.seal(2), SECOND)
    session.handle_control(chain.seal(2, chain.message(3)), SECOND)
    assert (len(link), links(session)) == (0, [3])
    link, update = secrets_of(session, 3)
    assert (len(link), len(update)) == (32, 0)
    session.erase()
    assert (len(link), held(session)) == (0, [])


def test_a_fresh_start_destroys_what_it_follows() -> None:
    """A key that does not follow leaves C alone until it is on air; then nothing of the old chain is left."""
    chain, other = Chain(), Chain(seed="other")
    session = joined(chain, 1)
    fresh = replace_key(other, chain, 2)
    (before,) = secrets_of(session, 1)
    session.handle_grant(chain.grant(None, fresh, has_window=False), SECOND)
    assert (held(session), links(session), len(before)) == ([1, 2], [1, 2], 32)
    chain.teks[2] = other.teks[5]
    session.handle_grant(chain.grant(fresh), 2 * SECOND)
    assert (links(session), len(before)) == ([2], 0)


def replace_key(other: Chain, chain: Chain, epoch: int) -> KeyMaterial:
    """Return a fresh start under the key ID of `epoch`, with the C of another chain."""
    material = other.link(1)
    fields = {name: getattr(material, name) for name in material.__struct_fields__}
    return KeyMaterial(**{**fields, "key_id": str(chain.teks[epoch].key_id), "fresh_at": epoch + 4})


WRONG: dict[str, Callable[[Chain], bytes]] = {
    "wrapped for another chain": lambda chain: chain.message(
        2, wrapped=Chain(seed="other").updates[2].wrapped
    ),
    "another key's": lambda chain: chain.message(3),
    "follows another channel's": lambda chain: chain.message(
        2, follows=KeyId(ChannelNumber(CHANNEL + 1), Epoch(1))
    ),
    "to another channel's": lambda chain: chain.message(
        2, key_id=KeyId(ChannelNumber(CHANNEL + 1), Epoch(2))
    ),
    "to an earlier epoch": lambda chain: chain.message(2, key_id=key_id(0)),
    "beyond the fresh start": lambda chain: chain.message(2, key_id=key_id(1 + FRESH_EPOCHS)),
    "noise for Ku": lambda chain: chain.message(2, wrapped=bytes(range(WRAPPED_BYTES))),
    "cut short": lambda chain: chain.message(2)[:-4],
    "too long": lambda chain: chain.message(2) + bytes(4),
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_update_changes_nothing(what: str) -> None:
    """Even from the sender itself: counted, no key is learnt, and the right one still leads on."""
    chain = Chain()
    session = joined(chain)
    session.handle_control(chain.seal(1), 0)
    before = (held(session), links(session), asks_at(session))
    session.handle_control(chain.seal(1, WRONG[what](chain)), MS)
    assert ((held(session), links(session), asks_at(session)), counts(session)) == (before, (0, 1))
    session.handle_control(chain.seal(1, WRONG[what](chain), chain.message(2)), 2 * MS)
    assert (held(session), counts(session)) == ([1, 2], (1, 2))


def test_another_kind_is_passed_over() -> None:
    """A rekey message of a kind that does not exist yet is no error, and leads nowhere."""
    chain = Chain()
    session = joined(chain)
    session.handle_control(chain.seal(1, b"\x02" + bytes(80)), 0)
    assert (held(session), counts(session), session.stats.control) == ([1], (0, 0), 1)


def test_repeats_are_no_news() -> None:
    """Each update comes several times: the first counts, and later ones are neither news nor wrong."""
    chain = Chain()
    session = joined(chain)
    packets = [chain.seal(1, chain.message(2), coming=2) for _ in range(5)]
    for packet in (*packets, *packets):
        session.handle_control(packet, SECOND)
    assert (held(session), counts(session)) == ([1, 2], (1, 0))
    assert session.stats.control_refused == 5


def test_out_of_order() -> None:
    """SEAL packets that overtook each other: the later one leads on, the earlier one is refused."""
    chain = Chain()
    session = joined(chain)
    first, second = (chain.seal(1, chain.message(2)) for _ in range(2))
    session.handle_control(second, SECOND)
    session.handle_control(first, SECOND)
    assert (held(session), counts(session), session.stats.control_refused) == ([1, 2], (1, 0), 1)


def test_of_the_chain_before() -> None:
    """After a fresh start what the chain before said is replayed: as packets, and in the sender's packets."""
    chain = Chain()
    session = joined(chain, FRESH_EPOCHS - 1)
    old = chain.seal(FRESH_EPOCHS - 1, chain.message(FRESH_EPOCHS))
    session.handle_control(old, 0)
    session.handle_control(chain.seal(FRESH_EPOCHS), MS)
    session.handle_grant(chain.grant(chain.link(FRESH_EPOCHS + 1)), 2 * MS)
    before = (held(session), links(session))
    session.handle_control(old, SECOND)
    assert session.stats.control_refused == 1
    session.handle_control(chain.seal(FRESH_EPOCHS + 1, chain.message(FRESH_EPOCHS - 2)), SECOND)
    assert ((held(session), links(session)), counts(session)) == (before, (1, 1))


def test_forged_by_another_subscriber() -> None:
    """Whoever holds C can wrap a Ku and seal the packet; without the sender's signature it says nothing."""
    chain = Chain()
    session = joined(chain)
    link = link_of(chain.teks[1])
    assert link is not None
    forged = chain.message(2, wrapped=link.wrap(make_update(SimRandom("thief"))))
    session.handle_control(chain.seal(1, forged, signer=STRANGER), 0)
    assert (held(session), counts(session), session.stats.control_refused) == ([1], (0, 0), 1)
    session.handle_control(chain.seal(1, chain.message(2)), MS)
    session.handle_data([chain.data(2, 0)], MS)
    assert session.stats.opened == 1


def test_an_unverified_packet_leads_nowhere() -> None:
    """Before the first grant a SEAL packet with an update is a hint where to ask."""
    chain = Chain()
    session = make_receiver(channel=None)
    session.handle_control(chain.seal(1, chain.message(2)), 0)
    assert (held(session), counts(session)) == ([], (0, 0))


def test_link_and_update_in_one_grant() -> None:
    """Who joins in the middle of a change holds both keys, whichever stands first, and follows from there."""
    chain = Chain()
    for order in (1, -1):
        session = make_receiver()
        assert session.poll_fetch(0) is not None
        grant = chain.grant(chain.link(2), chain.update(3))
        fields = {name: getattr(grant, name) for name in grant.__struct_fields__}
        session.handle_grant(type(grant)(**{**fields, "keys": grant.keys[::order]}), 0)
        assert (held(session), links(session)) == ([2, 3], [3])
        session.handle_data([chain.data(2, 0), chain.data(3, 1)], MS)
        assert session.stats.opened == 2
        session.handle_control(chain.seal(3), SECOND)
        session.handle_control(chain.seal(3, chain.message(4)), SECOND)
        assert held(session) == [2, 3, 4]


def test_an_update_against_the_key_held() -> None:
    """Who missed the update on the air is sent no more than that."""
    chain = Chain()
    session = joined(chain)
    session.handle_grant(chain.grant(None, chain.update(2), has_window=False), SECOND)
    assert (held(session), links(session), counts(session)) == ([1, 2], [2], (0, 0))


def test_an_answer_that_was_overtaken() -> None:
    """The update came over the air while it was asked for: the answer is no news, and no error."""
    chain = Chain()
    session = joined(chain)
    assert session.poll_fetch(REPAIR.closes_in_ms * MS) is not None
    session.handle_control(chain.seal(1, chain.message(2)), 9_000 * MS)
    session.handle_grant(chain.grant(None, chain.update(2), has_window=False), 9_100 * MS)
    assert (held(session), links(session)) == ([1, 2], [2])
    assert asks_at(session) is None


def test_a_request_that_was_overtaken_is_not_made_again() -> None:
    """No answer comes, but the update did: nothing is left to ask for."""
    chain = Chain()
    session = joined(chain)
    assert session.poll_fetch(REPAIR.closes_in_ms * MS) is not None
    session.handle_control(chain.seal(1, chain.message(2)), 9_000 * MS)
    session.handle_fetch_failed(9_100 * MS)
    assert asks_at(session) is None


@pytest.mark.parametrize("fault", ["follows nothing held", "another Ku", "two keys", "no key before"])
def test_a_grant_that_does_not_lead_on_changes_nothing(fault: str) -> None:
    """Links and updates are all read before anything of a grant counts."""
    chain, other = Chain(), Chain(seed="other")
    session = joined(chain, 1, chain.update(2))
    faulty = {
        "follows nothing held": chain.update(4),
        "another Ku": replace_update(other.update(3), b"short"),
        "two keys": other.link(2),
        "no key before": replace_update(chain.update(3), chain.update(3).update, follows=""),
    }
    before = (held(session), links(session), session.state(0))
    with pytest.raises(FormatError):
        session.handle_grant(chain.grant(None if "held" in fault else chain.link(3), faulty[fault]), SECOND)
    assert (held(session), links(session), session.state(0)) == before


def replace_update(material: KeyMaterial, update: bytes, **changes: object) -> KeyMaterial:
    """Return an update with other parts."""
    fields = {name: getattr(material, name) for name in material.__struct_fields__}
    return KeyMaterial(**{**fields, "update": update, **changes})


def test_what_a_request_names() -> None:
    """Keys held are named, but not one that leads nowhere: then its link is sent again with the update."""
    chain = Chain()
    session = joined(chain, 1, chain.update(2))
    assert [each.epoch for each in session._ring.named] == [1, 2]
    session._ring._table._retire(key_id(2))
    session._ring._drop_retired()
    assert (held(session), session._ring.named) == ([1], ())
    session.handle_grant(chain.grant(chain.link(1), chain.update(2)), SECOND)
    assert (held(session), links(session)) == ([1, 2], [2])


def test_who_missed_it_all_asks_in_the_spread() -> None:
    """The next key ID is met on the air: its packets wait, the request names what is held, none is lost."""
    chain = Chain()
    session = joined(chain)
    session.handle_data([chain.data(1, 0)], 0)
    session.handle_data([chain.data(2, number) for number in range(1, 20)], 10 * SECOND)
    request = session.poll_fetch(10 * SECOND)
    assert request is not None
    assert (request.held, request.key_id) == ((str(key_id(1)),), str(key_id(2)))
    session.handle_grant(chain.grant(chain.link(2)), 10 * SECOND + 50 * MS)
    assert (session.stats.opened, session.state(0).lost, session.stats.dropped) == (20, 0, 0)
    assert links(session) == [2]


def draws(opens_in_ms: int, closes_in_ms: int, coming: int, receivers: int = 400) -> list[float]:
    """Return in which part of a window announced after another was drawn for receivers ask, 0 to 1."""
    chain = Chain(replace(CHAIN.spec))
    parts = []
    packet = chain.seal(1, coming=coming, remaining_ms=10_000, window=(opens_in_ms, closes_in_ms))
    for seed in range(receivers):
        session = ReceiverSession(channel="news", reorder_ms=20, random=SimRandom(seed), now=0)
        assert session.poll_fetch(0) is not None
        session.handle_grant(chain.grant(chain.link(1)), 0)
        session.handle_control(packet, 0)
        at_ns = asks_at(session)
        assert at_ns is not None
        parts.append((at_ns / MS - opens_in_ms) / (closes_in_ms - opens_in_ms))
    return parts


def test_a_fresh_start_is_asked_for_in_all_of_its_window() -> None:
    """Receivers that had drawn for a repair draw anew: the requests fill the window, early half and late."""
    parts = draws(FETCH.opens_in_ms, FETCH.closes_in_ms, coming=2)
    assert all(0 <= part <= 1 for part in parts)
    assert 0.4 < sum(part < 0.5 for part in parts) / len(parts) < 0.6


def test_a_chained_key_is_asked_for_in_the_repair_window() -> None:
    """The instant drawn when joining stays, and the window is the later half."""
    parts = draws(REPAIR.opens_in_ms, REPAIR.closes_in_ms, coming=2)
    assert all(0 <= part <= 1 for part in parts)
    assert REPAIR.opens_in_ms - FETCH.opens_in_ms == (FETCH.closes_in_ms - FETCH.opens_in_ms) // 2
    assert REPAIR.closes_in_ms == FETCH.closes_in_ms


def test_the_schedule_without_notice() -> None:
    """Without a notice the repair window is the schedule's; for a fresh start that is due, the whole one."""
    chain = Chain()
    window = joined(chain)._follower.window_untold(chain.spec, 10_000)
    assert window == REPAIR
    window = joined(chain, FRESH_EPOCHS)._follower.window_untold(chain.spec, 10_000)
    assert window == FETCH
    assert joined(chain)._follower.window_untold(replace(chain.spec, schedule="fetch"), 10_000) == FETCH
