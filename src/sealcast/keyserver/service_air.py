"""Decides what a sender's report changes: nothing, the counters, the epoch on air, or the end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from sealcast.core.ids import U32_MAX, Epoch
from sealcast.keys.policy import GRACE_MS_MAX
from sealcast.keys.table import KeyEvent, KeyState, next_state
from sealcast.keyserver.air import HEARD_LATELY_MS, AirReport
from sealcast.keyserver.values import EpochRow, refusal
from sealcast.messages.requests import AirRequest

COUNT_MAX = 2**53
"""No figure of a report comes near; a larger one is a fault, and not every JSON reader takes it."""

TOTALS_MAX = 4_096
"""Epochs in one report: a week of changes every two minutes without any answer."""


class AirChange(Enum):
    """What a report amounts to; at a LEAVE one run of several ends, and the epoch goes on."""

    LEAVE = auto()
    STALE = auto()
    REFRESH = auto()
    SWITCH = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Step:
    """One epoch moves on in its life."""

    epoch: Epoch
    event: KeyEvent
    state: KeyState


@dataclass(frozen=True, slots=True)
class AirDecision:
    """What a report amounts to, and the steps to store, in order."""

    change: AirChange
    steps: tuple[Step, ...] = ()


def decide_report(
    live: Iterable[EpochRow],
    highest_on_air: int | None,
    epoch: int,
    *,
    ended: bool,
    is_shared: bool = False,
    has_others: bool = False,
) -> AirDecision:
    """Decide on a report of `epoch`, leased to the sender; `highest_on_air` is the highest that ever was.

    A report under an older epoch, or after the end, came late: it is STALE and moves nothing. So does one of
    a run beside another (`is_shared`) under an epoch that is not on air: it puts none there. The epoch goes
    off air with the last run under it; `has_others` says that another was heard lately.
    """
    rows = tuple(live)
    row = next((each for each in rows if each.epoch == epoch), None)
    if (
        row is None
        or row.state is KeyState.DRAINING
        or (highest_on_air is not None and epoch < highest_on_air)
        or (is_shared and row.state is not KeyState.ACTIVE)
    ):
        return AirDecision(AirChange.STALE)
    if row.state is KeyState.ACTIVE:
        if not ended:
            return AirDecision(AirChange.REFRESH)
        if has_others:
            return AirDecision(AirChange.LEAVE)
        return AirDecision(AirChange.END, (_step(row.epoch, row.state, KeyEvent.SUPERSEDED),))
    steps = tuple(_switch_steps(rows, row))
    if not ended:
        return AirDecision(AirChange.SWITCH, steps)
    return AirDecision(AirChange.END, (*steps, _step(row.epoch, KeyState.ACTIVE, KeyEvent.SUPERSEDED)))


def is_overtaken(request: AirRequest, later: AirReport | None, now: int) -> bool:
    """Whether a report is of a run that another has overtaken; `later` is the last under the highest epoch.

    A run of which nothing was heard lately may have died: then this one may go on, with its next lease.
    """
    if later is None or request.ended:
        return False
    return request.epoch < later.epoch and later.age_ms(now) <= HEARD_LATELY_MS


def check_report(request: AirRequest) -> None:
    """Raise the refusal `bad-request` for figures that no stream has."""
    counts = [request.remaining_ms, request.lifetime_ms]
    for each in request.totals:
        counts += [each.duration_ms, each.packets, each.bytes]
    is_sound = (
        len(request.totals) <= TOTALS_MAX
        and all(0 <= count <= COUNT_MAX for count in counts)
        and 0 <= request.seq <= 0xFFFF
        and all(0 <= value <= U32_MAX for value in (request.roc, request.ssrc, request.epoch))
    )
    if not is_sound:
        raise refusal("bad-request", "a figure in the report is out of range")


def closing(live: Iterable[EpochRow]) -> tuple[Step, ...]:
    """Return the steps that retire every epoch of a channel that is removed."""
    steps: list[Step] = []
    for row in live:
        state = row.state
        if state is not KeyState.DRAINING:
            steps.append(_step(row.epoch, state, KeyEvent.SUPERSEDED))
            state = steps[-1].state
        if state is KeyState.DRAINING:
            steps.append(_step(row.epoch, state, KeyEvent.EXPIRED))
    return tuple(steps)


def expired(live: Iterable[EpochRow], wall_ms: int) -> tuple[Step, ...]:
    """Return the steps of epochs that have drained for as long as any receiver may keep their key.

    One that went off air in the future did so before somebody set the clock back: it is over as well.
    """
    return tuple(
        _step(row.epoch, row.state, KeyEvent.EXPIRED)
        for row in live
        if row.state is KeyState.DRAINING and not 0 <= wall_ms - (row.off_air_at_ms or 0) < GRACE_MS_MAX
    )


def _switch_steps(rows: tuple[EpochRow, ...], coming: EpochRow) -> Iterator[Step]:
    """Yield the steps of a change to `coming`: everything older is superseded, then it goes on air."""
    for row in rows:
        if row.epoch < coming.epoch and row.state is not KeyState.DRAINING:
            yield _step(row.epoch, row.state, KeyEvent.SUPERSEDED)
    yield _step(coming.epoch, coming.state, KeyEvent.ON_AIR)


def _step(epoch: Epoch, state: KeyState, event: KeyEvent) -> Step:
    return Step(epoch, event, next_state(state, event))
