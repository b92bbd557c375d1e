"""Shows calls over HTTPS to several key servers of which some are gone, mute, busy, slow or talk nonsense."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from msgspec.structs import replace

from client.small_server import Authority, OsRandom, SmallServer
from sealcast.client import KeyServerClient, choosing, limits
from sealcast.client.choosing import Choice, rank
from sealcast.core.errors import RefusedError
from sealcast.core.ports import NS_PER_MS
from sealcast.device.vault import Credential
from sealcast.messages import jwk, operations

RANDOM = OsRandom()
LEASE = {"channel": "news", "first_unused": 0}
GENEROUS_S = 3.0
"""Far more than a call needs that passes over a fault, and half of what waiting for a mute server takes."""

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


@pytest.fixture(scope="module")
def authority() -> Authority:
    """Return the operator's CA."""
    return Authority("operator CA")


class Cluster:
    """Key servers with the same keys, and one device's way to them."""

    def __init__(self, authority: Authority, folder: Path, size: int) -> None:
        server_key = jwk.new_signing_pair(RANDOM)
        self.credential = Credential(
            role="sender",
            id="studio-1",
            operator="op",
            signing=jwk.new_signing_pair(RANDOM),
            kek=jwk.new_sealing_pair(RANDOM),
            ca_pem=authority.pem,
            servers=["https://127.0.0.1:9"],
            server_key=server_key.public(),
            server_kek=jwk.new_sealing_pair(RANDOM).public(),
        )
        tls = authority.server_context(folder)
        self.servers = [SmallServer(tls, server_key, self.credential) for _ in range(size)]
        for server in self.servers:
            server.nonce_key = self.servers[0].nonce_key

    @asynccontextmanager
    async def client(self, choice: Choice) -> AsyncIterator[KeyServerClient]:
        """Start the servers and give a client of all of them."""
        async with AsyncExitStack() as stack:
            for server in self.servers:
                await stack.enter_async_context(server)
            credential = replace(self.credential, servers=[server.url for server in self.servers])
            yield await stack.enter_async_context(KeyServerClient(credential, RANDOM, choice=choice))

    def favourite(self) -> SmallServer:
        """Return the server that the device asks first under `fixed`."""
        first = rank(self.credential.id, [server.url for server in self.servers])[0]
        return next(server for server in self.servers if server.url == first)


async def timed_call(client: KeyServerClient) -> float:
    """Ask for a lease; return how long it took, in s."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await client.call(operations.LEASE, **LEASE)
    return loop.time() - began_s


async def mute(_: web.Request) -> None:
    """Take the question and say nothing."""
    await asyncio.sleep(60)


async def slow(_: web.Request) -> None:
    """Answer after two patiences."""
    await asyncio.sleep(2 * choosing.PATIENCE_NS_MIN / 1e9)


async def fault(_: web.Request) -> web.StreamResponse:
    """Answer with a fault of the server."""
    return web.Response(status=500)


async def nonsense(_: web.Request) -> web.StreamResponse:
    """Answer with what no key server of ours says."""
    return web.Response(body=b"\xff" * 100)


async def page(_: web.Request) -> web.StreamResponse:
    """Answer as some other program at that address would."""
    return web.Response(status=404, text="<html>")


@pytest.mark.parametrize("choice", Choice)
@pytest.mark.parametrize("wrong", [mute, slow, fault, nonsense, page])
def test_a_call_succeeds_past_a_server_at_fault(
    authority: Authority, tmp_path: Path, wrong: Fault, choice: Choice
) -> None:
    """The first server is at fault: the call is answered all the same, and the next ones leave it out."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 3)
        async with cluster.client(choice) as client:
            bad = cluster.favourite() if choice is Choice.FIXED else cluster.servers[0]
            bad.before = wrong
            if choice is Choice.ROUND_ROBIN:
                for _ in range(2):  # So that the bad one is met in any case.
                    await client.call(operations.LEASE, **LEASE)
            assert await timed_call(client) < GENEROUS_S
            asked = len(bad.jtis)
            assert asked
            await client.call(operations.LEASE, **LEASE)
            assert len(bad.jtis) == asked
            assert client.server != bad.url

    asyncio.run(story())


