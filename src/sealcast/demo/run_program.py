"""Owns one child of the demo: a `sealcast` command as a user types it, its news, its summary, its end."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from sealcast.core.errors import LocalError

STOP_S_MAX = 6.0
"""Every program ends within 5 s of SIGTERM; one that does not is killed."""

LINE_BYTES_MAX = 1 << 20
"""A line of news has a few hundred bytes; a traceback in JSON some thousands."""

NEWS_EVENT = "status"
PREFIX = "SEALCAST_"
KEPT_VARIABLES = frozenset({"SEALCAST_TRANSPORT"})
"""Of the user's own settings the demo takes over none but how sockets are used."""


class News(msgspec.Struct, frozen=True):
    """What a sender or receiver says of itself twice a second; fields that it does not have stay empty."""

    event: str = ""
    epoch: int | None = None
    next_epoch: int | None = None
    next_key: bool = False
    remaining_ms: int = 0
    extended: bool = False
    packets: int = 0
    bytes: int = 0
    packets_received: int = 0
    packets_opened: int = 0
    lost: int = 0
    key_changes: int = 0


class Program:
    """One running command. `news` is its latest word, `joined` and `ready` are set when it says so."""

    def __init__(self, name: str, arguments: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.arguments = arguments
        self.news: News | None = None
        self.output = ""
        self.complaint = ""
        self.ready = asyncio.Event()
        self.joined = asyncio.Event()
        self._folder = folder
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._reading: list[asyncio.Task[None]] = []

    @property
    def command(self) -> str:
        """The command as a user types it."""
        return shlex.join(["sealcast", *self.arguments])

    @property
    def has_ended(self) -> bool:
        """Whether it ran and ended."""
        return self._process is not None and self._process.returncode is not None

    async def start(self) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the demo alone."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sealcast.cli",
            *self.arguments,
            cwd=self._folder,
            env={**_surroundings(os.environ), **self._environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=LINE_BYTES_MAX,
        )
        self._process = process
        self._reading = [
            asyncio.create_task(self._read(process.stdout, self._take_output)),
            asyncio.create_task(self._read(process.stderr, self._take_news)),
        ]

    async def wait(self, limit_s: float) -> None:
        """Wait until it ends well; raises LocalError if it does not, or not in time."""
        if self._process is None:
            raise RuntimeError("a program is started before it is waited for")
        try:
            async with asyncio.timeout(limit_s):
                status = await self._process.wait()
                await asyncio.gather(*self._reading)
        except TimeoutError as error:
            raise LocalError(f"`{self.command}` did not end within {limit_s:.0f} s") from error
        if status != 0:
            raise LocalError(f"`{self.command}` ended with status {status}: {self.complaint or 'no reason'}")

    async def wait_for(self, event: asyncio.Event, limit_s: float) -> None:
        """Wait until `event` of this program is set; raises LocalError if it ends before, or in time not."""
        happened = asyncio.ensure_future(event.wait())
        ended = asyncio.ensure_future(self._process.wait()) if self._process else happened
        try:
            await asyncio.wait((happened, ended), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            happened.cancel()
            ended.cancel()
        if not event.is_set():
            await self.stop()
            raise LocalError(f"`{self.command}` does not get going: {self.complaint or 'it says nothing'}")

    async def stop(self) -> None:
        """End it with SIGTERM, or SIGKILL if that does not help; harmless if it has ended."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_S_MAX):
                    await process.wait()
                    await asyncio.gather(*self._reading, return_exceptions=True)
                break

    def kill(self) -> None:
        """End it at once; harmless if it has ended."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _read(self, stream: asyncio.StreamReader | None, take: Callable[[str], None]) -> None:
        """Hand on each line; one that is too long ends the reading, and the program by its full pipe."""
        if stream is None:
            return
        with contextlib.suppress(ValueError):
            while line := await stream.readline():
                take(line.decode(errors="replace").strip())

    def _take_output(self, line: str) -> None:
        self.output += line + "\n"
        self.ready.set()

    def _take_news(self, line: str) -> None:
        try:
            news = msgspec.json.decode(line, type=News)
        except msgspec.MsgspecError:
            self.complaint = line.removeprefix("sealcast: ")
            return
        if news.event == NEWS_EVENT:
            self.news = news
        elif news.event == "joined":
            self.joined.set()


def _surroundings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the settings of an operator that this user may have."""
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(PREFIX) or name in KEPT_VARIABLES
    }
