"""Attacks with certificates that are no longer good: the party that is certified is refused at once."""

import asyncio
from pathlib import Path

import pytest

from attacks import digest
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from server.newcomers import change, enrolled
from server.running import Caller, running

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
