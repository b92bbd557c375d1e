"""Shows, in any order of events, crashes and clocks that jump: one lives, history stands, nobody is lost."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from reception.records import HEARTBEAT_MS, Side, check_records, open_records
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.reception.manager import STALLED_NS
from sealcast.reception.service import MISSED_MAX, End, Reception, Seen
from sealcast.testing import SimClock

DEVICES, CHANNELS = ("one", "two", "three"), (1, 2)
SILENCE_NS = MISSED_MAX * HEARTBEAT_MS * NS_PER_MS
EXAMPLES, EXAMPLES_LONG = 12, 1_000
devices, channels = st.sampled_from(DEVICES), st.sampled_from(CHANNELS)
reasons = st.sampled_from(["stopped", "withdrawn", "removed"])


class AnyOrder(RuleBasedStateMachine):
    """One manager, or several over one database, and a model of who must be alive."""

    sides = 1

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SimClock()
        self.engine = open_records(Path(self.folder.name) / "records.sqlite")
        self.managers = [Side(self.engine, self.clock) for _ in range(self.sides)]
        self.over: dict[int, Reception] = {}
        self.heard: dict[tuple[str, int], int] = {}
        self.patient_until = 0
        self.ticked: int | None = None

    def teardown(self) -> None:
        """Close the database."""
        for side in self.managers:
            side.connection.close()
        self.engine.dispose()
        self.folder.cleanup()

    @rule(device=devices, channel=channels, epoch=st.integers(1, 9), at=st.integers(0, 9))
    def permit(self, device: str, channel: int, epoch: int, at: int) -> None:
        """Ask for keys, permitted: it lives then, whatever was."""
        self.managers[at % self.sides].permit(device, channel, epoch)
        self.heard[device, channel] = self.clock.monotonic_ns()
        assert (device, channel) in self.managers[0].live()

    @rule(device=devices, channel=channels, packets=st.integers(0, 99), at=st.integers(0, 9))
    def heartbeat(self, device: str, channel: int, packets: int, at: int) -> None:
        """Send a heartbeat as a subscribed device."""
        lives = self.managers[at % self.sides].heartbeat(device, channel, packets)
        assert lives == ((device, channel) in self.managers[0].live())
        if lives:
            self.heard[device, channel] = self.clock.monotonic_ns()

    @rule(device=st.none() | devices, channel=channels, reason=reasons, at=st.integers(0, 9))
    def end(self, device: str | None, channel: int, reason: str, at: int) -> None:
        """Stop, withdraw, remove a device or a channel."""
        ended = self.managers[at % self.sides].end(End(device, channel, reason))
        assert all(not each.is_live for each in ended)
        for pair in [each for each in self.heard if each[1] == channel and device in {None, each[0]}]:
            del self.heard[pair]
            assert pair not in self.managers[0].live()

    @rule(device=devices, at=st.integers(0, 9))
    def forget_device(self, device: str, at: int) -> None:
        """Remove a party."""
        self.managers[at % self.sides].end(End(device, None, "party-removed"))
        self.heard = {pair: at_ns for pair, at_ns in self.heard.items() if pair[0] != device}
        assert not {pair for pair in self.managers[0].live() if pair[0] == device}

    @rule(seconds=st.integers(1, 45))
    def pass_time(self, seconds: int) -> None:
        """Let time pass with its ticks; whoever was silent too long is closed, and nobody else."""
        for _ in range(seconds):
            self.clock.advance(NS_PER_S)
            self._tick()

    @rule(seconds=st.integers(6, 100))
    def stand_still(self, seconds: int) -> None:
        """Stop the machine for a while: nobody is closed because of it."""
        self.clock.advance(seconds * NS_PER_S)
        self._tick()

    @rule(hours=st.integers(-20_000, 20_000))
    def jump(self, hours: int) -> None:
        """Set the wall clock: nobody is closed, and nobody stays for ever."""
        self.clock.jump_wall(hours * 3_600 * NS_PER_S)
        before = self.managers[0].live()
        self._tick()
        assert self.sides > 1 or self.managers[0].live() >= before & self._fresh()

    @rule(at=st.integers(0, 9))
    def crash(self, at: int) -> None:
        """Kill a manager: all that lives gets all its time."""
        self.managers[at % self.sides].restart()
        self.ticked = None
        self._tick()

    @rule(device=devices, channel=channels)
    def undo(self, device: str, channel: int) -> None:
        """Roll back a unit of work in which a reception began and ended."""
        side = self.managers[0]
        before = side.live()
        with side.connection.begin() as transaction:
            side.manager.permit(side.connection, Seen(device, channel, "news"), side.moment())
            side.manager.end(side.connection, [End(device, channel, "removed")], side.moment().wall_ms)
            transaction.rollback()
        side.manager.on_undone()
        assert side.live() == before
        self.patient_until = self.clock.monotonic_ns() + SILENCE_NS

    @invariant()
    def history_stands(self) -> None:
        """One lives of a pair, history does not overlap, and what has ended never changes."""
        history = self.managers[-1].history()
        check_records(history)
        for each in history:
            known = self.over.get(each.number)
            assert known is None or known == each
            if not each.is_live:
                self.over[each.number] = each
        assert self.over.keys() <= {each.number for each in history}

    @precondition(lambda self: self.sides == 1)
    @invariant()
    def nobody_is_lost(self) -> None:
        """Who was heard within three intervals lives."""
        assert self._fresh() <= self.managers[0].live()

    def _fresh(self) -> set[tuple[str, int]]:
        now = self.clock.monotonic_ns()
        return {pair for pair, at_ns in self.heard.items() if now - at_ns <= SILENCE_NS}

    def _tick(self) -> None:
        now = self.clock.monotonic_ns()
        if self.ticked is None or now - self.ticked > STALLED_NS:
            self.patient_until = now + SILENCE_NS
        self.ticked = now
        for side in self.managers:
            side.tick()
        if self.sides == 1 and now > self.patient_until + NS_PER_S:
            dead = {pair for pair, at_ns in self.heard.items() if now - at_ns > SILENCE_NS + NS_PER_S}
            assert not dead & self.managers[0].live()


class TwoManagers(AnyOrder):
    """Two managers over one database."""

    sides = 2


@pytest.mark.parametrize("machine", [AnyOrder, TwoManagers])
def test_any_order(machine: type[RuleBasedStateMachine]) -> None:
    """One manager, and two that share a database, keep their word in any order of events."""
    _run(machine, EXAMPLES)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("machine", [AnyOrder, TwoManagers])
def test_any_order_at_length(machine: type[RuleBasedStateMachine]) -> None:
    """The same, long."""
    _run(machine, EXAMPLES_LONG)


def _run(machine: type[RuleBasedStateMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            # Shrinking takes longer than the story that it makes shorter.
            phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        ),
    )
