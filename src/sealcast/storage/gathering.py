"""Owns when a transaction begins under load: once the event loop has handed over all that was ready.

```
loop    read, read, read ... nothing more is ready ─► says so, and waits for answers
writer     └─ woken by the first, waits ──────────────► one transaction for all of them
```
Whoever prepares requests has the interpreter to itself meanwhile, and nobody sleeps while there is work.
"""

import asyncio
import threading

WAIT_S = 0.005
"""The longest that a transaction waits for company: also for a loop that never runs out of requests."""

LOOKS = 2
"""So many rounds of the loop without a request say that none is ready: it may look before it reads."""


class Gathering:
    """What a loop and the writer's thread tell each other."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0
        self._is_over = threading.Event()
        self._is_over.set()

    def came(self, loop: asyncio.AbstractEventLoop) -> None:
        """Note that a request is handed over in this loop, before it is; costs a tenth of a microsecond."""
        self._count += 1
        if self._loop is not loop:
            self._loop = loop
            self._is_over.clear()
            loop.call_soon(self._look, loop, self._count, LOOKS)

    def wait(self) -> None:
        """Wait until nothing more is ready, `WAIT_S` at most; in the writer's thread."""
        self._is_over.wait(WAIT_S)

    def _look(self, loop: asyncio.AbstractEventLoop, seen: int, looks: int) -> None:
        """Look whether requests came since the last round."""
        if self._loop is not loop:
            return  # Another loop has taken over, or this one was told to have ended.
        if self._count != seen:
            looks = LOOKS
        if looks:
            loop.call_soon(self._look, loop, self._count, looks - 1)
        else:
            self._loop = None
            self._is_over.set()
