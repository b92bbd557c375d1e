"""Shows what a device gets: only if listed, only what is published, recorded before it leaves."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from sealcast.core.errors import AuthenticationError
from sealcast.messages import jose, operations
from sealcast.messages.answers import KeyMaterial
from sealcast.messages.sealedanswers import open_answer
from sealcast.server.pipeline import Pipeline
from sealcast.storage.unitofwork import UnitOfWork
from server.running import Caller, Running, material, running
from storage.places import connect

pytestmark = pytest.mark.usefixtures("both_databases")


def grants(directory: Path) -> list[tuple[str, int]]:
    """Return the grants on disk as (device, epoch)."""
    with connect(directory / "keyserver.sqlite") as database:
        found = database.execute("SELECT device, epoch FROM grants ORDER BY device, epoch").fetchall()
    database.close()
    return [(str(device), int(epoch)) for device, epoch in found]


async def subscriber(server: Running, name: str, channel: str = "news") -> Caller:
    """Register a device and put it on the allow list."""
    device = await server.register(name, "device")
    await server.operator.must(operations.SUBSCRIBER_ADD, channel=channel, device=name)
    return device


async def on_air(server: Running) -> tuple[Caller, int, list[KeyMaterial], int]:
    """Put epoch 1 of `news` on air and publish epoch 2; return sender, number, both keys and the SSRC."""
    number = (await server.add_channel("news", lifetime_ms=100_000)).channel.number
    sender = await server.register("studio", "sender", channels=["news"])
    lease = await sender.must(operations.LEASE, channel="news")
    keys = [material(number, 1), material(number, 2)]
    for key in keys:
        assert (await server.publish(sender, "news", key)).status == 200
    ssrc = lease.slots[0].ssrc
    await server.report(sender, "news", ssrc, 1, remaining_ms=90_000, lifetime_ms=100_000, roc=2, seq=777)
    return sender, number, keys, ssrc


def test_listed_device_gets_current_and_next(tmp_path: Path) -> None:
    """The grant has both keys, their times, the streams, the sender's key, the window and the servers."""

    async def story() -> None:
        async with running(tmp_path) as server:
            sender, number, keys, ssrc = await on_air(server)
            device = await subscriber(server, "tv")
            grant = await device.must(operations.KEYS, channel="news")
            assert [(key.state, key.material) for key in grant.keys] == [
                ("current", keys[0]), ("next", keys[1]),
            ]  # fmt: skip
            current, coming = grant.keys
            assert 60_000 < current.remaining_ms <= 90_000
            assert (current.lifetime_ms, current.extended) == (100_000, False)
            assert (coming.remaining_ms, coming.lifetime_ms) == (100_000, 100_000)
            (stream,) = grant.streams
            assert (stream.ssrc, stream.roc, stream.seq) == (ssrc, 2, 777)
            assert 0 <= stream.age_ms < 30_000
            (key,) = grant.senders
            assert (key.id, key.key) == ("studio", sender.credential.signing.public())
            assert grant.window is not None
            opens_ms, closes_ms = grant.window.opens_in_ms, grant.window.closes_in_ms
            assert 35_000 < opens_ms <= 65_000
            assert closes_ms - opens_ms == 20_000
            assert grant.key_servers == [server.url]
            assert (grant.channel.group, grant.channel.number) == ("239.1.2.3", number)
            assert grants(tmp_path) == [("tv", 1), ("tv", 2)]

    asyncio.run(story())


