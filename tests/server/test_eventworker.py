"""Shows the event process under bad conditions: readers that read nothing, idlers, crowds, a full house."""

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sealcast.messages.subscribing import Event
from sealcast.server import eventhub, eventlink, eventstreams, eventworker
from sealcast.server.eventlink import Asked, Check, Checked, Counts, Look, Opened, Tell, Verdict
from sealcast.server.eventworker import Start, Worker
from sealcast.transport.system import SystemClock
from server.listening import WAIT_S, Stream
from server.running import make_state

NEWS, OTHER = 1, 2
DESCRIPTORS = 1_000


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the event process say often what it counts."""
    monkeypatch.setattr(eventworker, "COUNTS_S", 0.02)


@dataclass
class Desk:
    """The key server's side, played by hand: the body of a request is the party's name and its channels."""

    port: int
    tls: ssl.SSLContext
    writer: asyncio.StreamWriter
    allowed: dict[str, list[int]] = field(default_factory=dict)
    counts: Counts = field(default_factory=lambda: Counts(0, 0, 0, 0))
    open: list[Stream] = field(default_factory=list)

    def say(self, frame: eventlink.Frame) -> None:
        """Send a frame to the event process."""
        self.writer.write(eventlink.pack(frame))

    def tell(self, event: Event, party: str | None = None) -> None:
        """Have an event told."""
        self.say(Tell(event, SystemClock().monotonic_ns(), party))

    async def answer(self, reader: asyncio.StreamReader) -> None:
        """Answer whatever the event process says."""
        while (data := await eventlink.read_frame(reader)) is not None:
            match eventlink.upward(data):
                case Asked() as asked:
                    party, role = asked.body.decode().split()[:2]
                    channels = [int(word) for word in asked.body.decode().split()[2:]]
                    self.allowed[party] = channels
                    self.say(Verdict(asked.number, 200, "", {}, opened=Opened(party, role, channels)))
                case Check() as check:
                    rows = [[c for c in row.channels if c in self.allowed[row.party]] for row in check.rows]
                    self.say(Checked(check.number, rows))
                case Counts() as counts:
                    self.counts = counts

    async def connect(self) -> Stream:
        """Return a connection over which nothing was asked yet."""
        stream = Stream(*await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls))
        self.open.append(stream)
        return stream

    async def listen(self, party: str, *channels: int, role: str = "device") -> Stream:
        """Return an open stream of a party."""
        stream = await self.connect()
        assert await stream.ask(" ".join((party, role, *map(str, channels))).encode()) == ""
        return stream

    def listen_and_read_nothing(self, party: str, channel: int) -> ssl.SSLSocket:
        """Open a stream, with as small a buffer as the kernel gives; blocks."""
        plain = socket.socket()
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        plain.settimeout(WAIT_S)
        plain.connect(("127.0.0.1", self.port))
        connection = self.tls.wrap_socket(plain, server_hostname="127.0.0.1")
        body = f"{party} device {channel}"
        head = f"POST /v1/events HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 200 ")
        return connection


@contextlib.asynccontextmanager
async def worker(directory: Path, *, streams_max: int = 100) -> AsyncIterator[Desk]:
    """Run the event process's work in this process, over a real link."""
    credential = make_state(directory, 1)
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    port = listening.getsockname()[1]
    ours, theirs = socket.socketpair()
    start = Start(
        listening.detach(),
        theirs.detach(),
        str(directory / "tls.pem"),
        str(directory / "tls.key"),
        streams_max,
    )
    work = Worker(start, SystemClock(), DESCRIPTORS)
    running = asyncio.create_task(work.run())
    reader, writer = await asyncio.open_connection(sock=ours)
    desk = Desk(port, ssl.create_default_context(cadata=credential.ca_pem), writer)
    answering = asyncio.create_task(desk.answer(reader))
    try:
        yield desk
    finally:
        for stream in desk.open:
            stream.close()
        await until(lambda: not work.connections)
        writer.close()
        await asyncio.wait_for(running, WAIT_S)
        await answering
        work.close()
        # Transports that were aborted are gone in the next turn of the loop.
        await asyncio.sleep(0)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that is to become true."""
    async with asyncio.timeout(WAIT_S):
        while not is_so():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0.01)


def key_change(channel: int = NEWS, key_id: str = "0" * 16) -> Event:
    """Return an event of that kind."""
    return Event(kind="key-change", channel=channel, key_id=key_id, opens_in_ms=1_000, closes_in_ms=2_000)


def test_whom_an_event_concerns(tmp_path: Path) -> None:
    """A key change is for a channel's devices, a fence for its senders, and a party's own for it alone."""

    async def story() -> None:
        async with worker(tmp_path) as desk:
            tv = await desk.listen("tv", NEWS, OTHER)
            radio = await desk.listen("radio", NEWS)
            studio = await desk.listen("studio", NEWS, role="sender")
            desk.tell(Event(kind="fence", channel=NEWS))
            desk.tell(key_change())
            desk.tell(Event(kind="ended", channel=NEWS), "tv")
            desk.tell(key_change(OTHER))
            kinds = [event.kind for event in [await tv.event() for _ in range(3)] if event is not None]
            assert kinds == ["key-change", "ended", "key-change"]
            assert (await studio.event()) == Event(kind="fence", channel=NEWS)
            desk.tell(key_change())
            desk.tell(Event(kind="ended", channel=NEWS), "radio")
            for kind in ("key-change", "key-change", "ended"):
                event = await radio.event()
                assert event is not None
                assert event.kind == kind
            assert await radio.event() is None

    asyncio.run(story())


def test_a_window_is_told_as_it_stands() -> None:
    """An event that waited has a window that is nearer by as much, never one that is negative."""
    told = Tell(key_change(), 5_000_000_000)
    assert eventhub.as_of(told, 5_400_000_000) == Event(
        kind="key-change", channel=NEWS, key_id="0" * 16, opens_in_ms=600, closes_in_ms=1_600
    )
    late = eventhub.as_of(told, 65_000_000_000)
    assert (late.opens_in_ms, late.closes_in_ms) == (0, 0)


def test_who_reads_nothing_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream whose party does not read costs a bounded number of bytes, then ends; others lose nothing."""
    monkeypatch.setattr(eventworker, "SLICE_PAUSE_S", 0.0)

    async def story() -> None:
        async with worker(tmp_path) as desk:
            lazy = await asyncio.to_thread(desk.listen_and_read_nothing, "lazy", NEWS)
            good = await desk.listen("good", NEWS)
            for number in range(2_000):
                desk.tell(key_change(key_id=f"{number:016x}"))
                event = await good.event()
                assert event is not None
                assert event.key_id == f"{number:016x}"
                if desk.counts.slow:
                    break
            await until(lambda: desk.counts.slow == 1)
            assert desk.counts.streams == 1
            lazy.close()

    asyncio.run(story())


