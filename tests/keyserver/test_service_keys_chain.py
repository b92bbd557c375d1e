"""Shows what a grant says of chained keys: C or Ku alone, its chain, and the window to ask in."""

import pytest

from sealcast.core.channel import ChannelSpec, ScheduleKind
from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.keys.material import Tek
from sealcast.keys.schedule import ChainSchedule
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport
from sealcast.keyserver.service_keys import OnAir, expects_chained, make_grant
from sealcast.keyserver.values import ChannelView, EpochRow, Fence
from sealcast.messages.answers import ChainGrant, Grant, KeyMaterial
from sealcast.messages.material import key_material, update_material
from sealcast.transport.system import SystemRandom

NEWS = ChannelNumber(7)
SPEC = ChannelSpec(
    NEWS, "news", "239.1.2.3", 5004, lifetime_ms=100_000, schedule=ScheduleKind.CHAIN, fresh_every_ms=600_000
)
SCHEDULE = ChainSchedule(SPEC.suite, SystemRandom(), fresh_epochs=SPEC.fresh_epochs)
ON_AIR = AirReport(Epoch(1), 60_000, 100_000, extended=False, roc=0, seq=1, received_ns=0)


def key_id(epoch: int) -> KeyId:
    """Return a key ID of the channel."""
    return KeyId(NEWS, Epoch(epoch))


def make_chain(*epochs: int, fresh: tuple[int, ...] = ()) -> dict[Epoch, Tek]:
    """Return keys, each following from the one before but those in `fresh`."""
    teks: dict[Epoch, Tek] = {}
    before: Tek | None = None
    for epoch in epochs:
        before = SCHEDULE.make(key_id(epoch), before, is_fresh=epoch in fresh).tek
        teks[Epoch(epoch)] = before
    return teks


def view(teks: dict[Epoch, Tek], on_air: int | None, *fences: int) -> ChannelView:
    """Return a channel with these keys, those behind the one on air published."""
    rows = []
    for epoch, tek in teks.items():
        assert tek.origin is not None
        follows = tek.origin.follows
        rows.append(
            EpochRow(
                epoch=epoch,
                sender="a",
                ssrc=Ssrc(epoch),
                consumed=epoch == on_air,
                state=KeyState.ACTIVE if epoch == on_air else KeyState.PUBLISHED,
                has_key=True,
                follows=None if follows is None else follows.epoch,
                fresh_at=tek.origin.fresh_at,
            )
        )
    ahead = tuple(Fence(Epoch(fence), is_urgent=False, window_ms=2_000) for fence in fences)
    return ChannelView(SPEC, senders=(), sender_keys=(), epochs=tuple(rows), fences=ahead)


def grant(
    seen: ChannelView,
    teks: dict[Epoch, Tek],
    *given: int,
    held: tuple[int, ...] = (),
    first: int | None = None,
) -> Grant:
    """Return the grant of some keys to a device that holds others."""
    report = ON_AIR if seen.on_air is not None else None
    return make_grant(
        seen,
        OnAir(report, {}),
        {Epoch(epoch): teks[Epoch(epoch)] for epoch in given},
        jti="j",
        key_servers=(),
        audience=0,
        now=0,
        held={key_id(epoch) for epoch in held},
        first_epoch=None if first is None else Epoch(first),
    )


def sent(made: Grant) -> list[KeyMaterial]:
    """Return the keys of a grant as they are sent."""
    return [each.material for each in made.keys]


def test_a_coming_key_is_its_update_if_that_is_enough() -> None:
    """It is for who gets or holds the key before; the one on air, and one after a gap, come with their C."""
    teks = make_chain(1, 2, 3)
    seen = view(teks, 1)
    one, two, three = (key_material(tek) for tek in teks.values())
    ku_two, ku_three = update_material(teks[Epoch(2)]), update_material(teks[Epoch(3)])
    assert sent(grant(seen, teks, 1, 2)) == [one, ku_two]
    assert sent(grant(seen, teks, 1, 2, 3)) == [one, ku_two, ku_three]
    assert sent(grant(seen, teks, 2, held=(1,))) == [ku_two]
    assert sent(grant(seen, teks, 2, held=(9,))) == [two]
    assert sent(grant(seen, teks, 3, held=(1,))) == [three]
    assert sent(grant(view(teks, 2), teks, 2, held=(1,))) == [two]
    assert sent(grant(view(teks, None), teks, 1, 2)) == [one, ku_two]


def test_a_key_whose_link_is_gone_leads_to_none() -> None:
    """An epoch off the air is given without C, in a repeat; what follows it comes with its own."""
    teks = make_chain(1, 2)
    two = key_material(teks[Epoch(2)])
    origin = teks[Epoch(1)].origin
    assert origin is not None
    origin.erase()
    off, coming = sent(grant(view(teks, None), teks, 1, 2))
    assert (off.key, off.link) == (teks[Epoch(1)].key.reveal(), b"")
    assert coming == two


def test_the_chain_is_that_of_the_first_key() -> None:
    """Its first epoch is the device's own, earlier than this grant if it was granted the chain before."""
    teks = make_chain(1, 2, 3, fresh=(3,))
    seen = view(teks, 2)
    assert grant(seen, teks, 2).chain == ChainGrant(first_epoch=2, fresh_at=7)
    assert grant(seen, teks, 2, 3, first=1).chain == ChainGrant(first_epoch=1, fresh_at=7)
    assert grant(seen, teks, 3, held=(2,)).chain == ChainGrant(first_epoch=3, fresh_at=9)
    assert grant(seen, teks).chain is None


@pytest.mark.parametrize(
    ("epochs", "fresh", "on_air", "fences", "is_chained"),
    [
        ((1,), (), 1, (), True),
        ((1, 2), (), 1, (), True),
        ((1, 2), (2,), 1, (), False),
        ((1, 2, 3, 4, 5, 6), (), 6, (), False),
        ((1, 2), (), 1, (3,), False),
        ((1, 2, 3), (3,), 1, (3,), False),
        ((1, 2), (), None, (), False),
    ],
    ids=["not yet", "it follows", "fresh", "at T2", "fence", "behind a fence", "nothing on air"],
)
def test_the_window_is_for_repairs_where_the_next_key_follows(
    epochs: tuple[int, ...],
    fresh: tuple[int, ...],
    on_air: int | None,
    fences: tuple[int, ...],
    *,
    is_chained: bool,
) -> None:
    """A fresh start that is known, or certain to come, has the whole fetch window: all will ask for it."""
    teks = make_chain(*epochs, fresh=fresh)
    seen = view(teks, on_air, *fences)
    assert expects_chained(seen) is is_chained
    window = grant(seen, teks, *epochs[-1:]).window
    if on_air is None:
        assert window is None
    else:
        assert window is not None
        assert window.closes_in_ms - window.opens_in_ms == (10_000 if is_chained else 20_000)