def test_unlisted_device_gets_nothing(tmp_path: Path) -> None:
    """Without a subscription, after its end, and for a channel that is not there: a no, and no record."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await server.register("tv", "device")
            refused = await device.ask(operations.KEYS, channel="news")
            assert (refused.status, refused.problem) == (403, "not-subscribed")
            unknown = await device.ask(operations.KEYS, channel="nowhere")
            assert (unknown.status, unknown.problem) == (404, "unknown-channel")
            who = {"channel": "news", "device": "tv"}
            await server.operator.must(operations.SUBSCRIBER_ADD, **who)
            await server.operator.must(operations.SUBSCRIBER_REMOVE, **who)
            assert (await device.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            assert grants(tmp_path) == []

    asyncio.run(story())


def test_nothing_published_yet(tmp_path: Path) -> None:
    """A listed device learns where to join even before there is a key; a published one comes as next."""

    async def story() -> None:
        async with running(tmp_path) as server:
            number = (await server.add_channel("news")).channel.number
            device = await subscriber(server, "tv")
            empty = await device.must(operations.KEYS, channel="news")
            assert (empty.keys, empty.streams, empty.window) == ([], [], None)
            assert empty.channel.port == 5004
            sender = await server.register("studio", "sender", channels=["news"])
            await sender.must(operations.LEASE, channel="news")
            await server.publish(sender, "news", material(number, 1))
            grant = await device.must(operations.KEYS, channel=str(number))
            assert [key.state for key in grant.keys] == ["next"]
            assert grant.window is None
            assert [each.id for each in grant.senders] == ["studio"]
            assert grants(tmp_path) == [("tv", 1)]

    asyncio.run(story())


def test_held_keys_are_not_sent_again(tmp_path: Path) -> None:
    """A key that the device says it holds is neither sent nor recorded."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, _, keys, _ = await on_air(server)
            device = await subscriber(server, "tv")
            fields = {"channel": "news", "key_id": keys[0].key_id}
            grant = await device.must(operations.KEYS, held=[keys[0].key_id], **fields)
            assert [key.material for key in grant.keys] == [keys[1]]
            assert grant.window is not None
            assert grants(tmp_path) == [("tv", 2)]
            for wrong in ({"held": ["xyz"]}, {"key_id": "12"}, {"held": [keys[0].key_id] * 65}):
                reply = await device.ask(operations.KEYS, channel="news", **wrong)
                assert (reply.status, reply.problem) == (400, "bad-request")

    asyncio.run(story())


def test_extended_epoch_is_told(tmp_path: Path) -> None:
    """When the sender goes on past the lifetime, the grant and the channel's row say so."""

    async def story() -> None:
        async with running(tmp_path) as server:
            sender, _, _, ssrc = await on_air(server)
            await server.report(sender, "news", ssrc, 1, remaining_ms=0, lifetime_ms=100_000, extended=True)
            device = await subscriber(server, "tv")
            current = (await device.must(operations.KEYS, channel="news")).keys[0]
            assert (current.state, current.extended, current.remaining_ms) == ("current", True, 0)
            (row,) = (await server.operator.must(operations.CHANNEL_LIST)).channels
            assert (row.state, row.epoch, row.remaining_ms, row.subscribers) == ("extended", 1, 0, 1)

    asyncio.run(story())


def test_repeated_request_grants_the_same_keys(tmp_path: Path) -> None:
    """The same request after a change of epochs gets the keys it was granted, and no new record."""

    async def story() -> None:
        async with running(tmp_path) as server:
            sender, number, keys, ssrc = await on_air(server)
            device = await subscriber(server, "tv")
            await device.fetch_nonce()
            token = device.token(operations.KEYS, channel="news")
            first = (await device.post(operations.KEYS, token)).answer
            await server.publish(sender, "news", material(number, 3))
            await server.report(sender, "news", ssrc, 2)
            again = (await device.post(operations.KEYS, token)).answer
            assert again.jti == first.jti
            assert [key.material for key in again.keys] == keys
            assert grants(tmp_path) == [("tv", 1), ("tv", 2)]
            other = await device.must(operations.KEYS, channel="news")
            assert [key.material.key_id[-1] for key in other.keys] == ["2", "3"]

    asyncio.run(story())


def test_fifty_at_once_are_all_recorded(tmp_path: Path) -> None:
    """Fifty devices that ask together each get both keys; every grant is on disk when its answer is out."""

    async def story() -> None:
        async with running(tmp_path) as server:
            _, _, keys, _ = await on_air(server)
            devices = [await subscriber(server, f"tv-{i:02}") for i in range(50)]

            async def one(device: Caller) -> None:
                grant = await device.must(operations.KEYS, channel="news")
                mine = [each for each in grants(tmp_path) if each[0] == device.credential.id]
                assert [key.material for key in grant.keys] == keys
                assert mine == [(device.credential.id, 1), (device.credential.id, 2)]

            await asyncio.gather(*(one(device) for device in devices))
            assert len(grants(tmp_path)) == 100

    asyncio.run(story())