def test_half_open_connections_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections without a handshake, or with half a request, end in time; a stream is none of them."""
    monkeypatch.setattr(eventworker, "WAITING_S", 0.5)

    async def story() -> None:
        async with worker(tmp_path) as desk:
            stream = await desk.listen("tv", NEWS)
            silent = await asyncio.open_connection("127.0.0.1", desk.port)
            half = await desk.connect()
            half.writer.write(b"POST /v1/events HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
            assert await asyncio.wait_for(silent[0].read(), WAIT_S) == b""
            assert await asyncio.wait_for(half.reader.read(), WAIT_S) == b""
            silent[1].close()
            desk.tell(key_change())
            assert await stream.event() is not None

    asyncio.run(story())


def test_idlers_do_not_keep_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all places taken by connections that say nothing, a device gets its stream all the same."""
    monkeypatch.setattr(eventworker, "WAITING_MAX", 8)
    monkeypatch.setattr(eventworker, "PRESSED_S", 0.2)

    async def story() -> None:
        async with worker(tmp_path) as desk:
            idlers = [await asyncio.open_connection("127.0.0.1", desk.port) for _ in range(40)]
            stream = await asyncio.wait_for(desk.listen("tv", NEWS), WAIT_S)
            desk.tell(key_change())
            assert await stream.event() is not None
            for _, writer in idlers:
                writer.transport.abort()

    asyncio.run(story())


