"""Shows that pushed events arrive, that streams come back by themselves, and that floods do no harm."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from client.small_server import Authority, OsRandom, SmallServer
from sealcast.client import KeyServerClient, limits
from sealcast.client.events import EventFeed
from sealcast.device.vault import Credential
from sealcast.messages import jose, jwk
from sealcast.messages.encoding import decode, encode
from sealcast.messages.operations import EVENTS
from sealcast.messages.subscribing import Event, EventsRequest

RANDOM = OsRandom()
WAIT_S = 10

Push = Callable[[bytes], None]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the operator's CA."""
    return Authority("operator CA")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have listeners come back within milliseconds."""
    for name, value in {
        "STREAM_GATHER_S": 0.01,
        "STREAM_SPREAD_S": 0.01,
        "STREAM_RETRY_S": 0.02,
        "STREAM_RETRY_S_MAX": 0.2,
    }.items():
        monkeypatch.setattr(limits, name, value)


class EventServer(SmallServer):
    """Pushes to each stream what `push` is given; `asked` are the channels of each stream that began."""

    def __init__(self, tls: ssl.SSLContext, credential: Credential) -> None:
        super().__init__(tls, jwk.new_signing_pair(RANDOM), credential)
        self.asked: list[list[str]] = []
        self.tries = 0
        self.refusal: tuple[str, str] | None = None
        self._streams: list[asyncio.Queue[bytes | None]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Check the request as the real server does, then stream."""
        self.tries += 1
        token = await request.read()
        asked = decode(jose.verify(token, self.credential.signing, typ=jose.TYP_REQUEST), EventsRequest)
        assert (request.path, asked.op, asked.aud) == (EVENTS.path, EVENTS.name, self.credential.operator)
        if not asked.nonce:
            return self.refuse("use-nonce", "take this nonce")
        if self.refusal is not None:
            return self.refuse(*self.refusal)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._streams.append(queue)
        self.asked.append(asked.channels)
        with contextlib.suppress(ConnectionError):
            while (data := await queue.get()) is not None:
                await response.write(data)
        return response

    def push(self, data: bytes) -> None:
        """Send bytes on every stream."""
        for stream in self._streams:
            stream.put_nowait(data)

    def end(self) -> None:
        """End every stream."""
        for stream in self._streams:
            stream.put_nowait(None)
        self._streams.clear()


def as_bytes(event: Event) -> bytes:
    """Return an event as the key server writes it."""
    return b"data: " + encode(event) + b"\n\n"


def change(channel: int, epoch: int = 2) -> Event:
    """Return the event of a coming key."""
    return Event(kind="key-change", channel=channel, key_id=f"{channel:08x}{epoch:08x}", closes_in_ms=1_000)


def device(authority: Authority) -> Credential:
    """Return a device of the operator."""
    return Credential(
        role="device",
        id="tv",
        operator="op",
        signing=jwk.new_oct_key(RANDOM),
        kek=jwk.new_oct_key(RANDOM),
        ca_pem=authority.pem,
        servers=["https://127.0.0.1:9"],
        server_key=jwk.new_signing_pair(RANDOM).public(),
        server_kek=jwk.new_sealing_pair(RANDOM).public(),
    )


@contextlib.asynccontextmanager
async def stage(authority: Authority, folder: Path) -> AsyncIterator[tuple[EventServer, EventFeed]]:
    """Run a server and give a listener that its operator knows."""
    credential = device(authority)
    async with (
        EventServer(authority.server_context(folder), credential) as server,
        KeyServerClient(credential, RANDOM) as client,
    ):
        yield server, client.events
        server.end()


async def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - what it waits for is in places that tell nobody
            await asyncio.sleep(0.005)


def test_events_arrive(authority: Authority, tmp_path: Path) -> None:
    """Each event reaches those who follow its channel; pings and what nobody understands reach nobody."""

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            news: list[Event] = []
            film: list[Event] = []
            feed.follow(7, [server.url], news.append)
            feed.follow(8, [server.url], film.append)
            await until(lambda: server.asked)
            assert server.asked == [["7", "8"]], "one stream for both"
            server.push(b": ping\n\n" + b"data: {}\n\n" + b'data: {"kind": "party", "channel": 7}\n\n')
            for event in (change(7), change(8), change(9)):
                server.push(as_bytes(event))
            server.push(as_bytes(Event(kind="ended", channel=8))[:20])
            server.push(as_bytes(Event(kind="ended", channel=8))[20:])
            await until(lambda: len(film) == 2)
            assert (news, film) == ([change(7)], [change(8), Event(kind="ended", channel=8)])
            assert server.tries == 2, "one more for the nonce"

    asyncio.run(story())


