"""Shows how parties cease to be, come back, and stand by their certificates; and what roles may do."""

import asyncio
import re
from pathlib import Path

from cryptography import x509

from sealcast.device.csr import make_csr
from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.encoding import decode
from sealcast.messages.enrolment import CRL_PATH, OPERATOR_PATH, OperatorDocument
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from server.newcomers import change, enrol, enrolled, invite, newcomer, rows
from server.running import RANDOM, Running, material, running

DAY_S = 86_400


def test_removal_takes_effect_at_once(tmp_path: Path) -> None:
    """A removed device is nobody from the next request on; its keys are erased, its subscription ends."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await server.register("tv", "device")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await device.must(operations.KEYS, channel="news")
            asked = server.operator.token(operations.REGISTRY_REMOVE, id="tv", jti="r")
            both = [await server.operator.post(operations.REGISTRY_REMOVE, asked) for _ in range(2)]
            assert [reply.status for reply in both] == [200, 200]
            reply = await device.ask(operations.KEYS, channel="news")
            assert (reply.status, reply.problem) == (401, "not-authenticated")
            assert (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers == []
            assert (await server.operator.must(operations.REGISTRY_LIST)).entries == []
            for name in ("tv", "operator", "nobody"):
                gone = await server.operator.ask(operations.REGISTRY_REMOVE, id=name)
                assert gone.problem == "unknown-device"
        keys = "SELECT public_keys, wrapped_signing, wrapped_kek FROM principals"
        assert rows(tmp_path, keys) == [(None, None, None)]
        removals = "SELECT what, subject FROM audit WHERE what LIKE '%-remove'"
        assert rows(tmp_path, removals) == [
            ("subscriber-remove", "news tv"),
            ("registry-remove", "device tv"),
        ]

    asyncio.run(story())


def test_removal_overtakes_waiting_requests(tmp_path: Path) -> None:
    """Requests that race with the removal of their caller are served or refused; none after it is served."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await server.register("tv", "device")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await device.fetch_nonce()
            tokens = [device.token(operations.KEYS, channel="news") for _ in range(40)]
            racing = [asyncio.create_task(device.post(operations.KEYS, token)) for token in tokens]
            await server.operator.must(operations.REGISTRY_REMOVE, id="tv")
            late = await device.post(operations.KEYS, device.token(operations.KEYS, channel="news"))
            assert late.problem == "not-authenticated"
            # Whoever lost the race finds itself gone; whoever was decided before still has its subscription.
            assert {reply.problem for reply in await asyncio.gather(*racing)} <= {"", "not-authenticated"}

    asyncio.run(story())


def test_removed_sender_is_off_the_air(tmp_path: Path) -> None:
    """What a sender had ends with it: its place, slots and the keys of its epochs; its name may come back."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number = (await server.add_channel("news")).channel.number
            studio = await server.register("studio", "sender", channels=["news"])
            lease = await studio.must(operations.LEASE, channel="news")
            first, second = lease.slots[0].epoch, lease.slots[1].epoch
            for epoch in (first, second):
                assert (await server.publish(studio, "news", material(number, epoch))).status == 200
            assert (await server.report(studio, "news", lease.slots[0].ssrc, first)).status == 200
            device = await server.register("tv", "device", channels=["news"])
            assert len((await device.must(operations.KEYS, channel="news")).keys) == 2
            await server.operator.must(operations.REGISTRY_REMOVE, id="studio")
            grant = await device.must(operations.KEYS, channel="news")
            assert (grant.keys, grant.senders, grant.streams) == ([], [], [])
            assert (await studio.ask(operations.LEASE, channel="news")).problem == "not-authenticated"
            (row,) = (await server.operator.must(operations.CHANNEL_SHOW, channel="news")).channels
            assert (row.senders, row.state) == ([], "idle")
            again = await server.register("studio", "sender", channels=["news"])
            fresh = await again.must(operations.LEASE, channel="news")
            assert fresh.slots[0].epoch > lease.slots[-1].epoch
            assert fresh.published == []
        kept = f"SELECT count(*) FROM epochs WHERE wrapped_key IS NOT NULL AND channel = {int(number)}"  # noqa: S608 - a number of ours
        assert rows(tmp_path, kept) == [(0,)]

    asyncio.run(story())


def test_senders_of_a_channel_change(tmp_path: Path) -> None:
    """A sender taken off a channel leases no more and is off the air; the one put on takes over."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            old = await server.register("old", "sender", channels=["news"])
            new = await server.register("new", "sender")
            lease = await old.must(operations.LEASE, channel="news")
            await server.report(old, "news", lease.slots[0].ssrc, lease.slots[0].epoch)
            change_it = operations.CHANNEL_SENDERS
            asked = server.operator.token(change_it, channel="news", add=["new"], remove=["old"], jti="s")
            first, again = [await server.operator.post(change_it, asked) for _ in range(2)]
            assert first.answer == again.answer
            assert (first.answer.channels[0].senders, first.answer.channels[0].state) == (["new"], "idle")
            for reply in (
                await old.ask(operations.LEASE, channel="news"),
                await server.report(old, "news", lease.slots[0].ssrc, lease.slots[0].epoch),
            ):
                assert (reply.status, reply.problem) == (403, "not-your-channel")
            assert (await new.must(operations.LEASE, channel="news")).slots
            for fields, problem in (
                ({"add": ["nobody"]}, "unknown-device"),
                ({"remove": ["old"]}, "unknown-device"),
                ({"add": ["new"], "remove": ["new"]}, "bad-request"),
            ):
                reply = await server.operator.ask(change_it, channel="news", **fields)
                assert reply.problem == problem
        senders = "SELECT what, subject FROM audit WHERE what LIKE 'sender-%'"
        changes = [("sender-add", "news old"), ("sender-remove", "news old"), ("sender-add", "news new")]
        assert rows(tmp_path, senders) == changes

    asyncio.run(story())


