"""Shows how devices subscribe themselves: who may, who is refused and why, and nobody twice."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import psycopg
import pytest

from sealcast.device.newkeys import KeyKind
from sealcast.messages import operations
from sealcast.messages.encoding import b64url_encode
from sealcast.messages.jwk import thumbprint
from sealcast.subscribers.store_offences import Offence, add_offence
from server.newcomers import enrolled, rows
from server.running import Caller, Reply, Running, running
from server.test_selling import sell
from storage.places import connect, open_engine

pytestmark = pytest.mark.usefixtures("both_databases")

AT_ONCE = 12


async def open_channel(server: Running, name: str = "news", port: int = 5004) -> None:
    """Add a channel that is open."""
    await server.add_channel(name, port=port)
    await server.operator.must(operations.CHANNEL_OPEN, channel=name, open=True)


async def subscribe(caller: Caller, channel: str = "news", user: str = "Ada Lovelace") -> Reply:
    """Ask to be subscribed."""
    return await caller.ask(operations.SUBSCRIBE, channel=channel, user=user)


async def live(server: Running) -> list[tuple[str, str, str]]:
    """Return channel, device and user of all subscriptions."""
    found = (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers
    return [(row.channel, row.device, row.user) for row in found]


def offend(directory: Path, device: str, kind: str = "stale") -> None:
    """Record an offence, as withdrawal does."""
    engine = open_engine(directory / "keyserver.sqlite")
    with engine.connect() as connection, connection.begin():
        add_offence(connection, Offence(device, kind, "of a withdrawal before", bytes(32), 1_000))
    engine.dispose()


def test_a_device_subscribes(tmp_path: Path) -> None:
    """A device is on the list with its user, its KEK and the server's time, and gets keys from then on."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await open_channel(server)
            certified = await enrolled(server, KeyKind.P256)
            symmetric = await enrolled(server)
            assert (await certified.ask(operations.KEYS, channel="news")).problem == "not-subscribed"
            told = (await subscribe(certified)).answer
            assert (told.channel, told.number, told.since[-1]) == ("news", 1, "Z")
            assert (await subscribe(symmetric, "1", "Bob")).status == 200
            found = (await server.operator.must(operations.SUBSCRIBER_LIST, channel="news")).subscribers
            by_device = {row.device: row for row in found}
            one, other = by_device[certified.credential.id], by_device[symmetric.credential.id]
            assert one.kek == b64url_encode(thumbprint(certified.credential.kek))
            assert (one.user, one.added_at) == ("Ada Lovelace", told.since)
            assert (other.user, other.kek) == ("Bob", "symmetric")
            assert (await certified.ask(operations.KEYS, channel="news")).status == 200
        said = rows(tmp_path, "SELECT who, what, subject FROM audit WHERE what = 'subscribe' ORDER BY id")
        assert said[0] == (one.device, "subscribe", f"news {one.device}")

    asyncio.run(story())


def test_an_operator_subscribes_a_device(tmp_path: Path) -> None:
    """A subscription by the operator has user and KEK too; so has one by invitation, without a user."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await server.add_channel("news")
            await server.register("tv", "device", symmetric=False)
            await server.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv", user="Ada")
            await server.register("radio", "device", channels=["news"])
            found = (await server.operator.must(operations.SUBSCRIBER_LIST)).subscribers
            assert [(row.device, row.user, len(row.kek)) for row in found] == [
                ("radio", "", len("symmetric")),
                ("tv", "Ada", 43),
            ]
            for user in ("x" * 129, "a\nb"):
                reply = await server.operator.ask(
                    operations.SUBSCRIBER_ADD, channel="news", device="tv", user=user
                )
                assert reply.problem == "bad-request"

    asyncio.run(story())


def test_each_no_has_its_name(tmp_path: Path) -> None:
    """A closed or unknown channel, a second subscription, an offence, an unsold device: each by name."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await server.register("TV-1", "device")
            await server.add_channel("news")
            closed = await subscribe(device)
            assert (closed.status, closed.problem) == (403, "channel-closed")
            await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=True)
            assert (await subscribe(device, "none")).problem == "unknown-channel"
            for user in ("", "  ", "a\nb", "x" * 129):
                assert (await subscribe(device, user=user)).problem == "bad-request"
            offend(tmp_path, "TV-1")
            barred = await subscribe(device)
            assert (barred.status, barred.problem) == (403, "not-in-good-standing")
            await server.operator.must(operations.OFFENDER_PARDON, device="TV-1")
            assert (await subscribe(device)).status == 200
            second = await subscribe(device)
            assert (second.status, second.problem) == (409, "already-subscribed")
            await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=False)
            assert (await subscribe(device)).problem == "already-subscribed"
            await sell(server, "TV-2")
            await server.operator.must(operations.SOLD_REMOVE, serial="TV-1")
            unsold = await subscribe(device, "none")
            assert (unsold.status, unsold.problem) == (403, "not-sold")
            await sell(server, "TV-1")
            assert (await subscribe(device)).problem == "already-subscribed"
            assert await live(server) == [("news", "TV-1", "Ada Lovelace")]

    asyncio.run(story())


