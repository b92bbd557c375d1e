"""Shows the operator's work: channels that stand apart, a registry that stays true, lists, and the audit."""

import asyncio
from pathlib import Path

import pytest

from sealcast.messages import jose, operations
from sealcast.messages.channels import ChannelData
from sealcast.messages.jwk import Jwk, new_oct_key, new_sealing_pair, new_signing_pair
from server.running import RANDOM, running
from storage.places import connect


def test_overlapping_channels_are_refused(tmp_path: Path) -> None:
    """The same group and port, or the same name, is refused; the neighbouring pair of ports is free."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            add = operations.CHANNEL_ADD
            clash = await server.operator.ask(
                add, channel=ChannelData(name="two", group="239.1.2.3", port=5004)
            )
            assert (clash.status, clash.problem) == (409, "overlap")
            assert "channel news uses 239.1.2.3 ports 5004 and 5005" in clash.detail
            twin = await server.operator.ask(
                add, channel=ChannelData(name="news", group="239.9.9.9", port=5004)
            )
            assert (twin.status, twin.problem) == (409, "exists")
            await server.add_channel("beside", port=5006)
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            await server.add_channel("two")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"port": 5005}, "even"),
        ({"group": "10.0.0.1"}, "multicast"),
        ({"name": "no spaces"}, "channel name"),
        ({"suite": "rot13"}, "aes-128-gcm"),
        ({"lifetime_ms": 10}, "lifetime"),
        ({"prefetch_at": "90%"}, "--prefetch-at"),
        ({"port": 2**80}, "even"),
    ],
)
def test_channels_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, object], line: str) -> None:
    """A channel that cannot work is a bad request whose line says what to do."""

    async def story() -> None:
        async with running(tmp_path) as server:
            fields = {"name": "news", "group": "239.1.2.3", "port": 5004, **changes}
            reply = await server.operator.ask(operations.CHANNEL_ADD, channel=fields)
            assert (reply.status, reply.problem) == (400, "bad-request")
            assert line in reply.detail
            assert (await server.operator.must(operations.CHANNEL_LIST)).channels == []

    asyncio.run(story())


def test_channels_are_shown_by_name_and_number(tmp_path: Path) -> None:
    """List shows all by name, show one; an unknown one is told."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("sport", port=6000, lifetime_ms=5_000)
            number = (await server.add_channel("news", source="192.0.2.1", group="232.1.1.1")).channel.number
            ask = server.operator.must
            listed = (await ask(operations.CHANNEL_LIST)).channels
            assert [row.channel.name for row in listed] == ["news", "sport"]
            for key in ("news", str(number)):
                (row,) = (await ask(operations.CHANNEL_SHOW, channel=key)).channels
                assert (row.channel.source, row.state, row.subscribers) == ("192.0.2.1", "idle", 0)
            (only,) = (await ask(operations.CHANNEL_LIST, channel="sport")).channels
            assert only.channel.lifetime_ms == 5_000
            for operation in (operations.CHANNEL_SHOW, operations.CHANNEL_REMOVE, operations.CHANNEL_LIST):
                reply = await server.operator.ask(operation, channel="9" * 30)
                assert (reply.status, reply.problem) == (404, "unknown-channel")

    asyncio.run(story())