@pytest.mark.parametrize("choice", [Choice.FIXED, Choice.LISTED])
def test_two_of_three_are_mute_or_gone(authority: Authority, tmp_path: Path, choice: Choice) -> None:
    """While one server lives that can be reached, calls get their answer within a fetch window."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 3)
        async with cluster.client(choice) as client:
            order = rank("studio-1", [s.url for s in cluster.servers]) if choice is Choice.FIXED else None
            servers = sorted(cluster.servers, key=lambda s: order.index(s.url) if order else 0)
            servers[0].before = mute
            await servers[1].runner.cleanup()
            assert await timed_call(client) < GENEROUS_S
            assert client.server == servers[2].url
            servers[2].before, servers[0].before = mute, None
            assert await timed_call(client) < GENEROUS_S
            assert client.server == servers[0].url

    asyncio.run(story())


def test_four_mute_servers_before_one_that_answers(authority: Authority, tmp_path: Path) -> None:
    """No more than three are asked at one time: the first is given up for the fourth."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 5)
        async with cluster.client(Choice.LISTED) as client:
            under_way = [0, 0]

            async def counting(_: web.Request) -> None:
                under_way[0] += 1
                under_way[1] = max(under_way)
                try:
                    await asyncio.sleep(60)
                finally:
                    under_way[0] -= 1

            for server in cluster.servers[:4]:
                server.before = counting
            assert await timed_call(client) < 2 * GENEROUS_S
            assert under_way[1] <= 3
            assert client.server == cluster.servers[4].url
            assert len({jti for server in cluster.servers for jti in server.jtis}) == 1

    asyncio.run(story())


def test_a_busy_server_is_left_alone_and_gets_its_load_back(authority: Authority, tmp_path: Path) -> None:
    """After 503 with Retry-After another server is asked at once, and that one when its time is over."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 2)
        async with cluster.client(Choice.FIXED) as client:
            favourite = cluster.favourite()

            async def busy(_: web.Request) -> web.StreamResponse:
                return favourite.refuse("busy", "too many requests wait")

            favourite.before = busy
            await client.call(operations.LEASE, **LEASE)
            assert client.server != favourite.url
            favourite.before, asked = None, len(favourite.jtis)
            await client.call(operations.LEASE, **LEASE)
            assert len(favourite.jtis) == asked
            await asyncio.sleep(2.6)
            await client.call(operations.LEASE, **LEASE)
            assert client.server == favourite.url

    asyncio.run(story())


def test_load_returns_to_a_server_that_is_back(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that was gone is tried again, by one request, and is the first again once it answers."""
    monkeypatch.setattr(choosing, "SHUT_NS_MAX", 200 * NS_PER_MS)

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 3)
        async with cluster.client(Choice.FIXED) as client:
            favourite = cluster.favourite()
            favourite.before = fault
            for _ in range(4):
                await client.call(operations.LEASE, **LEASE)
            assert client.server != favourite.url
            favourite.before = None
            await asyncio.sleep(0.25)
            asked = len(favourite.jtis)
            await asyncio.gather(*(client.call(operations.LEASE, **LEASE) for _ in range(4)))
            assert len(favourite.jtis) >= asked + 1
            await client.call(operations.LEASE, **LEASE)
            assert client.server == favourite.url

    asyncio.run(story())


def test_round_robin_spreads_calls(authority: Authority, tmp_path: Path) -> None:
    """Calls go to the servers in turn."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 3)
        async with cluster.client(Choice.ROUND_ROBIN) as client:
            for _ in range(9):
                await client.call(operations.LEASE, **LEASE)
            jtis = [{*server.jtis} for server in cluster.servers]
            assert [len(asked) for asked in jtis] == [3, 3, 3]

    asyncio.run(story())


def test_a_server_that_lacks_a_key_is_passed_over(authority: Authority, tmp_path: Path) -> None:
    """After `pass_over` the next call goes to another server."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 2)
        async with cluster.client(Choice.FIXED) as client:
            await client.call(operations.LEASE, **LEASE)
            assert client.server == cluster.favourite().url
            client.pass_over()
            await client.call(operations.LEASE, **LEASE)
            assert client.server != cluster.favourite().url

    asyncio.run(story())


def test_a_decision_is_not_asked_for_twice(authority: Authority, tmp_path: Path) -> None:
    """A no of a key server is an answer: no other one is asked for a better one."""

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 3)
        async with cluster.client(Choice.LISTED) as client:

            async def no(_: web.Request) -> web.StreamResponse:
                return cluster.servers[0].refuse("not-your-channel", "it is not yours")

            cluster.servers[0].before = no
            with pytest.raises(RefusedError, match="not yours"):
                await client.call(operations.LEASE, **LEASE)
            assert cluster.servers[1].jtis == cluster.servers[2].jtis == []

    asyncio.run(story())


def test_an_operator_is_patient(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an operator asks may take its time: no second server begins the same work."""
    monkeypatch.setattr(limits, "ATTEMPT_S_MAX", 5.0)

    async def story() -> None:
        cluster = Cluster(authority, tmp_path, 2)
        async with cluster.client(Choice.LISTED) as client:
            cluster.servers[0].before = slow
            await client.call(operations.CHANNEL_LIST)
            assert cluster.servers[1].jtis == []

    asyncio.run(story())
