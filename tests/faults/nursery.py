"""Owns the processes of a fault test: `sealcast` commands forked from one that has imported everything."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol, Self

WAIT_S = 30.0
POLL_S = 0.01


class Child:
    """One `sealcast` process, whose output is in two files."""

    def __init__(self, forks: "Forks", pid: int, out: Path, err: Path) -> None:
        self.pid = pid
        self.status: int | None = None
        self._forks = forks
        self._out, self._err = out, err
        self._read = 0

    @property
    def out(self) -> str:
        """What it has printed."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has logged."""
        return self._err.read_text()

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log, entry by entry; a last line half written is left out."""
        whole = self.err.rpartition("\n")[0].splitlines()
        return [json.loads(line) if line.startswith("{") else {"event": line} for line in whole]

    def is_alive(self) -> bool:
        """Whether it still runs, or is stopped."""
        if self.status is None:
            self.status = self._forks.ask(pid=self.pid, wait=False)["status"]
        return self.status is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it is still there to take it."""
        if self.is_alive():
            os.kill(self.pid, number)

    def kill(self) -> int:
        """Kill it with -9, wait for its end and return its status."""
        self.send(signal.SIGKILL)
        return self.end()

    def stop(self) -> dict[str, Any]:
        """End it well with SIGTERM and return the JSON summary that it printed."""
        self.send(signal.SIGTERM)
        return self.summary()

    def summary(self) -> dict[str, Any]:
        """Wait for a good end and return the JSON summary that it printed."""
        assert self.end() == 0, self.err
        return dict(json.loads(self.out))

    def end(self, within_s: float = WAIT_S) -> int:
        """Wait for its end and return its status."""
        ends = time.monotonic() + within_s
        while self.is_alive():
            assert time.monotonic() < ends, f"still there: {self.err}"
            time.sleep(POLL_S)
        assert self.status is not None
        return self.status

    def wait_for(self, event: str, within_s: float = WAIT_S, **fields: object) -> dict[str, Any]:
        """Read its log on, up to the first entry with `event` and `fields`."""
        ends = time.monotonic() + within_s
        while True:
            over = not self.is_alive()
            log = self.log
            while self._read < len(log):
                entry = log[self._read]
                self._read += 1
                same = all(entry.get(name) == value for name, value in fields.items())
                if str(entry["event"]).startswith(event) and same:
                    return entry
            assert not over, f"ended without {event!r}: {self.err}"
            assert time.monotonic() < ends, f"no {event!r}: {self.err}"
            time.sleep(POLL_S)

    def skip_log(self) -> None:
        """Leave out of `wait_for` what it has logged so far."""
        self._read = len(self.log)

    def wait_for_line(self, text: str, within_s: float = WAIT_S) -> None:
        """Wait until it has printed a line that begins with `text`."""
        ends = time.monotonic() + within_s
        while not self.out.startswith(text):
            assert self.is_alive(), f"ended without {text!r}: {self.err}"
            assert time.monotonic() < ends, f"no {text!r}: {self.err}"
            time.sleep(POLL_S)


class Forks:
    """The process that forks: one serves all tests. Calls may come from any thread.

    `within` is a command that runs another, where what is forked is to run.
    """

    def __init__(self, *within: str, **environment: str) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [*within, sys.executable, str(Path(__file__).with_name("forks.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            text=True,
        )

    def ask(self, **order: object) -> dict[str, Any]:
        """Give one order and return the answer."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it, and with it whatever still runs."""
        self._process.communicate()


class Shell(Protocol):
    """Where somebody types: a folder, and what the environment says."""

    folder: Path
    environment: dict[str, str]


class Nursery:
    """Starts the processes of one test, in one terminal; used in a `with`, at whose end all are gone."""

    def __init__(self, terminal: Shell, forks: Forks) -> None:
        self.terminal = terminal
        self._forks = forks
        self._numbers = itertools.count(1)
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            if child.is_alive():
                # One that is stopped would take no other signal.
                child.send(signal.SIGCONT)
                child.send(signal.SIGTERM)
        for child in self._children:
            try:
                child.end(10)
            except AssertionError:
                child.kill()

    def start(self, *arguments: str, holds: bool = False, **environment: str) -> Child:
        """Start `sealcast ARGUMENTS` in the terminal's folder; one that `holds` stays until a signal."""
        folder = self.terminal.folder
        number = next(self._numbers)
        out, err = folder / f"{number}.out", folder / f"{number}.err"
        out.touch()
        err.touch()
        order = {
            "arguments": arguments,
            "environment": {**self.terminal.environment, **environment},
            "folder": str(folder),
            "out": str(out),
            "err": str(err),
            "holds": holds,
        }
        child = Child(self._forks, int(self._forks.ask(**order)["pid"]), out, err)
        self._children.append(child)
        return child

    def good(self, *arguments: str) -> str:
        """Run a command that has to end well, and return what it printed."""
        child = self.start(*arguments)
        assert child.end() == 0, child.err
        return child.out
