"""Shows when certificates say that the operator knows a device's person, and when they no longer do."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from sealcast.device.chains import CertifiedParty, read_party
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages import operations_identifying as identifying
from sealcast.messages.enrolment import CRL_PATH
from server.newcomers import enrol, enrolled, invite, newcomer, rows
from server.running import Caller, Running, running

EVIDENCE = "contract 2041, shown in the shop"


async def renewed(server: Running, caller: Caller) -> CertifiedParty:
    """Return who the caller's certificates say it is, once it has renewed them."""
    answer = await caller.must(operations.CERTIFICATE_RENEW)
    return read_party(answer.certificates, server.operator.credential.ca_pem)


async def identify(server: Running, device: str, **fields: object) -> None:
    """Say as the operator that a device is identified, or what `fields` say."""
    await server.operator.must(identifying.DEVICE_IDENTIFY, device=device, **fields)


async def crl_of(server: Running) -> bytes:
    """Return the revocation list as anybody gets it."""
    caller = server.operator
    async with caller.session.get(server.url + CRL_PATH, ssl=caller.tls) as reply:
        return await reply.read()


def test_an_identified_device_has_it_in_its_next_certificates(tmp_path: Path) -> None:
    """Before, its certificates say nothing; from the next renewal on both say so, of every kind of key."""

    async def story() -> None:
        async with running(tmp_path) as server:
            for kind in (KeyKind.ED25519, KeyKind.P256):
                device = await enrolled(server, kind, id=f"tv-{kind}")
                assert not (await renewed(server, device)).is_identified
                await identify(server, device.credential.id, evidence=EVIDENCE)
                (row, *_) = (
                    await server.operator.must(identifying.IDENTIFIED_LIST, after="tv", limit=1)
                ).devices
                told = (row.evidence, row.identified_by, row.is_certified)
                assert told == (EVIDENCE, server.operator.credential.id, False)
                assert (await renewed(server, device)).is_identified
                page = await server.operator.must(identifying.IDENTIFIED_LIST)
                assert [each.is_certified for each in page.devices] == [True] * len(page.devices)
                await server.operator.must(operations.REGISTRY_REMOVE, id=device.credential.id)
            assert (await server.operator.must(identifying.IDENTIFIED_LIST)).devices == []
        said = rows(tmp_path, "SELECT subject FROM audit WHERE what = 'device-identify' ORDER BY id")
        assert said == [(f"tv-ed25519 {EVIDENCE}",), (f"tv-p256 {EVIDENCE}",)]

    asyncio.run(story())


def test_undone_its_certificates_are_revoked_and_it_stays(tmp_path: Path) -> None:
    """Undone, those that said so are on the revocation list; the device is served, and gets others."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await enrolled(server, KeyKind.ED25519, id="tv")
            await identify(server, "tv", evidence=EVIDENCE)
            serials = (await renewed(server, device)).serials
            await crl_of(server)
            await identify(server, "tv", undo=True)
            crl = x509.load_der_x509_crl(await crl_of(server))
            assert {f"{each.serial_number:x}" for each in crl} >= set(serials)
            again = await renewed(server, device)
            assert not again.is_identified
            assert not {f"{each.serial_number:x}" for each in crl} & set(again.serials)
            twice = await server.operator.ask(identifying.DEVICE_IDENTIFY, device="tv", undo=True)
            assert twice.problem == "unknown-device"

    asyncio.run(story())


def test_undoing_lets_nobody_in_again(tmp_path: Path) -> None:
    """A device whose certificates were revoked stays shut out when its identification is undone."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await enrolled(server, KeyKind.ED25519, id="tv")
            await identify(server, "tv", evidence=EVIDENCE)
            await renewed(server, device)
            await server.operator.must(operations.CERTIFICATE_REVOKE, id="tv")
            await identify(server, "tv", undo=True)
            assert (await device.ask(operations.CERTIFICATE_RENEW)).problem == "certificate-revoked"

    asyncio.run(story())


def test_who_comes_after_is_somebody_else(tmp_path: Path) -> None:
    """A removed device's identification goes with it: whoever has its id next is not identified."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await enrolled(server, KeyKind.ED25519, id="tv")
            await identify(server, "tv", evidence=EVIDENCE)
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            device = await enrolled(server, KeyKind.ED25519, id="tv")
            assert not (await renewed(server, device)).is_identified

    asyncio.run(story())


def test_only_certified_devices_are_identified(tmp_path: Path) -> None:
    """Others are refused by name, and so is evidence that is none; nothing is noted."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await enrolled(server, KeyKind.SYMMETRIC, id="old")
            await enrolled(server, KeyKind.ED25519, id="tv")
            await enrolled(server, KeyKind.ED25519, id="shop", role="seller")
            for device, evidence, problem in (
                ("nobody", EVIDENCE, "unknown-device"),
                ("old", EVIDENCE, "not-certified"),
                ("shop", EVIDENCE, "bad-request"),
                ("tv", " ", "bad-request"),
                ("tv", "two\nlines", "bad-request"),
            ):
                asked = await server.operator.ask(
                    identifying.DEVICE_IDENTIFY, device=device, evidence=evidence
                )
                assert asked.problem == problem, (device, asked.detail)
            assert (await server.operator.must(identifying.IDENTIFIED_LIST)).devices == []

    asyncio.run(story())


@pytest.mark.parametrize("kind", [KeyKind.ED25519, KeyKind.RSA])
def test_a_seller_comes_by_invitation_with_a_pair(tmp_path: Path, kind: KeyKind) -> None:
    """A seller enrols with key pairs, is certified as one, and renews; it gets no key and no channel."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            seller = await enrolled(server, kind, id="shop", role="seller")
            party = await renewed(server, seller)
            assert (party.id, party.role, party.is_identified) == ("shop", "seller", False)
            assert (await seller.ask(operations.KEYS, channel="news")).problem == "wrong-role"
            on_channel = await server.operator.ask(
                operations.INVITE, token_hash=bytes(32), role="seller", channels=["news"]
            )
            assert on_channel.problem == "bad-request"

    asyncio.run(story())


def test_no_seller_without_certificates(tmp_path: Path) -> None:
    """A seller with symmetric secrets, or registered under bare keys, is refused: no escrow could know it."""

    async def story() -> None:
        async with running(tmp_path) as server:
            caller = newcomer(server, KeyKind.SYMMETRIC)
            reply = await enrol(caller, await invite(server, id="shop", role="seller"))
            assert (reply.problem, "signs with a key pair" in reply.detail) == ("bad-request", True)
            bare = newcomer(server, KeyKind.ED25519).credential
            sealed = server.sealed_keys(bare.signing.public(), bare.kek.public())
            added = await server.operator.ask(
                operations.REGISTRY_ADD, id="shop", role="seller", sealed_keys=sealed
            )
            assert (added.problem, "certificates" in added.detail) == ("bad-request", True)

    asyncio.run(story())
