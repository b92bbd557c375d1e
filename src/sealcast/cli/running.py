"""Owns the run of a stream from the command line: signals end it well, a status line shows it.

On a terminal the line is live; elsewhere the log gets it now and then, and at level debug each status.
"""

import asyncio
import contextlib
import dataclasses
import logging
import sys
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import structlog

from sealcast.cli.signals import Signals, status_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from rich.live import Live

END_WITHIN_S = 4.0
"""After a signal the stream has this long to end by itself; the promise is 5 s in all."""

LOG_EVERY = 20
"""Off a terminal one of so many observations is logged: one line in 10 s."""

Status = TypeVar("Status", bound="DataclassInstance")
Result = TypeVar("Result")

LOGGER = "sealcast.cli"
log = structlog.get_logger(LOGGER)


def run_until_signal(
    work: Callable[[asyncio.Event], Awaitable[Result]],
    *,
    end_within_s: float = END_WITHIN_S,
    reload: Callable[[], None] | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Result | None:
    """Run `work` and return its result; SIGTERM and SIGINT set its event, SIGHUP calls `reload`.

    `loop` makes the event loop, asyncio's own if not given.

    Where it did not end within `end_within_s` of the signal, or a second one came, the work is cut short:
    returns None after SIGTERM and raises KeyboardInterrupt after SIGINT.
    """
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(_until_signal(work, end_within_s, reload))


async def _until_signal(
    work: Callable[[asyncio.Event], Awaitable[Result]],
    end_within_s: float,
    reload: Callable[[], None] | None,
) -> Result | None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work(stop))

    def end() -> None:
        stop.set()
        loop.call_later(end_within_s, task.cancel)

    with Signals(end, task.cancel, reload) as signals:
        try:
            return await task
        except asyncio.CancelledError:
            if signals.last is None:
                raise
            if status_of(signals.last):
                raise KeyboardInterrupt from None
            return None


class StatusLine(Generic[Status]):
    """Shows each status that it is called with; used in a `with`."""

    def __init__(self, describe: Callable[[Status], str]) -> None:
        """`describe` gives one line for a status."""
        self._describe = describe
        self._live: Live | None = None
        self._seen = 0

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            # Rich is for the terminal only: a receiver in the background is spared the memory.
            from rich.console import Console  # noqa: PLC0415 - see above
            from rich.live import Live  # noqa: PLC0415 - see above

            self._live = Live(
                console=Console(stderr=True), transient=True, auto_refresh=False, redirect_stdout=False
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()

    def __call__(self, status: Status) -> None:
        """Show a status."""
        line = self._describe(status)
        if self._live is not None:
            from rich.text import Text  # noqa: PLC0415 - as in __enter__

            # A terminal may close at any moment; the stream goes on without its line.
            with contextlib.suppress(OSError):
                self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            if logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG):
                # Not before it is wanted: of hundreds of channels this takes milliseconds.
                log.debug("status", **dataclasses.asdict(status))
            self._seen += 1
            if self._seen % LOG_EVERY == 0:
                log.info(line)
