"""Owns how tests use the command line: as a user does, each command a process of its own."""

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.warmed import WARMED
from sealcast.transport.linux import MODE_VARIABLE

COMMAND_S_MAX = 30
READY_LINE = "key server listens on "


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what is wrong, without the name in front of it."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        assert lines[0].startswith("sealcast: ")
        return lines[0].removeprefix("sealcast: ")


class Typist(Protocol):
    """Runs a command of a terminal in the test's own process."""

    def __call__(self, terminal: "Terminal", *arguments: str, **environment: str) -> Result:
        """Run `sealcast ARGUMENTS` to its end."""
        ...


class Terminal:
    """A shell in a folder; with `SEALCAST_CONFIG` set, if the folder holds a configuration."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name == MODE_VARIABLE or not name.startswith("SEALCAST_")
        }
        self.environment = {
            **inherited,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "COLUMNS": "200",
            "SEALCAST_LOGGING_LEVEL": "error",
            "SEALCAST_SENDER_STATE": str(folder / "sending"),
            "SEALCAST_RECEIVER_STATE": str(folder / "receiving"),
            "SEALCAST_CONFIG": str(folder / "sealcast.toml"),
            **environment,
        }

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run `sealcast ARGUMENTS` to its end, in a process of its own: a warm one's fork where it may be."""
        variables = {**self.environment, **environment}
        if WARMED.fits(variables):
            return Result(*WARMED.run(arguments, self.folder, variables, COMMAND_S_MAX))
        done = subprocess.run(
            [sys.executable, "-m", "sealcast.cli", *arguments],
            cwd=self.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_S_MAX,
            text=True,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str, **environment: str) -> str:
        """Run a command that has to end well, and return what it printed."""
        result = self.run(*arguments, **environment)
        assert result.status == 0, result.err
        return result.out

    @contextlib.contextmanager
    def running(
        self, *arguments: str, stdout: Path | None = None, stderr: Path | None = None, **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Run a command in the background, and end it afterwards if it still runs."""
        with contextlib.ExitStack() as files:
            process = subprocess.Popen(
                [sys.executable, "-m", "sealcast.cli", *arguments],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=files.enter_context(stdout.open("wb")) if stdout else subprocess.PIPE,
                stderr=files.enter_context(stderr.open("wb")) if stderr else subprocess.PIPE,
                text=True,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()

    @contextlib.contextmanager
    def key_server(self) -> Iterator[subprocess.Popen[str]]:
        """Run this folder's key server for as long as the block."""
        with self.running("serve", "keyserver") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith(READY_LINE), process.stderr.read() if process.stderr else line
            yield process


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def new_operator(folder: Path) -> Terminal:
    """Make an operator in a folder, with a key server on a free port, and return a terminal there."""
    terminal = Terminal(folder)
    terminal.good("init", "--dir", ".", "--operator", "Test TV", "--listen", f"127.0.0.1:{free_port()}")
    return terminal


def key_server_url(terminal: Terminal) -> str:
    """Return the address of an operator's key server."""
    settings = json.loads(terminal.good("config", "show", "--json"))
    return str(settings["settings"]["keyserver"]["urls"][0])
