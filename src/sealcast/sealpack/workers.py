"""Owns doing the groups of a package on several threads, as hashing and ciphers let go of the GIL."""

import os
import threading
from collections.abc import Callable

WORKERS_MAX = 4
"""Beyond this the disk, or memory, is what limits."""

LOOK_S = 0.1
"""How often progress is told, and how soon an interruption is noticed."""

Progress = Callable[[int], None]
"""Is told how many groups are done."""


def workers() -> int:
    """Return how many threads are used: one for each core that this process may have, at most four."""
    return min(WORKERS_MAX, len(os.sched_getaffinity(0)))


def in_groups(groups: int, make: Callable[[], Callable[[int], None]], progress: Progress | None) -> None:
    """Do every group from 0 on, each once; `make` gives each thread its own worker.

    Raises what a worker raised, of several the one of the lowest group; the others end at their next group.
    """
    state = _State(groups)
    threads = [
        threading.Thread(target=state.work, args=(make(),), daemon=True)
        for _ in range(max(1, min(workers(), groups)))
    ]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                if progress is not None:
                    progress(state.done)
                thread.join(LOOK_S)
        if progress is not None:
            progress(state.done)
    finally:
        state.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
    state.raise_first()


class _State:
    """What is to be done, what is done, what failed."""

    def __init__(self, groups: int) -> None:
        self._lock = threading.Lock()
        self._next, self._groups = 0, groups
        self._failures: dict[int, BaseException] = {}
        self.done = 0

    def work(self, do: Callable[[int], None]) -> None:
        """Do groups until there is none, or one failed anywhere."""
        while (group := self._take()) is not None:
            try:
                do(group)
            except BaseException as error:  # noqa: BLE001 - it is raised where the threads were started
                with self._lock:
                    self._failures[group] = error
                self.stop()
                return
            with self._lock:
                self.done += 1

    def stop(self) -> None:
        """Give out no group any more."""
        with self._lock:
            self._next = self._groups

    def raise_first(self) -> None:
        """Raise the failure of the lowest group, if there is one."""
        if self._failures:
            raise self._failures[min(self._failures)]

    def _take(self) -> int | None:
        with self._lock:
            if self._next >= self._groups:
                return None
            self._next += 1
            return self._next - 1
