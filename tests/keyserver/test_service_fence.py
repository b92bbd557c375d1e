"""Shows which epoch is the first that a removed device cannot have, and what its sender hears of it."""

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.keys.table import KeyState
from sealcast.keyserver.service_fence import order_for, plan_fence
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


def test_all_fences_ahead_are_one_order() -> None:
    """The highest of them, urgent if one is, with the longest window; nothing once all are reached."""
    fences = [
        Fence(Epoch(4), is_urgent=True, window_ms=2_000),
        Fence(Epoch(5), is_urgent=False, window_ms=3_000),
    ]
    assert order_for(fences, 3) == FenceOrder(epoch=5, window_ms=3_000, urgent=True)
    assert order_for(fences, 4) == FenceOrder(epoch=5, window_ms=3_000, urgent=False)
    assert order_for(fences, 5) is None
