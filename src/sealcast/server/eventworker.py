"""Owns the event process: it accepts connections, holds the streams and sends what the key server says.

A process of its own, at a lower priority: thousands of TLS handshakes and sends never hold the interpreter
that answers key requests (docs/decisions/0020-events-in-a-process.md). `server.eventing` starts it, with two
open descriptors; it ends when the key server's end of the link is closed.
"""

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
import sys
from collections import deque
from collections.abc import Iterator

import msgspec

from sealcast.core.ports import Clock
from sealcast.keys.policy import ASKED_PER_S
from sealcast.messages.subscribing import Event
from sealcast.server import eventhub, eventlink, eventstreams
from sealcast.server.eventhub import Hub
from sealcast.server.eventlink import Asked, Certify, Check, Checked, Counts, Look, Tell, Verdict
from sealcast.server.eventstreams import Connection, Stage
from sealcast.transport.system import SystemClock

WAITING_MAX = 1_024
"""Connections without a stream yet, 10 to 30 kB each while they shake hands and ask."""

WAITING_S = 10.0
"""From the connection to the stream; a client of ours needs a few round trips."""

LEAVING_S = 2.0
"""How long a peer may take to close its side after we closed ours."""

PRESSED_S = 2.0
"""With all places taken, one that has waited so long makes room: a crowd moves on by then, idlers do not."""

ACCEPTS_AT_ONCE = 32
"""Between two looks at everything else: each wraps a socket, 0.1 ms."""

ACCEPT_PAUSE_S = 0.2
"""With all places taken, or after the system had no descriptor or memory for a connection."""

ASKED_AT_ONCE = 16
"""Requests at the key server at one time: it verifies a signature each, and has key requests to answer."""

SLICE = 50
SLICE_PAUSE_S = 0.005
"""An event for thousands goes to so many at a time, 10,000 a second: there are keys to give meanwhile."""

TELLS_MAX = 4_096
"""Events that wait for their slices; the oldest is a hint that comes too late."""

CHECK_ROWS_MAX = 256
"""Streams in one question to the key server: one short unit of work there."""

COUNTS_S = 1.0
SPARE_DESCRIPTORS = 64
WAITING_SHARE = 8
"""Of a small number of descriptors, one in so many is for connections without a stream yet."""

NICENESS = 5
"""An event is a hint and may wait; a key request may not."""

RETRY_MS_MIN = 1_000


class Start(msgspec.Struct, frozen=True):
    """What the event process is started with, as one argument in JSON."""

    listening_fd: int
    link_fd: int
    certificate: str
    key: str
    streams_max: int


