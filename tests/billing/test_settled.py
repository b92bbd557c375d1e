"""Shows when an epoch is over for good, and that its parts add up to what was reported, at any time."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.billing.air import Aired
from sealcast.billing.settled import SILENT_MS, Heard, first_part, is_settled, next_part

SETTLE_MS = 15_000
OVER = Heard(7, 42, "schedule", None, 1_000, 601_000, 0, 600_000, 9_000, 90)
"""On air from 1 s to 601 s by the key server's clock, and 600 s by its sender's."""

ON_AIR = replace(OVER, over_at_ms=None, heard_at_ms=300_000, duration_ms=298_000)


@pytest.mark.parametrize(
    ("heard", "wall_ms", "expected"),
    [
        (OVER, 601_000, False),
        (OVER, 615_999, False),
        (OVER, 616_000, True),
        (OVER, 600_999, True),  # Somebody has set the clock back since.
        (ON_AIR, 300_000, False),
        (ON_AIR, 299_999 + SILENT_MS, False),
        (ON_AIR, 300_000 + SILENT_MS, True),
    ],
)
def test_when_an_epoch_is_settled(heard: Heard, wall_ms: int, *, expected: bool) -> None:
    """Off air for as long as its sender needs to say the rest; on air, once it is silent for ten minutes."""
    assert is_settled(heard, wall_ms, SETTLE_MS) is expected


@pytest.mark.parametrize(
    ("heard", "start_ms", "end_ms"),
    [
        (OVER, 1_000, 601_000),
        (replace(OVER, duration_ms=650_000), 1_000, 601_000),  # Two runs side by side, or a faster clock.
        (replace(OVER, duration_ms=240_000), 1_000, 241_000),  # It crashed; another run came later.
        (replace(OVER, duration_ms=0), 1_000, 1_000),
        (replace(OVER, on_air_at_ms=None), 601_000, 601_000),  # The server heard of it when it was over.
        (replace(OVER, over_at_ms=500), 1_000, 1_000),  # The clock was set back while it was on air.
        (ON_AIR, 1_000, 299_000),
        (replace(ON_AIR, duration_ms=900_000), 1_000, 300_000),
    ],
)
def test_from_when_to_when(heard: Heard, start_ms: int, end_ms: int) -> None:
    """Within what the server heard, and no longer than the sender says."""
    part = first_part(heard)
    assert (part.start_ms, part.end_ms) == (start_ms, end_ms)
    assert (part.bytes, part.packets) == (9_000, 90)
    assert part.cause == "schedule"
    assert first_part(replace(heard, cause=None)).cause == "unreported"


@given(
    st.lists(
        st.tuples(st.integers(0, 700_000), st.integers(0, 10**6), st.integers(0, 10**4)),
        min_size=1,
        max_size=8,
    )
)
def test_parts_add_up_to_what_was_reported(reports: list[tuple[int, int, int]]) -> None:
    """Whenever parts are made while totals rise: they follow each other, and nothing is counted twice."""
    parts: list[Aired] = []
    figures = (0, 0, 0)
    for report in reports:
        figures = tuple(max(pair) for pair in zip(figures, report, strict=True))  # type: ignore[assignment]
        heard = replace(OVER, duration_ms=figures[0], bytes=figures[1], packets=figures[2])
        part = next_part(heard, parts) if parts else replace(first_part(heard), turn=41)
        if part is not None:
            parts.append(part)
            assert next_part(heard, parts) is None
    at_once = first_part(heard)
    assert [part.part for part in parts] == [*range(1, len(parts) + 1)]
    assert {part.turn for part in parts} == {41}
    assert sum(part.bytes for part in parts) == at_once.bytes
    assert sum(part.packets for part in parts) == at_once.packets
    assert parts[0].start_ms == at_once.start_ms
    assert parts[-1].end_ms == at_once.end_ms
    assert all(before.end_ms == after.start_ms for before, after in pairwise(parts))
