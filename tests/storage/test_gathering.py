"""Shows what a transaction under load waits for: all that the event loop had ready, and nothing else."""

import asyncio
import socket
import threading
from collections.abc import Callable

import pytest

from sealcast.server.loops import new_loop
from sealcast.storage import gathering
from sealcast.storage.gathering import Gathering

READY = 20
WAIT_S = 20.0


@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, new_loop])
def test_all_that_is_ready_comes_first(
    make_loop: Callable[[], asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits since the first request goes on after the last that was ready, in either loop."""
    monkeypatch.setattr(gathering, "WAIT_S", WAIT_S)
    gathered, came, at_the_end = Gathering(), list[int](), list[int]()

    def writer() -> None:
        gathered.wait()
        at_the_end.append(len(came))

    async def story() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        thread = threading.Thread(target=writer)
        pairs = [socket.socketpair() for _ in range(READY)]

        def readable(number: int) -> None:
            loop.remove_reader(pairs[number][0])
            gathered.came(loop)
            came.append(number)
            if len(came) == 1:
                thread.start()
            if len(came) == READY:
                ended.set()

        for number, (ours, theirs) in enumerate(pairs):
            loop.add_reader(ours, readable, number)
            theirs.send(b"x")
        await asyncio.wait_for(ended.wait(), WAIT_S)
        await asyncio.to_thread(thread.join)
        for pair in pairs:
            for each in pair:
                each.close()

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(story())
    assert at_the_end == [READY]


def test_nobody_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first request, and when a loop has said that no other is ready, there is no wait."""
    monkeypatch.setattr(gathering, "WAIT_S", 1e6)
    gathered = Gathering()
    gathered.wait()

    async def story() -> None:
        gathered.came(asyncio.get_running_loop())
        for _ in range(gathering.LOOKS + 2):
            await asyncio.sleep(0)
        await asyncio.to_thread(gathered.wait)

    asyncio.run(story())


def test_a_loop_that_never_ends_is_not_waited_for() -> None:
    """While requests come without an end, or a loop is gone, the wait has one; another loop takes over."""
    gathered = Gathering()
    gone = asyncio.new_event_loop()
    gathered.came(gone)
    gathered.wait()
    gone.close()

    async def story() -> None:
        gathered.came(asyncio.get_running_loop())
        for _ in range(gathering.LOOKS + 2):
            await asyncio.sleep(0)

    asyncio.run(story())
    gathered.wait()
