"""Attacks on a device by servers that are not its operator's, and by answers that are not its own."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from attacks import digest
from attacks.pair import Pair
from client.small_server import Authority
from sealcast.client import KeyServerClient
from sealcast.core.errors import AuthenticationError, SealcastError, UnreachableError
from sealcast.messages import jose, jwk, operations, problems
from sealcast.messages.answers import Grant
from sealcast.messages.encoding import encode
from server.running import RANDOM, Caller, Running, free_port, material, running
from simulation.parts import STRANGER, make_receiver


class Impostor:
    """A TLS server that answers every request with the same bytes and keeps what it was asked."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.asked: list[bytes] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        """Keep the request; give the answer that was prepared."""
        self.asked.append(await request.read())
        return web.Response(body=self.body, content_type=problems.MEDIA_TYPE_JOSE)


@asynccontextmanager
async def impostor(tls: ssl.SSLContext, body: bytes = b"") -> AsyncIterator[Impostor]:
    """Run an impostor on the loopback address."""
    server = Impostor(body)
    application = web.Application()
    application.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    server.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


async def with_devices(server: Running) -> tuple[Caller, Caller]:
    """Put a key of `news` on air and return two of its devices."""
    number = (await server.add_channel("news")).channel.number
    sender = await server.register("studio", "sender", channels=["news"])
    lease = await sender.must(operations.LEASE, channel="news")
    assert (await server.publish(sender, "news", material(number, 1))).status == 200
    await server.report(sender, "news", lease.slots[0].ssrc, 1)
    devices = [await server.register(name, "device", symmetric=False) for name in ("tv", "radio")]
    for device in devices:
        await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device=device.credential.id)
        await device.fetch_nonce()
    return devices[0], devices[1]


async def caught_answer(caller: Caller) -> bytes:
    """Return the envelope that the real server gives to a device, as it travels."""
    body = caller.token(operations.KEYS, channel="news")
    async with caller.session.post(caller.url + operations.KEYS.path, data=body, ssl=caller.tls) as response:
        assert response.status == 200
        return await response.read()


def sealed_by(signing: jwk.Jwk, device: Caller, answer: msgspec.Struct) -> bytes:
    """Return an answer that anybody can make who knows the device's public KEK."""
    inner = jose.sign(encode(answer), signing, kid="keyserver", typ=jose.TYP_ANSWER)
    recipient = device.credential.kek.public()
    return jose.seal(inner.encode(), recipient, kid="tv", typ=jose.TYP_SEALED_ANSWER).encode()


def test_forged_key_server_address_with_a_certificate_of_another_ca(tmp_path: Path) -> None:
    """A hint leads to a server with a valid certificate of another CA: it learns nothing, and is named."""
    evil = Authority("another CA")

    async def story() -> None:
        async with running(tmp_path) as server, impostor(evil.server_context(tmp_path)) as stranger:
            device, _ = await with_devices(server)
            session = make_receiver(channel=None)
            forged = Pair().changed(lambda seal: replace(seal, key_servers=(stranger.url,)), signer=STRANGER)
            before = digest.beliefs(session)
            session.handle_control(forged, 0)
            assert digest.beliefs(session) == before
            assert session.hinted_servers == (stranger.url,)
            nobody = f"https://127.0.0.1:{free_port()}"
            credential = msgspec.structs.replace(device.credential, servers=[nobody])
            async with KeyServerClient(credential, RANDOM) as client:
                client.use_servers([nobody, *session.hinted_servers])
                with pytest.raises(UnreachableError):
                    await client.call(operations.KEYS, channel="news")
            alone = msgspec.structs.replace(device.credential, servers=[stranger.url])
            async with KeyServerClient(alone, RANDOM) as client:
                with pytest.raises(UnreachableError, match="not by this operator's CA"):
                    await client.call(operations.KEYS, channel="news")
                client.use_servers([stranger.url, server.url])
                grant = await client.expect(operations.KEYS, Grant, channel="news")
            assert stranger.asked == []
            assert len(grant.keys) == 1

    asyncio.run(story())


@pytest.mark.parametrize("attack", ["another device's", "an earlier one", "not by the server", "cut short"])
def test_another_devices_envelope(tmp_path: Path, attack: str) -> None:
    """Behind the operator's own TLS an envelope that does not answer this very request is refused."""
    authority = Authority("operator CA")

    async def story() -> None:
        async with running(tmp_path) as server:
            device, neighbour = await with_devices(server)
            answer = {
                "another device's": await caught_answer(neighbour),
                "an earlier one": await caught_answer(device),
                "not by the server": sealed_by(
                    jwk.new_signing_pair(RANDOM),
                    device,
                    await device.must(operations.KEYS, channel="news", jti="known"),
                ),
                "cut short": (await caught_answer(device))[:-9],
            }[attack]
            before = digest.database(tmp_path, but=())
            session = make_receiver()
            state = digest.whole(session)
            async with impostor(authority.server_context(tmp_path), answer) as insider:
                credential = msgspec.structs.replace(
                    device.credential, servers=[insider.url], ca_pem=authority.pem
                )
                async with KeyServerClient(credential, RANDOM) as client:
                    with pytest.raises(AuthenticationError) as refused:
                        await client.call(operations.KEYS, channel="news")
            assert isinstance(refused.value, SealcastError)
            assert str(refused.value)
            assert len(insider.asked) == 1
            assert digest.whole(session) == state
            assert digest.database(tmp_path, but=()) == before

    asyncio.run(story())
