"""Owns what the acceptance tests stand on: an operator, one channel, a studio and viewers, as processes."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cli.terminal import Terminal, new_operator

WAIT_S = 30


class Station:
    """An operator whose key server runs, with one channel on loopback, one studio and some viewers."""

    def __init__(self, folder: Path, group: str, *options: str, viewers: int = 1) -> None:
        self.folder = folder
        self.group = group
        self.terminal: Terminal = new_operator(folder)
        self.terminal.environment["SEALCAST_LOGGING_LEVEL"] = "info"
        self._options = options
        self._viewers = viewers

    def set_up(self) -> None:
        """Add the channel and its parties; the key server has to run."""
        self.terminal.good(
            "channel", "add", "news", "--group", self.group, "--interface", "lo", *self._options
        )
        sending = ("--role", "sender", "--channel", "news")
        self.terminal.good("registry", "add", "studio", *sending, "--output", "studio.vault")
        for number in range(1, self._viewers + 1):
            self.terminal.good("registry", "add", f"tv-{number}", "--output", f"tv-{number}.vault")
            self.terminal.good("subscriber", "add", "news", f"tv-{number}")

    @contextlib.contextmanager
    def sender(self, *arguments: str, **environment: str) -> Iterator["Running"]:
        """Run `send news` in the background."""
        command = ("send", "news", "--credential", "studio.vault", "--json", *arguments)
        with self.terminal.running(*command, **environment) as process:
            yield Running(process)

    @contextlib.contextmanager
    def receiver(self, *arguments: str, viewer: int = 1, target: str = "news") -> Iterator["Running"]:
        """Run `receive` in the background, joined on loopback."""
        vault = f"tv-{viewer}.vault"
        command = ("receive", target, "--interface", "lo", "--credential", vault, "--json", *arguments)
        with self.terminal.running(*command) as process:
            yield Running(process)


class Running:
    """A program in the background whose log, line by line, and summary a test reads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        """Read the log up to the first line with `event`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            entry = json.loads(line) if line.startswith("{") else {"event": line.strip()}
            self.log.append(entry)
            if str(entry["event"]).startswith(event):
                return entry
        raise AssertionError(f"ended without {event!r}: {self.log}")

    def wait_for_a_key(self) -> None:
        """Read a receiver's log up to the first grant that holds a key."""
        while not self.wait_for("granted")["keys"]:
            pass

    def summary(self) -> dict[str, Any]:
        """Wait for a good end and return the one JSON object on standard output."""
        out, err = self.process.communicate(timeout=WAIT_S + 60)
        assert self.process.returncode == 0, err
        self.log += [json.loads(line) for line in err.splitlines() if line.startswith("{")]
        return dict(json.loads(out))


def eventually(fact: Callable[[], bool], within_s: float = WAIT_S) -> None:
    """Wait until a fact holds."""
    ends = time.monotonic() + within_s
    while not fact():
        assert time.monotonic() < ends, "it never came about"
        time.sleep(0.05)
