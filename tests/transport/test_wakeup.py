"""Tests of transport.wakeup: one timer that calls back when told, with and without timer descriptors."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from sealcast.core.ports import NS_PER_MS
from sealcast.transport import linux
from sealcast.transport.system import SystemClock
from sealcast.transport.wakeup import WakeUp

CLOCK = SystemClock()


@pytest.fixture(params=["as it is", linux.PORTABLE], autouse=True)
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with what the system has, and with what every system has."""
    monkeypatch.setenv(linux.MODE_VARIABLE, request.param)


Story = Callable[[WakeUp, list[int]], Coroutine[None, None, None]]


def tell(story: Story) -> list[int]:
    """Run a story in a loop of its own; return when the timer called."""

    async def run() -> list[int]:
        calls: list[int] = []
        wake_up = WakeUp(asyncio.get_running_loop(), lambda: calls.append(CLOCK.monotonic_ns()))
        async with asyncio.timeout(30):
            await story(wake_up, calls)
        wake_up.close()
        wake_up.close()
        return calls

    return asyncio.run(run())


async def until(calls: list[int], count: int) -> None:
    """Return when there were so many calls, or after 5 s."""
    for _ in range(5_000):
        if len(calls) < count:
            await asyncio.sleep(0.001)


def test_it_calls_back_once_and_not_too_early() -> None:
    """One call follows each `set`, not before its time."""

    async def story(wake_up: WakeUp, calls: list[int]) -> None:
        begun_ns = CLOCK.monotonic_ns()
        wake_up.set(5 * NS_PER_MS)
        await until(calls, 1)
        assert calls[0] - begun_ns >= 5 * NS_PER_MS
        await asyncio.sleep(0.02)
        wake_up.set(0)
        await until(calls, 2)
        await asyncio.sleep(0.02)

    assert len(tell(story)) == 2


def test_the_last_word_counts() -> None:
    """What was set before is forgotten, sooner or later than what is set now."""

    async def story(wake_up: WakeUp, calls: list[int]) -> None:
        wake_up.set(5 * NS_PER_MS)
        wake_up.set(60_000 * NS_PER_MS)
        await asyncio.sleep(0.03)
        assert not calls
        wake_up.set(NS_PER_MS)
        await until(calls, 1)

    assert len(tell(story)) == 1


def test_a_closed_one_does_not_call() -> None:
    """Nothing is called after `close`."""

    async def story(wake_up: WakeUp, _: list[int]) -> None:
        wake_up.set(NS_PER_MS)
        wake_up.close()
        await asyncio.sleep(0.01)

    assert not tell(story)