def test_registry_takes_each_id_once(tmp_path: Path) -> None:
    """Devices and senders are listed with their kind; an id in use, also by the server, is refused."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.register("tv", "device")
            await server.register("phone", "device", symmetric=False)
            await server.register("studio", "sender")
            listed = (await server.operator.must(operations.REGISTRY_LIST)).entries
            assert [(entry.id, entry.role, entry.kind) for entry in listed] == [
                ("phone", "device", "key-pair"),
                ("tv", "device", "symmetric"),
                ("studio", "sender", "key-pair"),
            ]
            assert all(entry.registered_at.endswith("Z") for entry in listed)
            keys = server.sealed_keys(new_oct_key(RANDOM), new_oct_key(RANDOM))
            for taken in ("tv", "studio", "operator", "keyserver"):
                reply = await server.operator.ask(
                    operations.REGISTRY_ADD, id=taken, role="device", sealed_keys=keys
                )
                assert (reply.status, reply.problem) == (409, "exists")

    asyncio.run(story())


def key_faults() -> list[tuple[str, str, Jwk, Jwk]]:
    """Return registrations that must not pass: what is wrong, role, signing key, KEK."""
    oct_key, signing, kek = new_oct_key(RANDOM), new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
    return [
        ("private halves", "device", signing, kek),
        ("a symmetric sender", "sender", oct_key, oct_key),
        ("one of each kind", "device", oct_key, kek.public()),
        ("keys of the wrong use", "device", kek.public(), signing.public()),
        ("a short secret", "device", Jwk(kty="oct", k="c2hvcnQ"), Jwk(kty="oct", k="c2hvcnQ")),
        ("no key at all", "device", Jwk(kty="OKP", crv="Ed25519"), Jwk(kty="OKP", crv="X25519")),
        ("an absurd point", "device", Jwk(kty="OKP", crv="Ed25519", x="AA"), kek.public()),
    ]


def test_keys_that_do_not_do_are_not_registered(tmp_path: Path) -> None:
    """Private halves, symmetric senders, mixed or unusable keys, bad ids: bad requests, nothing stored."""

    async def story() -> None:
        async with running(tmp_path) as server:
            add = operations.REGISTRY_ADD
            for what, role, signing, kek in key_faults():
                sealed = server.sealed_keys(signing, kek)
                reply = await server.operator.ask(add, id="x", role=role, sealed_keys=sealed)
                assert (reply.status, reply.problem) == (400, "bad-request"), what
            good = server.sealed_keys(new_oct_key(RANDOM), new_oct_key(RANDOM))
            for bad_id in ("", "two words", "ü", "x" * 129):
                reply = await server.operator.ask(add, id=bad_id, role="device", sealed_keys=good)
                assert (reply.status, reply.problem) == (400, "bad-request")
            foreign = jose.seal(b"{}", new_sealing_pair(RANDOM).public(), kid="k", typ=jose.TYP_SEALED_KEY)
            reply = await server.operator.ask(add, id="x", role="device", sealed_keys=foreign)
            assert (reply.status, reply.problem) == (400, "bad-request")
            assert (await server.operator.must(operations.REGISTRY_LIST)).entries == []

    asyncio.run(story())


def test_subscribers_come_and_go(tmp_path: Path) -> None:
    """Only registered devices are listed, once; lists can be narrowed to a channel."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.add_channel("sport", port=6000)
            await server.register("tv", "device")
            await server.register("studio", "sender")
            add, remove = operations.SUBSCRIBER_ADD, operations.SUBSCRIBER_REMOVE
            for channel in ("news", "sport"):
                await server.operator.must(add, channel=channel, device="tv")
            for device in ("nobody", "studio"):
                reply = await server.operator.ask(add, channel="news", device=device)
                assert (reply.status, reply.problem) == (404, "unknown-device")
            assert (await server.operator.ask(add, channel="news", device="tv")).problem == "exists"
            assert (await server.operator.ask(add, channel="none", device="tv")).problem == "unknown-channel"
            listed = (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers
            assert [(row.channel, row.device) for row in listed] == [("news", "tv"), ("sport", "tv")]
            await server.operator.must(remove, channel="news", device="tv")
            gone = await server.operator.ask(remove, channel="news", device="tv")
            assert gone.problem == "not-subscribed"
            assert (await server.operator.must(operations.SUBSCRIBER_LIST, channel="news")).subscribers == []
            left = (await server.operator.must(operations.SUBSCRIBER_LIST, channel="sport")).subscribers
            assert [row.device for row in left] == ["tv"]

    asyncio.run(story())


def test_audit_says_who_did_what(tmp_path: Path) -> None:
    """Every change by an operator or a sender stands in the audit table, in order; a no does not."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            sender = await server.register("studio", "sender", channels=["news"])
            await server.register("tv", "device")
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await server.operator.ask(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            lease = await sender.must(operations.LEASE, channel="news")
            await server.report(sender, "news", lease.slots[0].ssrc, 1)
            await server.report(sender, "news", lease.slots[0].ssrc, 1)
            await server.report(sender, "news", lease.slots[0].ssrc, 1, ended=True)
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
        with connect(tmp_path / "keyserver.sqlite") as database:
            done = database.execute("SELECT who, what, subject FROM audit ORDER BY id").fetchall()
        database.close()
        assert done == [
            ("operator", "channel-add", "news"),
            ("operator", "sender-add", "news studio"),
            ("operator", "registry-add", "sender studio"),
            ("operator", "registry-add", "device tv"),
            ("operator", "subscriber-add", "news tv"),
            ("studio", "lease", "news 1-16"),
            ("studio", "on-air", "news 1 start"),
            ("studio", "off-air", "news 1"),
            ("operator", "channel-remove", "news"),
        ]

    asyncio.run(story())
