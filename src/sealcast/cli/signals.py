"""Owns the signals of a program that runs until it is told to end; docs/cli.md says what each does.

| signal           | before the work runs | while it runs                                                   |
|------------------|----------------------|-----------------------------------------------------------------|
| SIGTERM          | ends, status 0       | asks the work to end                                            |
| SIGINT           | ends, status 130     | asks the work to end                                            |
| either, again    |                      | ends at once                                                    |
| SIGHUP           | nothing to do yet    | reloads; from a terminal that was closed: asks the work to end  |

A thread of its own watches the time: it ends the process even where the loop, a full pipe or a hung disk
does not let it go.
"""

import asyncio
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

import structlog

INTERRUPTED = 130
END_HARD_S = 4.7
"""From the first signal to the end, whatever happens; the promise is 5 s."""

END_AGAIN_S = 0.3
"""From the second signal to the end: enough to give a terminal its cursor back."""

ENDING = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, FrameType | None], None]
_STANDARD = (0, 1, 2)

log = structlog.get_logger("sealcast.cli")


def expect_signals() -> None:
    """Have signals end a program well that is only starting; to be called first, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, lambda *_: None)


def expect_interruption() -> None:
    """Have signals end a program whose work is then not done: the status says so, for SIGTERM too.

    Also where it was started in a shell's background, which has it ignore SIGINT.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(INTERRUPTED))
        signal.signal(signal.SIGINT, signal.default_int_handler)


def status_of(number: int) -> int:
    """Return the exit status of a program whose work a signal cut short."""
    return 0 if number in {signal.SIGTERM, signal.SIGHUP} else INTERRUPTED


class Signals:
    """Takes the signals while work runs; used in a `with`, in the main thread and its running loop."""

    def __init__(
        self,
        end: Callable[[], None],
        cut: Callable[[], object],
        reload: Callable[[], None] | None,
        *,
        end_hard_s: float = END_HARD_S,
    ) -> None:
        """`end` is called in the loop at the first signal, `cut` at the second, `reload` at each SIGHUP.

        Without `reload`, SIGHUP is left alone.
        """
        self._loop = asyncio.get_running_loop()
        self._end, self._cut, self._reload = end, cut, reload
        self._end_hard_s = end_hard_s
        self._ignores_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._terminals = [fd for fd in _STANDARD if os.isatty(fd)]
        self._before: dict[int, Any] = {}
        self._orders: queue.SimpleQueue[tuple[float, int] | None] = queue.SimpleQueue()
        self.last: int | None = None
        """The signal that asked for the end, if one did."""

    def __enter__(self) -> Self:
        threading.Thread(target=_end_in_time, args=(self._orders,), daemon=True).start()
        handlers: dict[int, Handler] = dict.fromkeys(ENDING, self._on_end)
        if self._reload is not None:
            handlers[signal.SIGHUP] = self._on_hangup
        # Not `loop.add_signal_handler`: these run also while the loop waits for a full pipe of its log.
        for number, handler in handlers.items():
            self._before[number] = signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.last is None:
            # After a signal the handlers and the watch stay: to the end of the process, not of the work.
            self._orders.put(None)
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _on_end(self, number: int, _: FrameType | None) -> None:
        """Note a signal, at any place in the program: nothing here may wait for a lock."""
        is_first, self.last = self.last is None, number
        self._orders.put((self._end_hard_s if is_first else END_AGAIN_S, status_of(number)))
        self._call(self._end if is_first else self._cut)

    def _on_hangup(self, number: int, frame: FrameType | None) -> None:
        # A terminal that was hung up is none any more.
        closed = [fd for fd in self._terminals if not os.isatty(fd)]
        self._terminals = [fd for fd in self._terminals if fd not in closed]
        _put_nowhere(closed)
        if closed and not self._ignores_hangup:
            if self.last is None:
                self._on_end(number, frame)
        elif self._reload is not None and self.last is None:
            self._call(self._reload)

    def _call(self, function: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


def _end_in_time(orders: "queue.SimpleQueue[tuple[float, int] | None]") -> None:
    """End the process when the time of the latest order is over; None calls the watch off."""
    order = orders.get()
    while order is not None:
        wait_s, status = order
        try:
            order = orders.get(timeout=wait_s)
        except queue.Empty:
            os._exit(status)


def _put_nowhere(closed: list[int]) -> None:
    """Have reads end and writes vanish where a terminal was: each would be an error, the log's first."""
    for fd in closed:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, fd)
        os.close(nowhere)
