"""Shows what a sender's report changes, and what it does not."""

from dataclasses import dataclass

import pytest

from sealcast.core.errors import RefusedError
from sealcast.core.ids import Epoch, Ssrc
from sealcast.core.ports import NS_PER_MS
from sealcast.keys.policy import GRACE_MS_MAX
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import HEARD_LATELY_MS, AirReport
from sealcast.keyserver.service_air import (
    AirChange,
    check_report,
    closing,
    decide_report,
    expired,
    is_overtaken,
)
from sealcast.keyserver.values import EpochRow
from sealcast.messages.requests import AirRequest, EpochTotals

PLANNED, PUBLISHED = KeyState.PLANNED, KeyState.PUBLISHED
ACTIVE, DRAINING, RETIRED = KeyState.ACTIVE, KeyState.DRAINING, KeyState.RETIRED


def rows(*states: KeyState) -> list[EpochRow]:
    """Return epochs 1, 2, … in these states."""
    return [
        EpochRow(Epoch(i), "a", Ssrc(i), consumed=False, state=state, has_key=True, off_air_at_ms=1_000)
        for i, state in enumerate(states, start=1)
    ]


@dataclass(frozen=True)
class Case:
    """A report of `epoch` on a channel whose epochs 1, 2, … are in `states`, and what it amounts to."""

    name: str
    states: list[KeyState]
    highest: int | None
    epoch: int
    change: AirChange
    moved: dict[int, KeyState]
    ended: bool = False


CASES = [
    Case("the first start", [PUBLISHED, PLANNED], None, 1, AirChange.SWITCH, {1: ACTIVE}),
    Case("a start without key server", [PLANNED], None, 1, AirChange.SWITCH, {1: ACTIVE}),
    Case("a scheduled change", [ACTIVE, PUBLISHED], 1, 2, AirChange.SWITCH, {1: DRAINING, 2: ACTIVE}),
    Case(
        "a start that skips a published epoch",
        [ACTIVE, PUBLISHED, PLANNED],
        1,
        3,
        AirChange.SWITCH,
        {1: DRAINING, 2: RETIRED, 3: ACTIVE},
    ),
    Case("the same epoch again", [ACTIVE, PUBLISHED], 1, 1, AirChange.REFRESH, {}),
    Case("the end", [ACTIVE, PUBLISHED], 1, 1, AirChange.END, {1: DRAINING}, ended=True),
    Case("an end that was all we heard", [PUBLISHED], None, 1, AirChange.END, {1: DRAINING}, ended=True),
    Case("a late report", [DRAINING, ACTIVE], 2, 1, AirChange.STALE, {}),
    Case("a late end", [DRAINING, ACTIVE], 2, 1, AirChange.STALE, {}, ended=True),
    Case("a report after the end", [DRAINING, PUBLISHED], 1, 1, AirChange.STALE, {}),
    Case("a report of what retired", [], 1, 1, AirChange.STALE, {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_report_moves_epochs_by_the_table(case: Case) -> None:
    """Each report amounts to one kind of change and leaves each epoch in the state expected."""
    decision = decide_report(rows(*case.states), case.highest, case.epoch, ended=case.ended)
    assert decision.change is case.change
    assert {step.epoch: step.state for step in decision.steps} == case.moved


def test_drained_epochs_retire_after_the_longest_grace() -> None:
    """An epoch off air retires when no receiver may keep its key any longer, not before."""
    drained = rows(DRAINING, ACTIVE)
    assert expired(drained, 1_000 + GRACE_MS_MAX - 1) == ()
    over = expired(drained, 1_000 + GRACE_MS_MAX)
    assert [(step.epoch, step.state) for step in over] == [(1, RETIRED)]


def test_a_clock_that_was_set_back_keeps_no_key() -> None:
    """An epoch that went off air in the future, by a clock that was wrong, is over."""
    over = expired(rows(DRAINING, ACTIVE), 999)
    assert [(step.epoch, step.state) for step in over] == [(1, RETIRED)]


def test_a_run_is_overtaken_while_a_later_one_reports() -> None:
    """Neither the end, nor the same epoch, nor a later run that fell silent says that another is on air."""
    later = AirReport(Epoch(2), 1_000, 1_000, extended=False, roc=0, seq=0, received_ns=0)
    lately, long_ago = HEARD_LATELY_MS * NS_PER_MS, (HEARD_LATELY_MS + 1) * NS_PER_MS
    assert is_overtaken(report(epoch=1), later, lately)
    assert not is_overtaken(report(epoch=1), later, long_ago)
    assert not is_overtaken(report(epoch=1), None, lately)
    assert not is_overtaken(report(epoch=2), later, lately)
    assert not is_overtaken(report(epoch=1, ended=True), later, lately)


def test_removed_channel_retires_everything() -> None:
    """All epochs of a removed channel end up retired, whatever state they were in."""
    steps = closing(rows(DRAINING, ACTIVE, PUBLISHED, PLANNED))
    assert {step.epoch: step.state for step in steps} == dict.fromkeys((1, 2, 3, 4), RETIRED)


def report(**changes: object) -> AirRequest:
    """Return a sound report with some changes."""
    fields: dict[str, object] = {
        "aud": "o", "op": "on-air", "jti": "j", "nonce": "n", "channel": "news", "ssrc": 1, "epoch": 1,
        "cause": "start", "remaining_ms": 1, "lifetime_ms": 1, "extended": False, "roc": 0, "seq": 0,
        "totals": [EpochTotals(epoch=1, duration_ms=1, packets=1, bytes=1)],
    }  # fmt: skip
    return AirRequest(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"remaining_ms": -1},
        {"lifetime_ms": 2**70},
        {"seq": 65_536},
        {"roc": 2**32},
        {"ssrc": -5},
        {"epoch": 2**40},
        {"totals": [EpochTotals(epoch=1, duration_ms=1, packets=-1, bytes=1)]},
        {"totals": [EpochTotals(epoch=1, duration_ms=1, packets=1, bytes=1)] * 5_000},
    ],
)
def test_figures_out_of_range_are_refused(changes: dict[str, object]) -> None:
    """Numbers that no stream has never reach the database."""
    check_report(report())
    with pytest.raises(RefusedError, match="out of range"):
        check_report(report(**changes))
