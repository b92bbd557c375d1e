"""Shows relaying: what a server does not carry out goes to the master, over real HTTPS, and only once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sealcast.cluster.sealing import RelayProof
from sealcast.messages import operations
from sealcast.messages.encoding import decode, encode
from sealcast.messages.problems import Problem, problem, problem_name
from sealcast.server.cluster.relayapp import RelayingApp
from sealcast.server.cluster.relaying import HEADER_RELAYED, Relay
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import SILENT_S
from sealcast.server.state import load_server_state
from server.masters import Side, masters
from server.newcomers import invite, newcomer
from server.overhttps import serving
from server.replicas import Site
from server.running import Caller, Running, free_port, running
from server.stories import told
from server.test_selling import sell
from server.test_silence import converse, over_http1, unsold


def says(name: str) -> Callable[..., Any]:
    """Return an application whose every answer is the problem of that name."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        no = problem(name, "as the test has it")
        headers = [(b"content-type", b"application/problem+json")]
        await send({"type": "http.response.start", "status": no.status, "headers": headers})
        await send({"type": "http.response.body", "body": encode(no), "more_body": False})

    return app


@contextlib.asynccontextmanager
async def relaying(
    master: Running, candidates: list[str], *, inside: Any = None, **more: Any
) -> AsyncIterator[tuple[Caller, Relay]]:
    """Run a server that relays to `candidates`, and give the operator's side of it."""
    outcomes: list[str] = []
    relay = Relay(load_server_state(master.directory).ca_pem, lambda: candidates, on_relayed=outcomes.append)
    app = RelayingApp(inside or says("busy"), relay, **more)
    try:
        async with serving(app, master.directory) as url:
            operator = master.operator
            yield Caller(operator.credential, url, operator.session, operator.tls, operator.nonce), relay
    finally:
        await relay.close()


@told
async def test_a_relayed_request_is_answered_by_the_master(tmp_path: Path) -> None:
    """What is signed for the master is carried out there; the answer and a nonce come back."""
    async with running(tmp_path / "server") as master:
        await master.operator.fetch_nonce()
        async with relaying(master, [master.url]) as (caller, _):
            data = {"name": "news", "group": "239.1.2.3", "port": 5004}
            added = await caller.ask(operations.CHANNEL_ADD, channel=data, senders=[])
            assert (added.status, added.answer.channels[0].channel.name) == (200, "news")
            assert added.nonce
            assert [row.channel.name for row in (await caller.must(operations.CHANNEL_LIST)).channels] == [
                "news"
            ]
            twice = await caller.ask(operations.CHANNEL_ADD, channel=data, senders=[])
            assert (twice.status, twice.problem) == (409, "exists")


@told
async def test_a_sealed_answer_comes_back_unopened(tmp_path: Path) -> None:
    """Keys pass sealed to the device; the server between has nothing that opens them."""
    async with running(tmp_path / "server") as master:
        device = await master.register("tv", "device")
        await master.add_channel("news")
        await master.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
        async with relaying(master, [master.url]) as (caller, _):
            far = Caller(device.credential, caller.url, caller.session, caller.tls, master.operator.nonce)
            assert (await far.must(operations.KEYS, channel="news")).channel.name == "news"


@told
async def test_without_a_master_it_is_said_when_to_come_again(tmp_path: Path) -> None:
    """Nobody there, and somebody who is no master: 503 with Retry-After, within what a caller waits."""
    async with running(tmp_path / "server") as master:
        await master.operator.fetch_nonce()
        dead = f"https://127.0.0.1:{free_port()}"
        async with relaying(master, [dead]) as (caller, relay):
            reply = await caller.ask(operations.CHANNEL_LIST)
            assert (reply.status, reply.problem) == (503, "busy")
            assert not relay.is_worth_asking
        async with relaying(master, [dead, master.url]) as (caller, relay):
            caller.nonce = master.operator.nonce
            assert (await caller.ask(operations.CHANNEL_LIST)).status == 200
            assert relay.is_worth_asking


@told
async def test_nothing_is_relayed_twice(tmp_path: Path) -> None:
    """Two servers that take each other for the master say both that they are not."""
    async with running(tmp_path / "server") as master:
        await master.operator.fetch_nonce()
        first: list[str] = []
        async with relaying(master, first) as (one, _), relaying(master, [one.url]) as (other, _):
            first.append(other.url)
            async with asyncio.timeout(10):
                reply = await one.ask(operations.CHANNEL_LIST)
            assert (reply.status, reply.problem) == (503, "busy")
            body = one.token(operations.CHANNEL_LIST)
            headers = {HEADER_RELAYED: "1"}
            url = one.url + operations.CHANNEL_LIST.path
            async with one.session.post(url, data=body, headers=headers, ssl=one.tls) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("name", ["not-subscribed", "not-authenticated", "unknown-channel"])
