"""Owns the services of a site: programs by name, each in its host, that are killed and started again."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from integration.machines import Machine
from lab.hosts import Program, wait_until

SEALCAST = (sys.executable, "-m", "sealcast.cli")
START_S = 30.0
"""A start takes two seconds on a quiet machine."""


@dataclass(slots=True)
class Service:
    """One program of one host; `is_ready` says of a started one whether it does its work by now."""

    name: str
    machine: Machine
    command: Sequence[str | Path]
    is_ready: Callable[[Program], bool]
    environment: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return bool(self.programs) and self.programs[-1].running()

    def start(self) -> None:
        """Start it, and return at once."""
        assert not self.is_running, self.name
        environment = {**self.machine.environment, **self.environment}
        self.programs.append(self.machine.host.start(*self.command, **environment))

    @property
    def is_up(self) -> bool:
        """Whether it does its work."""
        return self.is_running and self.is_ready(self.programs[-1])

    def wait(self) -> None:
        """Return once it does its work."""
        program = self.programs[-1]
        wait_until(lambda: self.is_ready(program) or not program.running(), f"{self.name} to start", START_S)
        assert program.running(), f"{self.name}: {program.stdout()[-1_000:]} {program.stderr()[-2_000:]}"

    def kill(self) -> None:
        """Kill it with -9, and return once it is gone."""
        self.signal(signal.SIGKILL)
        self.programs[-1].wait(START_S)

    def stop(self, within_s: float) -> str:
        """Ask it to end, wait until it has, and return what it printed."""
        self.signal(signal.SIGTERM)
        self.programs[-1].wait(within_s)
        return self.programs[-1].stdout()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.is_running:
            os.kill(self.programs[-1].process.pid, number)

    def log(self) -> str:
        """Return what all its runs have logged."""
        return "\n".join(program.stderr() for program in self.programs)


def prints(text: str) -> Callable[[Program], bool]:
    """Return the test for a program that says on standard output that it is ready."""
    return lambda program: text in program.stdout()


def says(text: str) -> Callable[[Program], bool]:
    """Return the test for a program that logs that it is ready."""
    return lambda program: text in program.stderr()