def test_channels_open_and_close(tmp_path: Path) -> None:
    """A channel is closed unless told; opening and closing show in its row, and once in the audit."""

    async def story() -> None:
        async with running(tmp_path) as server:
            assert not (await server.add_channel("news")).open
            for is_open in (True, True, False, False, True):
                answer = await server.operator.must(operations.CHANNEL_OPEN, channel="news", open=is_open)
                assert answer.channels[0].open is is_open
            assert (await server.operator.must(operations.CHANNEL_LIST)).channels[0].open
            unknown = await server.operator.ask(operations.CHANNEL_OPEN, channel="none", open=True)
            assert unknown.problem == "unknown-channel"
        said = rows(tmp_path, "SELECT what FROM audit WHERE what LIKE 'channel-%' ORDER BY id")
        assert [what for (what,) in said] == ["channel-add", "channel-open", "channel-close", "channel-open"]

    asyncio.run(story())


def test_offenders_are_listed_and_pardoned(tmp_path: Path) -> None:
    """Offences are listed, the newest first; a pardon lets off all of a device and is no answer to none."""

    async def story() -> None:
        async with running(tmp_path) as server:
            for device, kind in (("one", "bad"), ("two", "foreign"), ("one", "replayed")):
                offend(tmp_path, device, kind)
            pardon = operations.OFFENDER_PARDON
            await server.operator.must(pardon, device="one")
            assert (await server.operator.ask(pardon, device="one")).problem == "unknown-device"
            offenders = (await server.operator.must(operations.OFFENDER_LIST)).offenders
            assert [(row.device, row.kind, row.pardoned_at is None) for row in offenders] == [
                ("one", "replayed", False),
                ("two", "foreign", True),
                ("one", "bad", False),
            ]

    asyncio.run(story())


def test_at_most_one_live_subscription(tmp_path: Path) -> None:
    """However many ask at once, device and operator, a device stands once on a channel's list."""

    async def story() -> None:
        async with running(tmp_path) as server:
            device = await server.register("TV-1", "device")
            for name, port in (("news", 5004), ("sport", 6004)):
                await open_channel(server, name, port)
            await device.fetch_nonce()
            for channel in ("news", "sport"):
                users = [str(n) for n in range(AT_ONCE)]
                tokens = [device.token(operations.SUBSCRIBE, channel=channel, user=user) for user in users]
                add = {"channel": channel, "device": "TV-1"}
                added = [server.operator.token(operations.SUBSCRIBER_ADD, **add) for _ in range(AT_ONCE)]
                replies = await asyncio.gather(
                    *(device.post(operations.SUBSCRIBE, token) for token in tokens),
                    *(server.operator.post(operations.SUBSCRIBER_ADD, token) for token in added),
                )
                ends = sorted(reply.problem for reply in replies)
                assert ends[0] == ""
                assert set(ends[1:]) <= {"already-subscribed", "exists"}
            assert [row[:2] for row in await live(server)] == [("news", "TV-1"), ("sport", "TV-1")]

    asyncio.run(story())


def test_the_database_itself_keeps_it_so(tmp_path: Path) -> None:
    """Two servers over one database could not put a device on a list twice: an index is in the way."""

    async def story() -> None:
        async with running(tmp_path) as server:
            await open_channel(server)
            assert (await subscribe(await server.register("TV-1", "device"))).status == 200

    asyncio.run(story())
    with (
        contextlib.closing(connect(tmp_path / "keyserver.sqlite")) as database,
        pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match=r"(?i)unique"),
    ):
        database.execute("INSERT INTO subscriptions (channel, device, added_at_ms) VALUES (1, 'TV-1', 0)")


def test_pages_of_subscribers(tmp_path: Path) -> None:
    """A list too long for one answer comes in pages, which hold everybody once; no place is made up."""

    async def story() -> None:
        async with running(tmp_path) as server:
            for name, port in (("news", 5004), ("sport", 6004)):
                await server.add_channel(name, port=port)
            wanted = [(channel, f"TV-{n:04}") for channel in ("news", "sport") for n in range(700)]
            query = (
                'INSERT INTO subscriptions (channel, device, added_at_ms, "user", kek) VALUES (?, ?, 0, ?, ?)'
            )
            with contextlib.closing(connect(tmp_path / "keyserver.sqlite")) as database, database:
                values = [
                    (1 + (channel == "sport"), device, "u" * 128, "k" * 43) for channel, device in wanted
                ]
                database.executemany(query, values)
            for narrowed, expected in ((None, wanted), ("sport", wanted[700:])):
                fields = {"channel": narrowed, "after": ""}
                seen, pages = [], 0
                while fields["after"] is not None:
                    answer = await server.operator.must(operations.SUBSCRIBER_LIST, **fields)
                    seen += [(row.channel, row.device) for row in answer.subscribers]
                    fields["after"], pages = answer.next, pages + 1
                assert (seen, pages > 1) == (expected, narrowed is None)
            few = await server.operator.must(operations.SUBSCRIBER_LIST, limit=2)
            assert (len(few.subscribers), few.next) == (2, "1 TV-0001")
            for bad in ({"after": "x"}, {"after": "1"}, {"after": "-1 a"}, {"limit": 0}, {"limit": 1001}):
                reply = await server.operator.ask(operations.SUBSCRIBER_LIST, **bad)
                assert reply.problem == "bad-request"

    asyncio.run(story())