class Worker:
    """The listener and everything that is open at it."""

    def __init__(self, start: Start, clock: Clock, descriptors: int) -> None:
        """Read the certificate; raises OSError (which SSLError is) if it does not do.

        `descriptors` are the open files that the process may have.
        """
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._waiting_max = min(WAITING_MAX, descriptors // WAITING_SHARE)
        self._streams_max = min(start.streams_max, descriptors - self._waiting_max - SPARE_DESCRIPTORS)
        self._tls = make_context(start.certificate, start.key)
        self._listening = socket.socket(fileno=start.listening_fd)
        self._listening.setblocking(False)
        self._link = socket.socket(fileno=start.link_fd)
        self._writer: asyncio.StreamWriter | None = None
        self._hub = Hub()
        self._waiting: dict[Connection, float] = {}
        self._leaving: dict[Connection, float] = {}
        self._queue: deque[tuple[Connection, bytes]] = deque()
        self._asked: dict[int, Connection] = {}
        self._tells: deque[Tell] = deque(maxlen=TELLS_MAX)
        self._told = asyncio.Event()
        self._checks: dict[int, list[Connection]] = {}
        self._due: list[Connection] = []
        self._number = self._events = self._slow = self._displaced = 0
        self._accepts = False

    async def run(self) -> None:
        """Serve until the key server closes the link."""
        reader, self._writer = await asyncio.open_connection(sock=self._link, limit=eventlink.FRAME_BYTES_MAX)
        tasks = [asyncio.create_task(work()) for work in (self._tell_all, self._turn, self._count)]
        self._accept_again()
        try:
            while (data := await eventlink.read_frame(reader)) is not None:
                self._take(eventlink.downward(data))
        finally:
            for task in tasks:
                task.cancel()
            self._writer.transport.abort()

    @property
    def connections(self) -> int:
        """How many connections there are, with a stream or without."""
        return len(self._waiting) + len(self._hub) + len(self._leaving)

    def close(self) -> None:
        """Close what is still open, for a process that goes on."""
        self._loop.remove_reader(self._listening)
        self._listening.close()

    # From the network

    def asked(self, connection: Connection, body: bytes) -> None:
        """Hand a request to the key server, or let it wait for its turn."""
        if len(self._hub) >= self._streams_max:
            connection.take_verdict(eventstreams.busy(self._retry_ms() // 1_000))
            return
        self._queue.append((connection, body))
        self._ask_next()

    def closed(self, connection: Connection, *, slow: bool) -> None:
        """Forget a connection."""
        self._waiting.pop(connection, None)
        self._leaving.pop(connection, None)
        self._hub.remove(connection)
        self._slow += slow
        if not self._accepts:
            self._accept_again()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if len(self._waiting) >= self._waiting_max and not self._make_room():
                self._pause_accepting()
                return
            try:
                accepted, _ = self._listening.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError:
                self._pause_accepting()
                return
            try:
                connection = Connection(accepted, self._tls, self._loop, self)
            except (OSError, ValueError):
                accepted.close()
            else:
                self._waiting[connection] = self._loop.time() + WAITING_S

    def _pause_accepting(self) -> None:
        """Leave connections to wait in the kernel's queue for a while, or until one of ours ends."""
        self._accepts = False
        self._loop.remove_reader(self._listening)
        self._loop.call_later(ACCEPT_PAUSE_S, self._accept_again)

    def _accept_again(self) -> None:
        if not self._accepts and self._listening.fileno() >= 0:
            self._accepts = True
            self._loop.add_reader(self._listening, self._accept)

    def _make_room(self) -> bool:
        """Close the connection that has waited longest if that is too long; return whether it did."""
        oldest = next(iter(self._waiting))
        if self._waiting[oldest] > self._loop.time() + WAITING_S - PRESSED_S:
            return False
        oldest.close()
        return True

    # To and from the key server

    def _ask_next(self) -> None:
        while self._queue and len(self._asked) < ASKED_AT_ONCE:
            connection, body = self._queue.popleft()
            if connection.stage is Stage.ASKED:
                self._number += 1
                self._asked[self._number] = connection
                self._say(Asked(self._number, body))

    def _take(self, frame: eventlink.Downward) -> None:
        match frame:
            case Verdict():
                self._answer(frame)
            case Tell():
                self._tells.append(frame)
                self._told.set()
            case Look():
                self._due += [
                    each for each in self._hub.of_party(frame.party) if isinstance(each, Connection)
                ]
                self._check()
            case Checked():
                for connection, channels in zip(
                    self._checks.pop(frame.number, []), frame.channels, strict=False
                ):
                    self._end_others(connection, channels)
            case Certify():
                # The key server has tried them; should they have changed since, the old ones go on.
                with contextlib.suppress(OSError):
                    self._tls = make_context(frame.certificate, frame.key)

    def _answer(self, verdict: Verdict) -> None:
        connection = self._asked.pop(verdict.number, None)
        if connection is not None and connection.stage is Stage.ASKED:
            if verdict.opened is not None and len(self._hub) >= self._streams_max:
                # The last place went to one that asked at the same moment.
                verdict = eventstreams.busy(self._retry_ms() // 1_000)
            connection.take_verdict(verdict, eventstreams.greeting(self._retry_ms()))
            if connection.is_open:
                self._waiting.pop(connection, None)
                self._enter(connection)
        self._ask_next()

    def _enter(self, connection: Connection) -> None:
        displaced = self._hub.add(connection)
        if isinstance(displaced, Connection):
            self._displaced += 1
            self._hub.remove(displaced)
            self._let_go(displaced)
        if not self._accepts:
            self._accept_again()

    def _end_others(self, connection: Connection, channels: list[int]) -> None:
        """Tell a stream of the channels that are over for it; with none left it ends."""
        for channel in self._hub.narrow(connection, channels):
            connection.send(eventhub.event_bytes(Event(kind="ended", channel=channel)))
        if connection.stage is Stage.OPEN and not connection.opened.channels:
            self._hub.remove(connection)
            self._let_go(connection)

    def _let_go(self, connection: Connection) -> None:
        connection.leave()
        if connection.stage is Stage.LEAVING:
            self._leaving[connection] = self._loop.time() + LEAVING_S

    def _say(self, frame: eventlink.Frame) -> None:
        if self._writer is not None:
            self._writer.write(eventlink.pack(frame))

    # By the clock

    async def _tell_all(self) -> None:
        """Send events in slices, in the order in which they came."""
        while True:
            await self._told.wait()
            self._told.clear()
            while self._tells:
                tell = self._tells.popleft()
                concerned = self._hub.concerned(tell)
                for slice_ in _slices(concerned):
                    data = eventhub.event_bytes(eventhub.as_of(tell, self._clock.monotonic_ns()))
                    for stream in slice_:
                        stream.send(data)
                    self._events += len(slice_)
                    if len(concerned) > SLICE:
                        await asyncio.sleep(SLICE_PAUSE_S)
                if tell.event.kind == "ended":
                    for stream in concerned:
                        self._forget_channel(stream, tell.event.channel)

    def _forget_channel(self, stream: eventhub.Stream, channel: int) -> None:
        self._hub.narrow(stream, [each for each in stream.opened.channels if each != channel])
        if isinstance(stream, Connection) and not stream.opened.channels:
            self._hub.remove(stream)
            self._let_go(stream)

    async def _turn(self) -> None:
        """Ping the streams whose turn it is, have some of them checked, and end what took too long."""
        at = self._loop.time()
        while True:
            at += eventhub.TURN_S
            await asyncio.sleep(max(0.0, at - self._loop.time()))
            ping = eventstreams.greeting(self._retry_ms())
            for stream in self._hub.next_turn():
                stream.send(ping)
                stream.rounds += 1
                if stream.rounds % eventhub.CHECK_ROUNDS == 0 and isinstance(stream, Connection):
                    self._due.append(stream)
            self._check()
            self._end_overdue()

    def _check(self) -> None:
        while self._due:
            rows, self._due = self._due[:CHECK_ROWS_MAX], self._due[CHECK_ROWS_MAX:]
            self._number += 1
            self._checks[self._number] = rows
            self._say(Check(self._number, [each.opened for each in rows]))

    def _end_overdue(self) -> None:
        now = self._loop.time()
        for connections in (self._waiting, self._leaving):
            for connection in [each for each, until in connections.items() if until <= now]:
                connection.close()

    async def _count(self) -> None:
        """Tell the key server now and then what there is, for its metrics."""
        last: Counts | None = None
        while True:
            counts = Counts(len(self._hub), self._events, self._slow, self._displaced)
            if counts != last:
                self._say(counts)
                last = counts
            await asyncio.sleep(COUNTS_S)

    def _retry_ms(self) -> int:
        """Return over how long so many spread their return, at the rate that suits a key server."""
        return max(RETRY_MS_MIN, len(self._hub) * 1_000 // ASKED_PER_S)


def make_context(certificate: str, key: str) -> ssl.SSLContext:
    """Return a context for the listener; raises OSError (which SSLError is) for files that do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    # A ticket would save a client one signature of ours (30 µs) and cost each stream two records.
    context.num_tickets = 0
    context.load_cert_chain(certificate, key)
    return context


def raise_descriptors() -> int:
    """Raise this process's limit of open files as far as it may go, and return it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def main() -> int:
    """Run until the key server is gone; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # They are for the key server, whose end is ours: a terminal and systemd send them to both.
        signal.signal(number, signal.SIG_IGN)
    start = msgspec.json.decode(sys.argv[1], type=Start)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    descriptors = raise_descriptors()

    async def serve() -> None:
        await Worker(start, SystemClock(), descriptors).run()

    asyncio.run(serve())
    return 0


def _slices(streams: list[eventhub.Stream]) -> Iterator[list[eventhub.Stream]]:
    for begin in range(0, len(streams), SLICE):
        yield streams[begin : begin + SLICE]


if __name__ == "__main__":
    # Nothing is left to close well: the kernel ends ten thousand sockets faster than we do.
    status = main()
    sys.stdout.flush()
    os._exit(status)
