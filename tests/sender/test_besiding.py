"""A run beside others: when it asks, whom it follows, and when it makes the keys itself."""

from sealcast.core.ids import Epoch
from sealcast.keys.lease import Lease
from sealcast.messages.answers import FenceOrder
from sealcast.sender.actions import ConsumeSlot, PublishKey, ReportAir, ShareKeys
from sealcast.sender.beside import SharedKeys
from sealcast.sender.besiding import ALONE_NS
from sealcast.sender.session import SenderSession
from sealcast.testing import SimRandom
from simulation.parts import MS, SECOND, SIGNER, answer, make_key, make_slots, make_spec, media, seal

SPEC = make_spec(10_000)
NOBODY = SharedKeys(None, 0, 10_000, False, None, False, 0, True)


def beside(first_slot: int = 17) -> SenderSession:
    """Return a session that has done nothing yet."""
    return SenderSession(
        spec=SPEC,
        lease=Lease(make_slots(first_slot, 16)),
        known={},
        sign=SIGNER.sign,
        key_servers=(),
        random=SimRandom("beside"),
        now=0,
        first_seq=0,
        is_beside=True,
    )


def shared(
    epoch: int,
    remaining_ms: int = 8_000,
    *,
    following: int | None = None,
    living: int = 1,
    lead: bool = False,
) -> SharedKeys:
    """Return what is told of an epoch that another run is on air under."""
    coming = None if following is None else Epoch(following)
    return SharedKeys(make_key(epoch), remaining_ms, 10_000, False, coming, False, living, lead)


def run(session: SenderSession, now: int, told: SharedKeys) -> list[object]:
    """Answer all that it asks for now, questions for the others' keys with `told`; return the rest."""
    asked: list[object] = []
    while (action := session.poll_action(now)) is not None:
        if isinstance(action, ShareKeys):
            session.handle_shared(told, now)
            continue
        asked.append(action)
        answer(session, action, now, next_slot=100)
    return asked


def test_it_is_on_air_under_the_others_key_and_its_own_ssrc() -> None:
    """Its slot is recorded before; the report says that the epoch is shared, and tells no totals of it."""
    session = beside()
    asked = run(session, 0, shared(3))
    assert session.is_on_air
    assert (session.state(0).epoch, session.ssrc) == (3, 0x5EA10000 + 17)
    assert ConsumeSlot(Epoch(17)) in asked
    assert not any(isinstance(each, PublishKey) for each in asked)
    (report,) = [each for each in asked if isinstance(each, ReportAir)]
    assert (report.shared, report.totals, report.epoch) == (True, (), 3)
    assert seal(session, media(1), 0)[0].endswith(make_key(3).key_id.pack())


def test_its_slots_up_to_the_others_epoch_are_burned() -> None:
    """Should it lead, its epoch lies behind."""
    session = beside(first_slot=1)
    asked = run(session, 0, shared(9))
    assert ConsumeSlot(Epoch(9)) in asked
    assert session.lease.slots[0].epoch == 10


def test_it_changes_when_the_other_did() -> None:
    """It asks once a second, five times near the change, and goes over when it is told of it."""
    session = beside()
    run(session, 0, shared(3, 1_000, following=4))
    told = session.told(0)
    assert told is not None
    assert told.next is not None
    assert (told.next.key_id.epoch, told.next.switch_in_ms) == (4, 1_000)
    assert session.next_timeout(0) <= 200 * MS
    run(session, 900 * MS, shared(3, 100, following=4))
    assert session.state(900 * MS).epoch == 3
    run(session, 1_200 * MS, shared(4, 9_900))
    assert session.state(1_200 * MS).epoch == 4


def test_told_to_lead_it_makes_the_next_key() -> None:
    """The other is gone: its own next slot comes behind the epoch on air, in time."""
    session = beside()
    run(session, 0, shared(3, 8_000))
    asked = run(session, 4 * SECOND, shared(3, 4_000, living=1, lead=True))
    published = [each.tek.key_id.epoch for each in asked if isinstance(each, PublishKey)]
    assert published == [18]


def test_nobody_on_air() -> None:
    """It starts by itself, as any run does, with the slot that made its SSRC."""
    session = beside()
    asked = run(session, 0, NOBODY)
    assert [each.tek.key_id.epoch for each in asked if isinstance(each, PublishKey)] == [17]
    assert session.state(0).epoch == 17


def test_without_a_key_server_it_starts_by_itself_in_the_end() -> None:
    """As any run with slots left does; until then it waits for an answer."""
    session = beside()
    for now in range(0, ALONE_NS + 8 * SECOND, 100 * MS):
        while (action := session.poll_action(now)) is not None:
            if isinstance(action, ConsumeSlot):
                session.handle_consumed(action.epoch, now)
            else:
                session.handle_failed(action, now)
        assert now >= ALONE_NS or not session.is_on_air
    assert session.state(ALONE_NS).epoch == 17


def test_a_fence_that_the_other_did_not_live_to_obey() -> None:
    """It is kept, and obeyed as soon as this run leads."""
    session = beside()
    run(session, 0, shared(3))
    session._epochs.handle_fence(FenceOrder(epoch=20, window_ms=2_000, urgent=True), SECOND)
    assert session.state(SECOND).next_epoch is None
    run(session, 2 * SECOND, shared(3, 6_000, living=0, lead=True))
    assert session.state(2 * SECOND).next_epoch == 20