def test_a_full_house_says_so(tmp_path: Path) -> None:
    """Beyond the number of streams there is a no with a time to come again; a place that is left is free."""

    async def story() -> None:
        async with worker(tmp_path, streams_max=2) as desk:
            streams = [await desk.listen(f"tv-{number}", NEWS) for number in range(2)]
            await until(lambda: desk.counts.streams == 2)
            late = await desk.connect()
            assert await late.ask(b"late device 1") == "busy"
            streams[0].close()
            await until(lambda: desk.counts.streams == 1)
            assert await late.ask(b"late device 1") == ""

    asyncio.run(story())


def test_a_crowd_at_one_moment_does_not_overfill(tmp_path: Path) -> None:
    """Of many whose requests are under way at once, as many get a stream as there are places."""

    async def story() -> None:
        async with worker(tmp_path, streams_max=2) as desk:
            crowd = [await desk.connect() for _ in range(12)]
            bodies = [f"tv-{number} device 1".encode() for number in range(12)]
            said = await asyncio.gather(*map(Stream.ask, crowd, bodies))
            assert sorted(said) == [""] * 2 + ["busy"] * 10

    asyncio.run(story())


def test_streams_are_pinged_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stream has its pings, and at some of them it ends if its party may listen no more."""
    monkeypatch.setattr(eventhub, "TURN_S", 0.001)
    monkeypatch.setattr(eventhub, "CHECK_ROUNDS", 2)

    async def story() -> None:
        async with worker(tmp_path) as desk:
            stream = await desk.listen("tv", NEWS, OTHER)
            kept = await desk.listen("radio", NEWS)
            async with asyncio.timeout(WAIT_S):
                for line in (b": sealcast\n", b"retry: 1000\n", b"\n") * 3:
                    assert await kept.reader.readline() == line
            desk.allowed["tv"] = [OTHER]
            assert await stream.event() == Event(kind="ended", channel=NEWS)
            desk.allowed["tv"] = []
            assert await stream.event() == Event(kind="ended", channel=OTHER)
            assert await stream.event() is None
            desk.tell(key_change())
            assert await kept.event() is not None

    asyncio.run(story())


def test_a_party_that_changed_is_looked_at(tmp_path: Path) -> None:
    """Told that a party changed, the event process asks about its streams at once."""

    async def story() -> None:
        async with worker(tmp_path) as desk:
            stream = await desk.listen("tv", NEWS)
            desk.allowed["tv"] = []
            desk.say(Look("tv"))
            assert await stream.event() == Event(kind="ended", channel=NEWS)
            assert await stream.event() is None

    asyncio.run(story())


def test_a_broken_certificate_changes_nothing(tmp_path: Path) -> None:
    """Files that do not fit each other leave the certificate in force."""

    async def story() -> None:
        async with worker(tmp_path) as desk:
            desk.say(eventlink.Certify(os.devnull, os.devnull))
            stream = await desk.listen("tv", NEWS)
            desk.tell(key_change())
            assert await stream.event() is not None

    asyncio.run(story())


def test_limits_are_consistent() -> None:
    """A request is smaller than a frame, and what waits for a slow reader holds several events."""
    longest = eventhub.event_bytes(key_change())
    assert 10 * len(longest) < eventstreams.WAITING_BYTES_MAX
    assert 2 * eventworker.CHECK_ROWS_MAX * 64 * 10 < eventlink.FRAME_BYTES_MAX