@told
async def test_the_master_has_the_last_word_on_a_no(tmp_path: Path, name: str) -> None:
    """A no of here that may be out of date is the master's to say; if it is silent, the no of here stands."""
    async with running(tmp_path / "server") as master:
        device = await master.register("tv", "device")
        await master.add_channel("news")
        await master.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
        servers = [master.url]
        async with relaying(master, servers, inside=says(name), here=[operations.KEYS.path]) as (caller, _):
            far = Caller(device.credential, caller.url, caller.session, caller.tls, master.operator.nonce)
            assert (await far.must(operations.KEYS, channel="news")).channel.name == "news"
            servers[:] = [f"https://127.0.0.1:{free_port()}"]
            assert (await far.ask(operations.KEYS, channel="news")).problem == name


@told
async def test_other_noes_are_of_here(tmp_path: Path) -> None:
    """What the master could not know better is not relayed; a full disk here stays a 503."""
    async with running(tmp_path / "server") as master:
        await master.operator.fetch_nonce()
        async with relaying(
            master, [master.url], inside=says("busy"), here=[operations.CHANNEL_LIST.path]
        ) as (caller, _):
            assert (await caller.ask(operations.CHANNEL_LIST)).problem == "busy"


@told
async def test_who_is_behind_asks_first(tmp_path: Path) -> None:
    """While what is known here is out of date, the master is asked first, and here second."""
    async with running(tmp_path / "server") as master:
        await master.operator.fetch_nonce()
        servers = [master.url]
        async with relaying(
            master,
            servers,
            inside=says("epoch-taken"),
            here=[operations.CHANNEL_LIST.path],
            first_asked=operations.CHANNEL_LIST.path,
            is_behind=lambda: True,
        ) as (caller, _):
            assert (await caller.ask(operations.CHANNEL_LIST)).status == 200
            servers[:] = [f"https://127.0.0.1:{free_port()}"]
            assert (await caller.ask(operations.CHANNEL_LIST)).problem == "epoch-taken"


@told
async def test_what_is_public_is_the_masters(tmp_path: Path) -> None:
    """The revocation list is fetched where it is signed; a body too large is refused, an unknown path too."""
    async with (
        running(tmp_path / "server") as master,
        relaying(master, [master.url], inside=says("unknown-channel")) as (caller, _),
    ):
        async with caller.session.get(caller.url + "/v1/crl", ssl=caller.tls) as answer:
            assert (answer.status, answer.content_type) == (200, "application/pkix-crl")
        big, url = b"x" * (300 * 1024), caller.url + operations.CHANNEL_LIST.path
        with contextlib.suppress(aiohttp.ClientError):
            async with caller.session.post(url, data=big, ssl=caller.tls) as answer:
                assert answer.status == 413
        async with caller.session.post(caller.url + "/v1/nowhere", data=b"", ssl=caller.tls) as answer:
            assert problem_name(decode(await answer.read(), Problem).type) == "unknown-channel"


def test_an_unsold_device_hears_as_little_from_a_relay(tmp_path: Path) -> None:
    """Where the master is silent, a relay is, too; and a caller that says it is a relay is no exception."""

    async def story() -> None:
        async with masters() as site:
            side, directory = Side(site, await site.open(unsold="silent")), site.folder / "one"
            await sell(side, "TV-2")
            enrolment = await unsold(newcomer(side), await invite(side), "FAKE-1")
            sent = over_http1(operations.ENROL, enrolment)
            lying = sent.replace(b"Host: test", f"Host: test\r\n{HEADER_RELAYED}: 1".encode())
            candidates: list[str] = []
            prove = RelayProof(site.secrets.cluster_key).of
            relay = Relay(load_server_state(directory).ca_pem, lambda: candidates, prove=prove)
            async with (
                serving(side.master.app, directory) as there,
                serving(RelayingApp(says("busy"), relay), directory) as here,
            ):
                candidates.append(there)
                for url, asked in ((here, sent), (there, sent), (there, lying)):
                    got, took_s = await converse(Running(tmp_path, url, side.operator), asked)
                    assert got == b""
                    assert took_s > SILENT_S - 0.05
                assert relay.is_worth_asking
                await relay.close()

    asyncio.run(story())


def test_a_reload_changes_whom_a_replica_relays_to(tmp_path: Path) -> None:
    """Addresses that a reload brings are asked for the master from then on, those that it drops no more."""
    site = Site(tmp_path)
    try:
        replica, state = site.replica, load_server_state(site.directory)

        async def is_worth_asking(*urls: str) -> bool:
            settings = KeyserverSettings(site.directory, "127.0.0.1", 8444, urls=urls)
            await replica.reload(state, settings)
            return replica.relay.is_worth_asking

        assert not site.run(is_worth_asking("https://127.0.0.1:8444"))
        assert site.run(is_worth_asking("https://127.0.0.1:8444", "https://127.0.0.1:8445"))
    finally:
        site.close()
