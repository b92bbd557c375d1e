"""Owns the key server's side of event streams: what is told and when, and the process that holds the streams.

```
writer's thread: on_notice, forget ──► kept until the commit ──► event process ──► streams
event process: Asked ──► pipeline: all checks of a signed request ──► Verdict
event process: Check ──► one unit of work: principal, standing, channels ──► Checked
```
"""

import asyncio
import contextlib
import socket
import sys
from collections import deque
from collections.abc import Coroutine
from pathlib import Path

import msgspec
import structlog

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.messages.encoding import decode
from sealcast.messages.subscribing import Event
from sealcast.server import eventlink
from sealcast.server.eventdesk import EventDesk
from sealcast.server.eventlink import Asked, Certify, Check, Checked, Counts, Look, Opened, Tell, Verdict
from sealcast.server.eventworker import Start
from sealcast.server.metrics import Metrics
from sealcast.server.pipeline import Pipeline
from sealcast.storage.unitofwork import UnitOfWork

NOTICES_MAX = 4_096
"""Events that wait for the event process: beyond it they come too late to be of use."""

RESTART_S = 1.0
"""Between the end of an event process, which nobody asked for, and the start of the next one."""

END_S = 1.0
"""For the event process to end by itself, which takes it milliseconds; then it is killed."""

log = structlog.get_logger("sealcast.server")


class Notices:
    """Events on their way to the event process; those of a commit leave after it.

    An event of work that was undone may leave as well: it is a hint, and who asks hears how things are.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: deque[Tell | Look] = deque(maxlen=NOTICES_MAX)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()

    def __call__(self, event: Event, party: str | None = None) -> None:
        """Tell an event to `party`, or to all whom it concerns; in the writer's thread."""
        self._kept.append(Tell(event, self._clock.monotonic_ns(), party))

    def look(self, party: str) -> None:
        """Have the streams of a party checked, which has changed; in the writer's thread."""
        self._kept.append(Look(party))

    def committed(self) -> None:
        """Let go what is kept; in the writer's thread, after a commit."""
        if self._kept and self._loop is not None:
            # A loop that is closed has no streams any more.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake.set)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have `loop` woken from now on."""
        self._loop = loop

    async def taken(self) -> list[Tell | Look]:
        """Wait for something to tell, and take it."""
        while not self._kept:
            self._wake.clear()
            if not self._kept:
                await self._wake.wait()
        return [self._kept.popleft() for _ in range(len(self._kept))]


class Eventing:
    """Runs the event process and answers it."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        desk: EventDesk,
        notices: Notices,
        unit_of_work: UnitOfWork,
        clock: Clock,
        metrics: Metrics,
        streams_max: int,
    ) -> None:
        self._pipeline, self._handler, self._desk = pipeline, desk.handler(), desk
        self._notices, self._unit_of_work = notices, unit_of_work
        self._clock, self._metrics, self._streams_max = clock, metrics, streams_max
        self._writer: asyncio.StreamWriter | None = None
        self._certificate: tuple[Path, Path] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, listening: socket.socket, certificate: tuple[Path, Path]) -> None:
        """Serve events at an open socket until cancelled, whatever becomes of the event process.

        It starts with the first who comes: a key server to which nobody listens does without it.
        """
        self._certificate = certificate
        self._notices.start(asyncio.get_running_loop())
        telling = asyncio.create_task(self._tell())
        try:
            while True:
                await _somebody_comes(listening)
                reason = "it ended by itself"
                try:
                    await self._run_process(listening)
                except (OSError, msgspec.MsgspecError) as error:
                    reason = str(error)
                log.warning("the event process starts again", reason=reason)
                await asyncio.sleep(RESTART_S)
        finally:
            telling.cancel()

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new streams under another certificate, known to do; open ones go on."""
        self._certificate = certificate, key
        self._say(Certify(str(certificate), str(key)))

    async def _run_process(self, listening: socket.socket) -> None:
        """Start an event process and answer it until it ends, or end it."""
        ours, theirs = socket.socketpair()
        with contextlib.closing(theirs), contextlib.ExitStack() as failed:
            failed.callback(ours.close)
            process = await asyncio.create_subprocess_exec(
                *_command(listening, theirs, self._certificate, self._streams_max),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(listening.fileno(), theirs.fileno()),
            )
            failed.pop_all()
        try:
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=eventlink.FRAME_BYTES_MAX)
            while (data := await eventlink.read_frame(reader)) is not None:
                self._take(eventlink.upward(data))
        finally:
            if self._writer is not None:
                self._writer.transport.abort()
                self._writer = None
            # The next process counts its requests from one again: no answer to this one's may reach it.
            for task in self._tasks:
                task.cancel()
            self._metrics.observe_events(Counts(0, 0, 0, 0))
            await _ended(process)

    async def _tell(self) -> None:
        while True:
            for frame in await self._notices.taken():
                self._say(frame)
                if self._writer is not None:
                    # What an event process does not take waits here, within bounds, and not in the transport.
                    with contextlib.suppress(OSError):
                        await self._writer.drain()

    def _say(self, frame: eventlink.Frame) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(eventlink.pack(frame))

    def _take(self, frame: eventlink.Upward) -> None:
        match frame:
            case Asked():
                self._start(self._answer(frame))
            case Check():
                self._start(self._check(frame))
            case Counts():
                self._metrics.observe_events(frame)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, asked: Asked) -> None:
        answer = await self._pipeline.answer(self._handler, asked.body)
        opened = decode(answer.body, Opened) if answer.status == 200 else None
        body = b"" if opened is not None else answer.body
        self._say(Verdict(asked.number, answer.status, answer.media_type, answer.headers, body, opened))

    async def _check(self, check: Check) -> None:
        """Answer a check; if the database cannot, the streams stay as they are until the next one."""
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        try:
            channels = await self._unit_of_work.run(
                lambda connection: self._desk.still(connection, check.rows, wall_ms)
            )
        except SealcastError as error:
            log.warning("event streams were not checked", reason=str(error))
            channels = [row.channels for row in check.rows]
        self._say(Checked(check.number, channels))


async def _somebody_comes(listening: socket.socket) -> None:
    """Wait until a connection is there to be accepted."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(listening, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(listening)


def _command(
    listening: socket.socket,
    link: socket.socket,
    certificate: tuple[Path, Path] | None,
    streams_max: int,
) -> tuple[str, ...]:
    """Return the command line of the event process."""
    if certificate is None:
        raise RuntimeError("an event process needs a certificate")
    path, key = certificate
    start = Start(listening.fileno(), link.fileno(), str(path), str(key), streams_max)
    # -P: what happens to lie in the working directory is none of our modules.
    return sys.executable, "-P", "-m", "sealcast.server.eventworker", msgspec.json.encode(start).decode()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for a process that is to end, and kill it if it does not."""
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