def test_parties_of_every_role_are_registered(tmp_path: Path) -> None:
    """A second operator administers until it is removed; a replica is known, and may do none of that."""

    async def story() -> None:
        async with running(tmp_path) as server:
            second = await server.register("anna", "operator")
            replica = await server.register("replica-1", "replica")
            assert len((await second.must(operations.REGISTRY_LIST)).entries) == 2
            for operation in (operations.REGISTRY_LIST, operations.INVITATION_LIST):
                assert (await replica.ask(operation)).problem == "wrong-role"
            await second.must(operations.REGISTRY_REMOVE, id="anna")
            assert (await second.ask(operations.REGISTRY_LIST)).problem == "not-authenticated"

    asyncio.run(story())


def test_a_party_enrols_again_after_removal(tmp_path: Path) -> None:
    """The same name under new keys is another party: the old keys and certificates are of no use."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            old = await enrolled(server, KeyKind.P256, id="TV-1", channels=["news"])
            await old.must(operations.KEYS, channel="news")
            taken = await enrol(newcomer(server), await invite(server), id="TV-1")
            assert taken.problem == "exists"
            await server.operator.must(operations.REGISTRY_REMOVE, id="TV-1")
            assert (await old.ask(operations.KEYS, channel="news")).problem == "not-authenticated"
            for kind in (KeyKind.SYMMETRIC, KeyKind.ED25519):
                new = await enrolled(server, kind, id="TV-1", channels=["news"])
                await new.must(operations.KEYS, channel="news")
                assert (await old.ask(operations.KEYS, channel="news")).problem == "not-authenticated"
                await server.operator.must(operations.REGISTRY_REMOVE, id="TV-1")
            listed = (await server.operator.must(operations.CERTIFICATE_LIST)).certificates
            assert {(row.state, row.reason) for row in listed} == {("revoked", "cessationOfOperation")}

    asyncio.run(story())


def test_certificate_remaining_is_told_and_renewed(tmp_path: Path) -> None:
    """Answers to a certified party say how long its certificate is good for; renewal starts it anew."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            device = await enrolled(server, KeyKind.ED25519, channels=["news"])
            earlier = "UPDATE certificates SET expires_at_ms = expires_at_ms - ?"
            change(tmp_path, earlier, 29 * DAY_S * 1_000)
            before = await device.ask(operations.KEYS, channel="news")
            assert before.certified_s is not None
            assert before.certified_s <= DAY_S
            asked = device.token(operations.CERTIFICATE_RENEW, jti="again")
            first, again = [await device.post(operations.CERTIFICATE_RENEW, asked) for _ in range(2)]
            assert first.answer == again.answer
            assert rows(tmp_path, "SELECT count(*) FROM certificates") == [(4,)]
            after = await device.ask(operations.KEYS, channel="other")
            assert after.problem == "unknown-channel"
            assert after.certified_s is not None
            assert after.certified_s > 29 * DAY_S
            assert (await server.operator.ask(operations.CHANNEL_LIST)).certified_s is None

    asyncio.run(story())


