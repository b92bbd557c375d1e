"""Owns the program that a terminal's short commands are forked from: 0.1 s of a processor each, not 0.6."""

import atexit
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from faults.nursery import Child, Forks

OF_A_TERMINAL = ("SEALCAST_", "XDG_", "PYTEST_", "COLUMNS", "HOME", "TMPDIR")
"""What may differ between the program and what is forked from it: variables that are read at each use."""


class Warmed:
    """One program at a time, in the namespaces of the thread that asks."""

    def __init__(self) -> None:
        self._forks: Forks | None = None
        self._place = ""
        self._environment: dict[str, str] = {}
        atexit.register(self.close)

    def fits(self, environment: dict[str, str]) -> bool:
        """Whether a program that is running already may become one with this environment."""
        return _fixed(environment) == _fixed(os.environ)

    def run(
        self, arguments: tuple[str, ...], folder: Path, environment: dict[str, str], within_s: float
    ) -> tuple[int, str, str]:
        """Run `sealcast ARGUMENTS`; return its status, what it printed and what it said of errors."""
        forks = self._program()
        with tempfile.TemporaryDirectory(prefix="sealcast-typed-") as made:
            out, err = Path(made) / "out", Path(made) / "err"
            order = {"environment": environment, "folder": str(folder), "out": str(out), "err": str(err)}
            child = Child(forks, forks.ask(arguments=arguments, **order)["pid"], out, err)
            return child.end(within_s), child.out, child.err

    def close(self) -> None:
        """End the program, and what still runs of it."""
        if self._forks is not None:
            self._forks.close()
            self._forks = None

    def _program(self) -> Forks:
        """Return a program in the network and with the environment that a new one would have."""
        place, environment = _place(), _fixed(os.environ)
        if self._forks is None or (place, environment) != (self._place, self._environment):
            self.close()
            self._forks, self._place, self._environment = Forks(), place, environment
        return self._forks


def _place() -> str:
    own = Path("/proc/thread-self/ns")
    return f"{(own / 'net').readlink()} {(own / 'mnt').readlink()}" if own.exists() else ""


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith(OF_A_TERMINAL)}


WARMED = Warmed()
