"""Owns machines: a host of the laboratory with the files of its user, and the programs of ours on it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli.terminal import COMMAND_S_MAX, Result
from lab.hosts import Host, LabError, Program, wait_until

PROGRAM = (sys.executable, "-m", "sealcast.cli")

FACT_S = 30.0
"""How long a test waits for something that a quiet machine does within a second or three."""

PRIVATE = 0o700


class Running:
    """A program in the background whose log and summary a test reads."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of its log so far whose event begins with `event`."""
        whole = self._program.stderr().rpartition("\n")[0]
        entries = [json.loads(line) for line in whole.splitlines() if line.startswith("{")]
        return [entry for entry in entries if str(entry["event"]).startswith(event)]

    def wait_for(
        self, event: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True, count: int = 1
    ) -> dict[str, Any]:
        """Return the line of the log that is the `count`-th with `event` that fits, once it is there."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            ended = not self._program.running()
            found[:] = filter(fits, self.logged(event))
            if ended and len(found) < count:
                raise LabError(f"ended without {event!r}: {self._program.stderr()}")
            return len(found) >= count

        wait_until(there, f"{count} x {event!r}", FACT_S)
        return found[count - 1]

    def wait_for_a_key(self) -> None:
        """Return once a receiver has been granted a key."""
        self.wait_for("granted", lambda entry: bool(entry["keys"]))

    def summary(self) -> dict[str, Any]:
        """Wait for a good end and return the one JSON object on standard output."""
        status = self._program.wait(FACT_S)
        assert status == 0, self._program.stderr()
        return dict(json.loads(self._program.stdout()))

    def end(self) -> dict[str, Any]:
        """Ask it to end, as a service manager does, and return its summary."""
        self._program.process.terminate()
        return self.summary()


class Machine:
    """A host and a folder: nothing but the network connects its programs with those on other machines."""

    def __init__(self, host: Host, folder: Path, **environment: str) -> None:
        """Take `folder` as what the machine's user owns; a `sealcast.toml` in it is the configuration."""
        folder.mkdir(mode=PRIVATE)
        self.host = host
        self.folder = folder
        self.environment = {
            "HOME": str(folder),
            "SEALCAST_CONFIG": str(folder / "sealcast.toml"),
            "SEALCAST_SENDER_STATE": str(folder / "sending"),
            "SEALCAST_RECEIVER_STATE": str(folder / "receiving"),
            **environment,
        }

    def run(self, *arguments: str) -> Result:
        """Run `sealcast ARGUMENTS` to its end, with complaints but no log on standard error."""
        done = subprocess.run(
            self.host.command(*PROGRAM, *arguments),
            cwd=self.folder,
            env={**os.environ, **self.environment, "SEALCAST_LOGGING_LEVEL": "error"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str) -> str:
        """Run a command that has to end well, and return what it printed."""
        result = self.run(*arguments)
        assert result.status == 0, result.err
        return result.out

    def start(self, *arguments: str, level: str = "info") -> Program:
        """Start `sealcast ARGUMENTS` in the background; it ends with the laboratory at the latest."""
        environment = {**self.environment, "SEALCAST_LOGGING_LEVEL": level}
        return self.host.start(*PROGRAM, *arguments, **environment)
