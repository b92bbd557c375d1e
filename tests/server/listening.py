"""Owns a key server with event streams in the test's own process, and parties that listen by hand."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sealcast.core.ports import Random
from sealcast.messages import operations
from sealcast.messages.encoding import decode
from sealcast.messages.problems import Problem, problem_name
from sealcast.messages.subscribing import Event
from sealcast.server.run import Reloads, serve_keyserver
from sealcast.server.settings import EventSettings, KeyserverSettings
from sealcast.transport.system import SystemClock, SystemRandom
from server.running import Caller, Running, client, free_port, make_state, material

RANDOM: Random = SystemRandom()
WAIT_S = 20


@dataclass
class Stream:
    """A connection to the event listener; nothing of it is read ahead."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, body: bytes, *, path: str = operations.EVENTS.path) -> str:
        """Send a request; return the problem's name, its title if it has none, or an empty text."""
        self.writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        self.writer.write(body)
        return await self.answered()

    async def answered(self) -> str:
        """Read an answer's head, and its body if it is a no."""
        async with asyncio.timeout(WAIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("HTTP/1.1 200 "):
                return ""
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
            problem = decode(await self.reader.readexactly(int(fields["Content-Length"])), Problem)
        assert head.startswith(f"HTTP/1.1 {problem.status} ")
        self.nonce = fields.get("Sealcast-Nonce", "")
        return problem_name(problem.type) if problem.type != "about:blank" else problem.title

    async def event(self, within_s: float = WAIT_S) -> Event | None:
        """Return the next event, None if the stream ended."""
        async with asyncio.timeout(within_s):
            while line := await self._line():
                if line.startswith(b"data: "):
                    return decode(line[6:], Event)
        return None

    async def _line(self) -> bytes:
        try:
            return await self.reader.readline()
        except OSError:
            return b""

    def close(self) -> None:
        """Close at once."""
        self.writer.transport.abort()


@dataclass
class Place:
    """A running server: `news` is on air by `studio`, its device is `tv`; `other` is another channel."""

    server: Running
    port: int
    number: int
    sender: Caller
    device: Caller
    slots: list[tuple[int, int]]
    reloads: Reloads
    open: list[Stream]

    async def connect(self, tls: ssl.SSLContext | None = None) -> Stream:
        """Return a connection over which nothing was asked yet."""
        context = tls or self.server.operator.tls
        stream = Stream(*await asyncio.open_connection("127.0.0.1", self.port, ssl=context, limit=2**16))
        self.open.append(stream)
        return stream

    async def listen(self, caller: Caller, *channels: str) -> Stream:
        """Return a stream that is open."""
        await caller.fetch_nonce()
        stream = await self.connect()
        assert await stream.ask(caller.token(operations.EVENTS, channels=[*channels]).encode()) == ""
        return stream

    async def publish(self, slot: int) -> str:
        """Publish the key of a slot and return its ID."""
        key = material(self.number, self.slots[slot][1])
        assert (await self.server.publish(self.sender, "news", key)).status == 200
        return key.key_id


@contextlib.asynccontextmanager
async def listening(directory: Path) -> AsyncIterator[Place]:
    """Run a key server that pushes events."""
    port, events_port = free_port(), free_port()
    credential = make_state(directory, port)
    events = EventSettings("127.0.0.1", events_port)
    settings = KeyserverSettings(directory, "127.0.0.1", port, events=events)
    ready, stop, reloads = asyncio.Event(), asyncio.Event(), Reloads(lambda: settings)
    serving = asyncio.create_task(
        serve_keyserver(
            settings,
            clock=SystemClock(),
            random=RANDOM,
            ready=lambda _: ready.set(),
            stop=stop,
            reloads=reloads,
        )
    )
    await asyncio.wait_for(ready.wait(), WAIT_S)
    async with client(credential, f"https://127.0.0.1:{port}") as operator:
        server = Running(directory, operator.url, operator, stop)
        number = (await server.add_channel("news")).channel.number
        await server.add_channel("other", port=5006)
        sender = await server.register("studio", "sender", channels=["news"])
        device = await server.register("tv", "device", channels=["news"])
        lease = await sender.must(operations.LEASE, channel="news")
        assert lease.events == [f"https://127.0.0.1:{events_port}"]
        slots = [(slot.ssrc, slot.epoch) for slot in lease.slots]
        place = Place(server, events_port, number, sender, device, slots, reloads, [])
        await place.publish(0)
        assert (await server.report(sender, "news", *slots[0])).status == 200
        try:
            yield place
        finally:
            for stream in place.open:
                stream.close()
            stop.set()
            await asyncio.wait_for(serving, WAIT_S)


def forged(token: str) -> bytes:
    """Return a request with one letter of its signature changed."""
    return (token[:-10] + ("A" if token[-10] != "A" else "B") + token[-9:]).encode()


def renamed(caller: Caller, name: str) -> Caller:
    """Return a caller that signs under another's name."""
    return Caller(
        msgspec.structs.replace(caller.credential, id=name),
        caller.url,
        caller.session,
        caller.tls,
        caller.nonce,
    )
