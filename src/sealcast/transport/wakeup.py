"""Owns one precise timer of an event loop: Linux's timer descriptor, else the loop's own timer.

The event loop's timers are rounded up to the next millisecond, since epoll takes no less; a stream's
departures are on time within two.
"""

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable

from sealcast.core.ports import NS_PER_S
from sealcast.transport import linux

COUNT_BYTES = 8
"""A timer descriptor tells how often it went off."""


class WakeUp:
    """Calls back once after each `set`, in the context in which it was made; `close` it at the end.

    About 50 µs late on a quiet machine, 0.5 to 1 ms where there are no timer descriptors. A call without
    `set` may come: look at the clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        self._loop = loop
        self._call = call
        self._context = contextvars.copy_context()
        self._handle: asyncio.TimerHandle | None = None
        self._fd = linux.open_timer()
        if self._fd is not None:
            self._context.run(loop.add_reader, self._fd, self._on_readable)

    def set(self, delay_ns: int) -> None:
        """Call back after so long, and no more for what was set before."""
        if self._fd is not None:
            linux.set_timer(self._fd, delay_ns)
            return
        if self._handle is not None:
            self._handle.cancel()
        delay_s = max(0, delay_ns) / NS_PER_S
        self._handle = self._loop.call_later(delay_s, self._call, context=self._context)

    def close(self) -> None:
        """Let the timer go; may be called again."""
        if self._handle is not None:
            self._handle.cancel()
        fd, self._fd = self._fd, None
        if fd is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(fd)
            os.close(fd)

    def _on_readable(self) -> None:
        if self._fd is None:
            return
        with contextlib.suppress(BlockingIOError):  # set anew since it went off
            os.read(self._fd, COUNT_BYTES)
        self._call()
