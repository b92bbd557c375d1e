"""Attacks with certificates that are no longer good: the party that is certified is refused at once."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from attacks import digest
from attacks.test_answers import impostor
from sealcast.client import KeyServerClient
from sealcast.core.errors import UnreachableError
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.jwk import Jwk, native_private_key
from server.newcomers import change, enrol, enrolled, invite, newcomer
from server.running import RANDOM, Caller, running

PAIRS = [kind for kind in KeyKind if kind is not KeyKind.SYMMETRIC]


async def expect_refusal(directory: Path, device: Caller, problem: str) -> None:
    """Ask for keys and for a new certificate: neither is given, and not a row changes."""
    before = digest.database(directory, but=())
    for operation, fields in (
        (operations.KEYS, {"channel": "news"}),
        (operations.CERTIFICATE_RENEW, {}),
    ):
        reply = await device.ask(operation, **fields)
        assert (reply.status, reply.problem) == (403, problem), reply.detail
        assert device.credential.id in reply.detail
    assert digest.database(directory, but=()) == before


@pytest.mark.parametrize("kind", PAIRS)
def test_expired_certificate(tmp_path: Path, kind: KeyKind) -> None:
    """A device whose certificate has run out by the server's clock gets no key and renews nothing."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await enrolled(server, kind, channels=["news"])
            await device.must(operations.KEYS, channel="news")
            credential, operator = device.credential, server.operator.credential
        change(tmp_path, "UPDATE certificates SET expires_at_ms = issued_at_ms + 1")
        async with running(tmp_path, operator) as server:
            await expect_refusal(tmp_path, server.caller(credential), "certificate-expired")

    asyncio.run(story())


@pytest.mark.parametrize("kind", PAIRS)
def test_revoked_certificate(tmp_path: Path, kind: KeyKind) -> None:
    """From the operator's word on a revoked device is refused, at once and after a restart."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await enrolled(server, kind, channels=["news"])
            await device.must(operations.KEYS, channel="news")
            await server.operator.must(operations.CERTIFICATE_REVOKE, id=device.credential.id)
            await expect_refusal(tmp_path, device, "certificate-revoked")
            credential, operator = device.credential, server.operator.credential
        async with running(tmp_path, operator) as server:
            await expect_refusal(tmp_path, server.caller(credential), "certificate-revoked")

    asyncio.run(story())


@pytest.mark.parametrize("use", ["signing", "kek"])
def test_party_posing_as_a_key_server(tmp_path: Path, use: str) -> None:
    """A party whose id is a host's name cannot serve there under either of its certificates."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            victim = await enrolled(server, channels=["news"])
            caller = newcomer(server, KeyKind.P256)
            reply = await enrol(caller, await invite(server, channels=["news"], id="localhost"))
            assert reply.answer.id == "localhost"
            certificates = reply.answer.certificates
            own = caller.credential.signing if use == "signing" else caller.credential.kek
            tls = server_context(tmp_path, getattr(certificates, use) + certificates.issuer, own)
            async with impostor(tls) as thief:
                there = thief.url.replace("127.0.0.1", "localhost")
                credential = msgspec.structs.replace(victim.credential, servers=[there])
                async with KeyServerClient(credential, RANDOM) as client:
                    with pytest.raises(UnreachableError, match="not to be trusted"):
                        await client.call(operations.KEYS, channel="news")
            assert thief.asked == []

    asyncio.run(story())


def server_context(folder: Path, chain: str, key: Jwk) -> ssl.SSLContext:
    """Return what a TLS server needs that holds a certificate and its key."""
    private = native_private_key(key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "stolen.pem"
    path.write_bytes(private + chain.encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
