"""Owns running another program on one core and asking the system what processor time it took."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from sealcast.core.errors import LocalError

RUN_S_MAX = 30.0
"""No peer needs longer for what it is given; one that hangs is ended."""

LOOK_S = 0.005


@contextlib.contextmanager
def one_core() -> Iterator[int | None]:
    """Stay on the last core that is allowed for the time, where the system knows how."""
    if not hasattr(os, "sched_setaffinity"):
        yield None
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield max(allowed)
    finally:
        os.sched_setaffinity(0, allowed)


def last_core() -> int | None:
    """Return the last core that is allowed, where the system knows."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@contextlib.contextmanager
def beside(core: int | None) -> Iterator[None]:
    """Leave a core to somebody else for the time, if there is another."""
    others = os.sched_getaffinity(0) - {core} if core is not None else set()
    if not others:
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, others)
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def cpu_seconds(
    command: Sequence[str], meanwhile: Callable[[Callable[[], bool]], None] | None = None
) -> float:
    """Run a program on one core to its end; return its user and system time, its children's included.

    `meanwhile` is called once with a question that says whether the program still runs, and returns when it
    does not. Raises LocalError when the program fails or takes longer than `RUN_S_MAX`.
    """
    with one_core() as core:
        process = subprocess.Popen(  # noqa: S603 - a fixed command of ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    run = _Run(process, time.monotonic() + RUN_S_MAX)
    try:
        with beside(core):
            if meanwhile is not None:
                meanwhile(run.goes_on)
            while run.goes_on():
                time.sleep(LOOK_S)
    finally:
        run.end()
    if process.returncode:
        raise LocalError(f"{command[0]} failed with status {process.returncode}")
    return run.cpu_s


class _Run:
    """A program that runs, and what it took once it has ended."""

    def __init__(self, process: subprocess.Popen[bytes], ends: float) -> None:
        self._process = process
        self._ends = ends
        self.cpu_s = 0.0

    def goes_on(self) -> bool:
        """Whether the program still runs; raises LocalError when it has for too long."""
        if self._process.returncode is None:
            self._look(os.WNOHANG)
        if self._process.returncode is None and time.monotonic() > self._ends:
            raise LocalError(f"still runs after {RUN_S_MAX:.0f} s")
        return self._process.returncode is None

    def end(self) -> None:
        """End the program if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            self._look(0)

    def _look(self, options: int) -> None:
        pid, status, usage = os.wait4(self._process.pid, options)
        if pid:
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.cpu_s = usage.ru_utime + usage.ru_stime
