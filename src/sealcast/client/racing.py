"""Owns asking one server after the other for the same thing, without waiting long for one that is mute.

```
ask A ──fails──────────► ask B at once
   └── no word within the patience ──► ask B as well ──► the first answer counts, the others are called off
```
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sealcast.core.errors import SealcastError

Answer = TypeVar("Answer")

AT_ONCE_MAX = 3
"""Servers asked at one time for one answer; for another one the first of them is given up."""


class ServerFault(Exception):  # noqa: N818 - it carries an error, and never leaves the client
    """A server did not do its part, and another may: `error` says what happened."""

    def __init__(self, error: SealcastError) -> None:
        super().__init__(str(error))
        self.error = error


async def first_answer(
    servers: Sequence[str],
    ask: Callable[[str], Coroutine[Any, Any, Answer]],
    mute: Callable[[str], None],
    patience_s: float | None,
) -> Answer:
    """Ask in turn until one answers, and return that; without patience each is waited for to its end.

    `ask` raises ServerFault where the next server is to be asked; any other error is an answer too. `mute` is
    called with servers that were overtaken or given up. Raises the last ServerFault if none is left.
    """
    if len(servers) == 1:
        return await ask(servers[0])
    waiting, running = list(servers), dict[asyncio.Task[Answer], str]()
    fault: ServerFault | None = None
    try:
        while waiting or running:
            if waiting:
                _make_room(running, mute)
                server = waiting.pop(0)
                running[asyncio.create_task(ask(server))] = server
            done, _ = await asyncio.wait(
                running, timeout=patience_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                fault = _fault_of(task)
                if fault is None:
                    _note_overtaken(running, task, mute)
                    return task.result()
                del running[task]
        raise fault or ServerFault(SealcastError("no key server is known"))
    finally:
        for task in running:
            task.cancel()
        if running:
            await asyncio.gather(*running, return_exceptions=True)


def _make_room(running: "dict[asyncio.Task[Answer], str]", mute: Callable[[str], None]) -> None:
    """Give up the server that was asked first if there are too many."""
    if len(running) >= AT_ONCE_MAX:
        oldest = next(iter(running))
        mute(running.pop(oldest))
        oldest.cancel()


def _note_overtaken(
    running: "dict[asyncio.Task[Answer], str]", first: "asyncio.Task[Answer]", mute: Callable[[str], None]
) -> None:
    """Note which servers were asked before the one that answered, and still say nothing."""
    for task, server in running.items():
        if task is first:
            return
        if not task.done():
            mute(server)


def _fault_of(task: "asyncio.Task[Answer]") -> ServerFault | None:
    error = task.exception()
    return error if isinstance(error, ServerFault) else None
