"""Shows which epoch is the first that a removed device cannot have, and what its sender hears of it."""

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.keys.table import KeyState
from sealcast.keyserver.service_fence import FIRST_EPOCH, order_for, plan_fence, plan_fresh_start
from sealcast.keyserver.values import ChannelView, EpochRow, Fence
from sealcast.messages.answers import FenceOrder

SPEC = ChannelSpec(number=ChannelNumber(7), name="news", group="239.1.2.3", port=5004)


def view(*epochs: tuple[int, KeyState]) -> ChannelView:
    """Return a channel with epochs that have keys, but for planned ones."""
    rows = tuple(
        EpochRow(Epoch(e), "a", Ssrc(e), consumed=False, state=state, has_key=state is not KeyState.PLANNED)
        for e, state in epochs
    )
    return ChannelView(SPEC, senders=(), sender_keys=(), epochs=rows)


ON_AIR = view(
    (11, KeyState.DRAINING), (12, KeyState.ACTIVE), (13, KeyState.PUBLISHED), (14, KeyState.PLANNED)
)
IDLE = view((12, KeyState.DRAINING), (13, KeyState.PUBLISHED), (14, KeyState.PLANNED))

CASES = [
    ("it had the next key", ON_AIR, 12, 13, (14, (13,), True, True)),
    ("it had only the present one", ON_AIR, 12, 12, (13, (), False, True)),
    ("it never asked", ON_AIR, 12, None, (13, (), False, True)),
    ("it received long ago", ON_AIR, 12, 3, (13, (), False, True)),
    ("nothing on air, but the next key granted", IDLE, 12, 13, (14, (13,), True, True)),
    ("nothing on air", IDLE, 12, 12, (13, (), False, False)),
    ("nothing ever", view(), None, None, (1, (), False, False)),
    (
        "its first key granted, not on air",
        view((1, KeyState.PUBLISHED)),
        None,
        1,
        (2, (1,), True, True),
    ),
]


@pytest.mark.parametrize(
    ("channel", "on_air", "granted", "plan"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_fence_of_a_removed_device(
    channel: ChannelView,
    on_air: int | None,
    granted: int | None,
    plan: tuple[int, tuple[int, ...], bool, bool],
) -> None:
    """It is beyond all that is, was or was granted; senders hear of it if that skips a key, or at once."""
    for is_urgent in (False, True):
        made = plan_fence(channel, on_air, granted, is_urgent=is_urgent, window_ms=3_000)
        assert (made.epoch, made.skipped) == plan[:2]
        expected = Fence(made.epoch, is_urgent, 3_000) if plan[2 + is_urgent] else None
        assert made.fence == expected


def chain(on_air: int | None, *epochs: tuple[int, int | None, int]) -> ChannelView:
    """Return a chain as (epoch, what it follows, its next fresh start), all published but that on air."""
    rows = tuple(
        EpochRow(
            epoch=Epoch(epoch),
            sender="a",
            ssrc=Ssrc(epoch),
            consumed=epoch == on_air,
            state=KeyState.ACTIVE if epoch == on_air else KeyState.PUBLISHED,
            has_key=True,
            follows=None if follows is None else Epoch(follows),
            fresh_at=Epoch(fresh_at),
        )
        for epoch, follows, fresh_at in epochs
    )
    return ChannelView(SPEC, senders=(), sender_keys=(), epochs=rows)


ALONE, TWO = chain(12, (12, 11, 16)), chain(12, (12, 11, 16), (13, 12, 16))
THREE = chain(12, (12, 11, 16), (13, 12, 16), (14, 13, 16))
FRESH = chain(12, (12, 11, 13), (13, None, 19))
CHAIN_CASES = [
    ("it can follow to the next", TWO, 12, (16,), (14, (13,), True, True)),
    ("it joined long ago", TWO, 3, (16,), (14, (13,), True, True)),
    ("nothing is published", ALONE, 12, (16,), (13, (), True, True)),
    ("two are published", THREE, 12, (16,), (15, (13, 14), True, True)),
    ("the next is a fresh start", FRESH, 12, (13,), (13, (), True, True)),
    ("it has the fresh start too", FRESH, 13, (13, 19), (14, (13,), True, True)),
    ("of an earlier chain only", TWO, 9, (10,), (13, (), False, True)),
    ("it never asked", TWO, None, (), (13, (), False, True)),
    ("off the air, the next is published", chain(None, (13, 12, 16)), 12, (16,), (14, (13,), True, True)),
]


@pytest.mark.parametrize(
    ("channel", "granted", "chains", "plan"),
    [case[1:] for case in CHAIN_CASES],
    ids=[c[0] for c in CHAIN_CASES],
)
def test_the_fence_of_a_device_that_can_follow(
    channel: ChannelView,
    granted: int | None,
    chains: tuple[int, ...],
    plan: tuple[int, tuple[int, ...], bool, bool],
) -> None:
    """It is beyond all that its chains reach, and its sender hears of it whenever one of them is on air.

    No key that is published follows across an urgent fence either, whoever it is for.
    """
    for is_urgent in (False, True):
        ends = frozenset(Epoch(end) for end in chains)
        made = plan_fence(channel, 12, granted, is_urgent=is_urgent, window_ms=3_000, chains=ends)
        is_needed = plan[2 + is_urgent]
        if plan[2] or not is_urgent:
            assert (made.epoch, made.skipped) == plan[:2]
        assert (made.fence is not None) is is_needed
        crossing = [
            row.epoch
            for row in channel.epochs
            if row.follows is not None and row.epoch >= made.epoch > row.follows
        ]
        assert not (is_needed and crossing)


@pytest.mark.parametrize(
    ("channel", "on_air", "expected"),
    [
        (TWO, 12, (14, (13,), True)),
        (FRESH, 12, (14, (13,), True)),
        (ALONE, 12, (13, (), True)),
        (chain(None, (1, None, 7)), None, (2, (1,), True)),
        (view((12, KeyState.DRAINING)), 12, (13, (), False)),
        (view(), None, (FIRST_EPOCH, (), False)),
    ],
)
def test_a_commanded_fresh_start(
    channel: ChannelView, on_air: int | None, expected: tuple[int, tuple[int, ...], bool]
) -> None:
    """Every key that is made already is skipped, also a fresh start; with none there is nothing to order."""
    made = plan_fresh_start(channel, on_air, is_urgent=True, window_ms=3_000)
    assert (made.epoch, made.skipped, made.fence is not None) == expected
    if made.fence is not None:
        assert made.fence == Fence(made.epoch, is_urgent=True, window_ms=3_000, is_commanded=True)


def test_all_fences_ahead_are_one_order() -> None:
    """The highest of them, urgent if one is, with the longest window; nothing once all are reached."""
    fences = [
        Fence(Epoch(4), is_urgent=True, window_ms=2_000),
        Fence(Epoch(5), is_urgent=False, window_ms=3_000),
    ]
    assert order_for(fences, 3) == FenceOrder(epoch=5, window_ms=3_000, urgent=True)
    assert order_for(fences, 4) == FenceOrder(epoch=5, window_ms=3_000, urgent=False)
    assert order_for(fences, 5) is None
