"""Which of several runs leads, what a report of one of them changes, and which next keys are given."""

import pytest

from sealcast.core.ids import ChannelNumber, Epoch, Ssrc
from sealcast.core.ports import NS_PER_S
from sealcast.keys.table import KeyState
from sealcast.keyserver.air import AirReport, AirState
from sealcast.keyserver.service_air import AirChange, decide_report
from sealcast.keyserver.service_keys import choose_epochs
from sealcast.keyserver.service_share import shared_air
from sealcast.keyserver.values import ChannelView, EpochRow
from simulation.parts import CHANNEL, make_spec

NUMBER = ChannelNumber(CHANNEL)
NOW = 100 * NS_PER_S


def row(epoch: int, state: KeyState, sender: str = "one", *, consumed: bool = False) -> EpochRow:
    """Return an epoch whose key is held."""
    return EpochRow(Epoch(epoch), sender, Ssrc(epoch), consumed=consumed, state=state, has_key=True)


def view(*rows: EpochRow) -> ChannelView:
    """Return a channel with these epochs."""
    return ChannelView(make_spec(), ("one", "two"), (), rows)


def heard(ssrc: int, age_s: int, *, shared: bool, epoch: int = 3) -> tuple[Ssrc, AirReport]:
    """Return a report that came so long ago."""
    received_ns = NOW - age_s * NS_PER_S
    return Ssrc(ssrc), AirReport(Epoch(epoch), 1_000, 2_000, False, 0, 0, received_ns, is_shared=shared)


def leads(ssrc: int | None, *reports: tuple[Ssrc, AirReport]) -> tuple[int, bool]:
    """Return how many others a run is told of, and whether it leads."""
    air = AirState()
    for one, report in reports:
        air.note(NUMBER, one, report)
    _, living, lead = shared_air(view(row(3, KeyState.ACTIVE, consumed=True)), air, ssrc, NOW)
    return living, lead


def test_the_run_whose_epoch_it_is_leads() -> None:
    """While it is heard, nobody else does; it does itself."""
    own, beside = heard(9, 1, shared=False), heard(5, 1, shared=True)
    assert leads(5, own, beside) == (1, False)
    assert leads(None, own, beside) == (2, False)


def test_when_it_is_gone_the_lowest_ssrc_leads() -> None:
    """Of two beside it one is told, and a watcher never."""
    gone, one, two = heard(9, 16, shared=False), heard(5, 1, shared=True), heard(7, 1, shared=True)
    assert leads(5, gone, one, two) == (1, True)
    assert leads(7, gone, one, two) == (1, False)
    assert leads(None, gone, one, two) == (2, False)


def test_with_nobody_on_air_whoever_asks_leads() -> None:
    """A start of its own is what it makes of it."""
    assert shared_air(view(), AirState(), 5, NOW)[1:] == (0, True)
    assert shared_air(view(), AirState(), None, NOW)[1:] == (0, False)


@pytest.mark.parametrize("state", [KeyState.PLANNED, KeyState.PUBLISHED, KeyState.DRAINING])
def test_a_run_beside_puts_nothing_on_air(state: KeyState) -> None:
    """Its report of an epoch that is not on air moves nothing."""
    found = decide_report([row(3, state)], None, 3, ended=False, is_shared=True)
    assert found.change is AirChange.STALE


def test_an_epoch_ends_with_its_last_run() -> None:
    """One of two leaves; the last one takes the channel off air, whosever epoch it is."""
    rows = [row(3, KeyState.ACTIVE, consumed=True)]
    assert decide_report(rows, 3, 3, ended=True, has_others=True).change is AirChange.LEAVE
    assert decide_report(rows, 3, 3, ended=True, has_others=True).steps == ()
    assert decide_report(rows, 3, 3, ended=True, is_shared=True).change is AirChange.END


def test_one_run_is_dropped_and_the_others_stay() -> None:
    """What is known of the others is kept."""
    air = AirState()
    for ssrc, report in (heard(5, 1, shared=True), heard(9, 1, shared=False)):
        air.note(NUMBER, ssrc, report)
    air.drop(NUMBER, Ssrc(9))
    assert list(air.runs(NUMBER, Epoch(3))) == [5]
    air.drop(NUMBER, Ssrc(9))


def test_the_next_key_of_each_of_two_senders_is_given() -> None:
    """The one that leads may be gone, with a key published that never comes; two at most."""
    rows = [
        row(3, KeyState.ACTIVE, consumed=True),
        row(4, KeyState.PUBLISHED),
        row(5, KeyState.PUBLISHED),
        row(17, KeyState.PUBLISHED, "two"),
        row(18, KeyState.PUBLISHED, "two"),
        row(33, KeyState.PUBLISHED, "three"),
    ]
    assert choose_epochs(view(*rows)) == (3, 4, 17)
    assert choose_epochs(view(*rows[:3])) == (3, 4)