def test_channels_come_and_go(authority: Authority, tmp_path: Path) -> None:
    """A channel that is added gets into a new stream; one that is left is heard no more; the last ends it."""

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            heard: list[Event] = []
            leave_news = feed.follow(7, [server.url], heard.append)
            await until(lambda: server.asked)
            leave_film = feed.follow(8, [server.url], heard.append)
            await until(lambda: len(server.asked) == 2)
            assert server.asked[1] == ["7", "8"]
            leave_news()
            server.push(as_bytes(change(7)) + as_bytes(change(8)))
            await until(lambda: heard)
            assert {event.channel for event in heard} == {8}
            leave_film()
            leave_film()
            assert not feed._lines

    asyncio.run(story())


def test_a_stream_that_ends_comes_back_at_the_next_address(authority: Authority, tmp_path: Path) -> None:
    """Ended, or begun at a dead address, it is opened again elsewhere, and events go on."""

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            heard: list[Event] = []
            feed.follow(7, ["https://127.0.0.1:9", server.url], heard.append)
            for number in range(3):
                await until(lambda number=number: len(server.asked) > number)
                server.push(as_bytes(change(7, number)))
                await until(lambda number=number: len(heard) == number + 1)
                server.end()
            assert [event.key_id for event in heard] == [f"00000007{number:08x}" for number in range(3)]

    asyncio.run(story())


@pytest.mark.parametrize("bad", [b"data: " + bytes(10_000), b"data: x\n" * 3_000])
def test_bad_streams_are_ended(authority: Authority, tmp_path: Path, bad: bytes) -> None:
    """A stream out of bounds is ended by us, and another one is opened later."""

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            heard: list[Event] = []
            feed.follow(7, [server.url], heard.append)
            await until(lambda: server.asked)
            server.push(bad)
            await until(lambda: len(server.asked) == 2)
            assert not heard

    asyncio.run(story())


def test_floods_and_silence_end_a_stream(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many events in ten seconds, and a stream without even a ping, are given up for another stream."""
    monkeypatch.setattr(limits, "EVENTS_PER_10_S_MAX", 100)

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            heard: list[Event] = []
            feed.follow(7, [server.url], heard.append)
            await until(lambda: server.asked)
            server.push(as_bytes(change(7)) * 60)
            server.push(as_bytes(change(7)) * 60)
            await until(lambda: len(server.asked) == 2)
            assert len(heard) <= 100
            monkeypatch.setattr(limits, "STREAM_IDLE_S", 0.05)
            server.push(b": ping\n\n")
            await until(lambda: len(server.asked) >= 4)

    asyncio.run(story())


def test_a_no_is_waited_for(authority: Authority, tmp_path: Path) -> None:
    """Refused, a listener comes back as late as it is told, and a later yes is taken."""

    async def story() -> None:
        async with stage(authority, tmp_path) as (server, feed):
            heard: list[Event] = []
            server.refusal = ("not-subscribed", "tv is not subscribed")
            feed.follow(7, [server.url], heard.append)
            began_s = asyncio.get_running_loop().time()
            await until(lambda: server.tries >= 2)
            server.refusal = None
            await until(lambda: server.asked)
            assert asyncio.get_running_loop().time() - began_s > 1.9, "the server says Retry-After: 2"
            server.push(as_bytes(change(7)))
            await until(lambda: heard)

    asyncio.run(story())


def test_nobody_else_is_listened_to(authority: Authority, tmp_path: Path) -> None:
    """A server under another CA is told nothing, and what it would push is never read."""

    async def story() -> None:
        stranger = Authority("operator CA")
        async with (
            EventServer(stranger.server_context(tmp_path), device(stranger)) as server,
            KeyServerClient(device(authority), RANDOM) as client,
        ):
            client.events.follow(7, [server.url, "http://127.0.0.1:9"], lambda _: None)
            await asyncio.sleep(0.3)
            assert (server.tries, server.asked) == (0, [])

    asyncio.run(story())


def test_without_addresses_and_beyond_the_bound_nothing_happens(authority: Authority) -> None:
    """A key server that pushes nothing, and more channels than streams have room for, are no error."""

    async def story() -> None:
        credential = replace(device(authority), servers=["https://127.0.0.1:9"])
        async with KeyServerClient(credential, RANDOM) as client:
            client.events.follow(1, [], lambda _: None)()
            assert not client.events._lines
            leaves = [
                client.events.follow(channel, ["https://127.0.0.1:9"], lambda _: None)
                for channel in range(limits.STREAMS_MAX * limits.STREAM_CHANNELS_MAX + 5)
            ]
            assert len(client.events._lines) == limits.STREAMS_MAX
            for leave in leaves[:-1]:
                leave()
            assert not client.events._lines

    asyncio.run(story())
