"""Shows which fetch window comes with the event that a channel's next key is published."""

import pytest

from sealcast.core.channel import ChannelSpec
from sealcast.core.ids import ChannelNumber, Epoch, KeyId, Ssrc
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import SPREAD_MS_MAX
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport, AirState
from sealcast.keyserver.notices import key_change
from sealcast.keyserver.values import ChannelView, EpochRow, Fence

NUMBER = ChannelNumber(7)
SPEC = ChannelSpec(number=NUMBER, name="news", group="239.1.2.3", port=5004)
"""Keys live 600 s; receivers fetch from 150 s to 30 s before the change."""

NOW = 50_000 * NS_PER_MS


def window(
    *fences: Fence, remaining_ms: int | None, epoch: int = 13, is_chained: bool = False
) -> tuple[int, int]:
    """Return the window told for a key, 2 s after a report that so much of the epoch is left."""
    air = AirState()
    rows: tuple[EpochRow, ...] = ()
    if remaining_ms is not None:
        rows = (EpochRow(Epoch(12), "a", Ssrc(1), consumed=True, state=KeyState.ACTIVE, has_key=True),)
        report = AirReport(
            Epoch(12),
            remaining_ms + 2_000,
            600_000,
            extended=False,
            roc=0,
            seq=1,
            received_ns=NOW - 2 * 10**9,
        )
        air.note(NUMBER, Ssrc(1), report)
    view = ChannelView(SPEC, senders=("a",), sender_keys=(), epochs=rows, fences=fences)
    event = key_change(view, air, KeyId(NUMBER, Epoch(epoch)), NOW, is_chained=is_chained)
    assert (event.kind, event.channel, event.key_id) == ("key-change", 7, f"00000007{epoch:08x}")
    return event.opens_in_ms, event.closes_in_ms


@pytest.mark.parametrize(
    ("remaining_ms", "expected"),
    [(300_000, (150_000, 270_000)), (100_000, (0, 70_000)), (0, (0, 0)), (None, (0, SPREAD_MS_MAX))],
)
def test_the_window_counts_from_now(remaining_ms: int | None, expected: tuple[int, int]) -> None:
    """It ends before the change that the last report foretold; with nothing on air it is short, from now."""
    assert window(remaining_ms=remaining_ms) == expected


def test_a_hurried_key_has_the_window_of_its_fence() -> None:
    """A sender that changes at once gives receivers the fence's time; other keys stay at theirs."""
    urgent = Fence(Epoch(13), is_urgent=True, window_ms=3_000)
    assert window(urgent, remaining_ms=300_000) == (0, 2_400)
    assert window(urgent, remaining_ms=1_000) == (0, 800)
    assert window(Fence(Epoch(13), is_urgent=False, window_ms=3_000), remaining_ms=300_000) == (
        150_000,
        270_000,
    )
    assert window(Fence(Epoch(14), is_urgent=True, window_ms=3_000), remaining_ms=300_000) == (
        150_000,
        270_000,
    )


def test_a_chained_key_is_asked_for_by_those_who_missed_its_update() -> None:
    """Its update comes over the air in the first half of the window: the other half is for repairs."""
    assert window(remaining_ms=300_000, is_chained=True) == (210_000, 270_000)