def test_expired_certificate(tmp_path: Path) -> None:
    """By the server's clock alone a party whose certificate has expired is refused, also to renew."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await enrolled(server, KeyKind.RSA)
            change(tmp_path, "UPDATE certificates SET expires_at_ms = 1")
            for operation, fields in (
                (operations.KEYS, {"channel": "news"}),
                (operations.CERTIFICATE_RENEW, {}),
            ):
                reply = await device.ask(operation, **fields)
                assert (reply.status, reply.problem) == (403, "certificate-expired")

    asyncio.run(story())


def test_the_newest_certificate_counts_whatever_the_clock_said(tmp_path: Path) -> None:
    """Where the server's clock was set back since, a renewal and a new enrolment count all the same."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await enrolled(server, KeyKind.ED25519, id="TV-1")
            later = (
                "UPDATE certificates SET issued_at_ms = issued_at_ms + ?, expires_at_ms = expires_at_ms - ?"
            )
            change(tmp_path, later, 3_600_000, 29 * DAY_S * 1_000)
            await device.must(operations.CERTIFICATE_RENEW)
            after = await device.ask(operations.KEYS, channel="none")
            assert (after.problem, (after.certified_s or 0) > 29 * DAY_S) == ("unknown-channel", True)
            change(tmp_path, later, 3_600_000, 0)
            await server.operator.must(operations.REGISTRY_REMOVE, id="TV-1")
            again = await enrolled(server, KeyKind.ED25519, id="TV-1")
            assert (await again.ask(operations.KEYS, channel="none")).problem == "unknown-channel"

    asyncio.run(story())


def test_revoked_certificate(tmp_path: Path) -> None:
    """A revoked party is refused from the next request on, by name or by serial, and stands on the list."""

    async def story() -> None:
        async with running(tmp_path) as server:
            one, two = [await enrolled(server, KeyKind.P256) for _ in range(2)]
            for device in (one, two):
                assert (await device.ask(operations.KEYS, channel="none")).problem == "unknown-channel"
            listed = (await server.operator.must(operations.CERTIFICATE_LIST)).certificates
            serial = next(row.serial for row in listed if row.id == two.credential.id)
            revoke = operations.CERTIFICATE_REVOKE
            await server.operator.must(revoke, id=one.credential.id, reason="keyCompromise")
            # As `openssl x509 -text` prints it.
            pairs = ":".join(re.findall("..", serial.upper().zfill(40)))
            await server.operator.must(revoke, serial=pairs)
            for device in (one, two):
                reply = await device.ask(operations.KEYS, channel="none")
                assert (reply.status, reply.problem) == (403, "certificate-revoked")
            again = await server.operator.ask(revoke, id=one.credential.id)
            assert again.problem == "unknown-certificate"
            assert (await two.ask(revoke, id=one.credential.id)).problem == "certificate-revoked"
            assert len(await fetch(server, CRL_PATH, "application/pkix-crl")) > 0
            crl = x509.load_der_x509_crl(await fetch(server, CRL_PATH, "application/pkix-crl"))
            assert {f"{each.serial_number:x}" for each in crl} == {row.serial for row in listed}

    asyncio.run(story())


def test_operator_certifies_by_request(tmp_path: Path) -> None:
    """An operator registers a sender by its certificate request, on its channel; a bad name, nobody."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            signing, kek = new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
            fields = {"role": "sender", "csr": make_csr(signing), "kek": kek.public(), "channels": ["news"]}
            issue = operations.CERTIFICATE_ISSUE
            for bad in ("x" * 65, "two words", "operator"):
                reply = await server.operator.ask(issue, id=bad, **fields)
                assert reply.status in {400, 409}
            assert (await server.operator.must(operations.REGISTRY_LIST)).entries == []
            await server.operator.must(issue, id="studio", **fields)
            studio = server.newcomer(signing, kek).renamed("studio", "sender")
            assert (await studio.must(operations.LEASE, channel="news")).slots

    asyncio.run(story())


def test_operator_document(tmp_path: Path) -> None:
    """Anybody may read who the operator is; it is what the operator's own credential says."""

    async def story() -> None:
        async with running(tmp_path) as server:
            document = decode(await fetch(server, OPERATOR_PATH, "application/json"), OperatorDocument)
            credential = server.operator.credential
            assert document == OperatorDocument(
                operator=credential.operator,
                ca_pem=credential.ca_pem,
                servers=[server.url],
                server_key=credential.server_key,
                server_kek=credential.server_kek,
            )
            assert not document.server_key.is_secret
            assert not document.server_kek.is_secret

    asyncio.run(story())


async def fetch(server: Running, path: str, media_type: str) -> bytes:
    """Return what the server tells everybody under a path."""
    async with server.operator.session.get(server.url + path, ssl=server.operator.tls) as response:
        assert (response.status, response.content_type) == (200, media_type)
        return await response.read()