def test_requests_decided_together_are_each_decided_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one transaction: each device its own answer, a no to one, one request twice, one device twice."""
    sizes: list[int] = []
    decide = Pipeline._decide_all

    def counted(self: Pipeline, connection: Connection, items: Sequence[Any]) -> Any:
        sizes.append(len(items))
        return decide(self, connection, items)

    async def story() -> None:
        async with running(tmp_path) as server:
            _, _, keys, _ = await on_air(server)
            devices = [await subscriber(server, f"tv-{number}") for number in range(6)]
            strangers = [await server.register(f"stranger-{number}", "device") for number in range(2)]
            for caller in [*devices, *strangers]:
                await caller.fetch_nonce()
            monkeypatch.setattr(Pipeline, "_decide_all", counted)
            monkeypatch.setattr(UnitOfWork, "_linger", lambda _: time.sleep(0.3))
            first = devices[0]
            tokens = [(each, each.token(operations.KEYS, channel="news")) for each in devices + strangers]
            tokens += [tokens[0], (first, first.token(operations.KEYS, channel="news"))]
            tokens.append((first, first.token(operations.KEYS, channel="nothing")))
            replies = await asyncio.gather(*(each.post(operations.KEYS, token) for each, token in tokens))
            assert [reply.problem for reply in replies] == [
                *[""] * 6, "not-subscribed", "not-subscribed", "", "", "unknown-channel",
            ]  # fmt: skip
            for reply in (*replies[:6], *replies[8:10]):
                assert [key.material for key in reply.answer.keys] == keys
            assert replies[8].answer.jti == replies[0].answer.jti != replies[9].answer.jti
            assert max(sizes) > 1
        assert grants(tmp_path) == [(f"tv-{number}", epoch) for number in range(6) for epoch in (1, 2)]

    asyncio.run(story())


def test_restart_falls_back_to_stored_instants(tmp_path: Path) -> None:
    """After a restart of the server remaining time and counters are those stored, until the next report."""

    async def story() -> None:
        async with running(tmp_path) as server:
            sender, _, keys, ssrc = await on_air(server)
            device = await subscriber(server, "tv")
            parties = sender.credential, device.credential, server.operator.credential
        async with running(tmp_path, parties[2]) as server:
            device = server.caller(parties[1])
            grant = await device.must(operations.KEYS, channel="news")
            assert [key.material for key in grant.keys] == keys
            assert 60_000 < grant.keys[0].remaining_ms < 90_000
            assert (grant.streams[0].ssrc, grant.streams[0].seq) == (ssrc, 777)
            await server.report(
                server.caller(parties[0]), "news", ssrc, 1, remaining_ms=40_000, lifetime_ms=100_000
            )
            grant = await device.must(operations.KEYS, channel="news")
            assert 10_000 < grant.keys[0].remaining_ms <= 40_000

    asyncio.run(story())


def test_removed_channel_gives_no_keys(tmp_path: Path) -> None:
    """Removing a channel erases its keys and ends subscriptions; a new one of that name starts empty."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            await device.must(operations.KEYS, channel="news")
            await server.operator.must(operations.CHANNEL_REMOVE, channel="news")
            assert (await device.ask(operations.KEYS, channel="news")).problem == "unknown-channel"
            assert (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers == []
            with connect(tmp_path / "keyserver.sqlite") as database:
                kept = database.execute("SELECT count(*), count(wrapped_key) FROM epochs").fetchone()
            database.close()
            assert kept == (16, 0)
            assert grants(tmp_path) == [("tv", 1), ("tv", 2)]
            await server.add_channel("news")
            assert (await device.ask(operations.KEYS, channel="news")).problem == "not-subscribed"

    asyncio.run(story())


@pytest.mark.parametrize("symmetric", [True, False])
def test_only_the_device_opens_its_grant(tmp_path: Path, symmetric: bool) -> None:  # noqa: FBT001 - a parameter
    """An answer is sealed to the device that asked, symmetric or with key pairs."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await server.register("tv", "device", symmetric=symmetric)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv")
            await device.fetch_nonce()
            token = device.token(operations.KEYS, channel="news")
            async with device.session.post(
                server.url + operations.KEYS.path, data=token, ssl=device.tls
            ) as response:
                sealed = await response.read()
            assert sealed.count(b".") == 4
            other = await server.register("other", "device", symmetric=symmetric)
            with pytest.raises(AuthenticationError, match="does not open"):
                open_answer(sealed, other.credential.kek, server_key=other.credential.server_key)
            kind = jose.TYP_SHARED_ANSWER if symmetric else jose.TYP_SEALED_ANSWER
            assert jose.unseal(sealed, device.credential.kek, typ=kind)

    asyncio.run(story())
