"""Shows the life of one channel among many: its failures are counted, and end nothing else."""

import asyncio

import pytest

from sealcast.core.errors import UsageError
from sealcast.gateway.keeper import Keeper, State, keep_all
from sealcast.gateway.restart import Restart
from sealcast.testing import SimClock, SimRandom


class Work:
    """What a keeper runs: a list of outcomes, the last one for ever."""

    def __init__(self, *outcomes: str | Exception) -> None:
        self.outcomes = list(outcomes)
        self.runs = 0
        self.third = asyncio.Event()

    async def __call__(self) -> str:
        """Give the next outcome."""
        self.runs += 1
        if self.runs == 3:
            self.third.set()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the waits between starts take a millisecond at most."""
    monkeypatch.setattr("sealcast.gateway.restart.FIRST_WAIT_NS", 1_000_000)
    monkeypatch.setattr("sealcast.gateway.restart.WAIT_NS_MAX", 1_000_000)


def keeper(work: Work, restart: Restart) -> Keeper:
    """Return a keeper of a channel."""
    return Keeper("news", work, restart, SimClock(), SimRandom("keeper"))


def test_it_starts_again_until_its_stream_ends() -> None:
    """Failures of ours and of the program itself are counted; the end of the stream is the end."""
    work = Work(UsageError("no input yet"), ZeroDivisionError("a bug"), "end of input")
    kept = keeper(work, "on-failure")
    asyncio.run(kept.keep(asyncio.Event()))
    assert (kept.state, kept.starts, kept.failures, kept.ended_by) == (State.ENDED, 3, 2, "end of input")
    assert kept.last_failure == "internal error, please report it: ZeroDivisionError: a bug"


def test_one_that_is_not_to_start_again_has_failed() -> None:
    """With `never` the first failure is the end, and says why."""
    kept = keeper(Work(UsageError("no input")), "never")
    asyncio.run(kept.keep(asyncio.Event()))
    assert (kept.state, kept.starts, kept.last_failure) == (State.FAILED, 1, "no input")


def test_one_that_waits_can_be_stopped() -> None:
    """Told to stop while it waits for its next start, a channel ends."""

    async def story() -> Keeper:
        stop, work = asyncio.Event(), Work("end of input")
        kept = keeper(work, "always")
        keeping = asyncio.create_task(kept.keep(stop))
        await work.third.wait()
        stop.set()
        await keeping
        return kept

    kept = asyncio.run(story())
    assert (kept.state, kept.failures) == (State.ENDED, 0)


def test_a_run_that_had_not_begun_ends_when_told() -> None:
    """A sender that is told to stop before its lease cancels itself: that is no failure."""

    async def story() -> Keeper:
        stop = asyncio.Event()

        async def run() -> str:
            stop.set()
            raise asyncio.CancelledError

        kept = Keeper("news", run, "always", SimClock(), SimRandom("keeper"))
        await kept.keep(stop)
        return kept

    kept = asyncio.run(story())
    assert (kept.state, kept.ended_by) == (State.ENDED, "stopped")


def test_a_failure_ends_no_other_channel() -> None:
    """Of many, each runs to its own end."""
    works = [Work("end of input"), Work(ZeroDivisionError("a bug")), Work(UsageError("x"), "end of input")]
    keepers = [
        keeper(work, restart) for work, restart in zip(works, ("never", "never", "on-failure"), strict=True)
    ]
    asyncio.run(keep_all(keepers, asyncio.Event()))
    assert [kept.state for kept in keepers] == [State.ENDED, State.FAILED, State.ENDED]
