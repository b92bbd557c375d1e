"""What one NATS server may do to the bus: be away, come back, hang, be wiped, be none that will do."""

import asyncio
import importlib
import re
import socket
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from cluster.buses import (
    BOUND_S,
    RANDOM,
    connected,
    everything,
    next_batch,
    opened,
    persist,
    settings_of,
    some,
    until_empty,
    until_last,
)
from lab.nats import LOOPBACK, NatsServer, Place, loopback_places, nats_server
from sealcast.cli.failures import explain
from sealcast.cluster import natsconnection
from sealcast.cluster.natsbus import open_nats_bus
from sealcast.cluster.natslink import NatsSettings
from sealcast.core.errors import FencedError, UnreachableError, UsageError

ENTRIES = [("party.1", b"1"), ("party.2", b"2")]


def test_a_killed_server_comes_back_with_everything() -> None:
    """Entries, batches and message ids are there after a kill; whoever watches goes on where it was."""

    async def story(server: NatsServer) -> None:
        master, replica = await opened(server, "m", is_master=True), await opened(server, "r")
        last = await master.publish(ENTRIES, 0)
        await replica.submit("r", "j:1", b"first")
        async with aclosing(replica.watch()) as watch:
            assert len(await until_last(watch)) == 2
            server.kill()
            with pytest.raises(UnreachableError):
                await persist(master.last_sequence, AssertionError)
            server.start()
            last = await persist(lambda: master.publish([("beat.1", b"b")], last), UnreachableError)
            assert [each.name for each in await some(watch, 1)] == ["beat.1"]
        await persist(lambda: replica.submit("r", "j:1", b"first"), UnreachableError)
        await replica.submit("r", "j:2", b"second")
        async with aclosing(master.journal()) as journal:
            for data in (b"first", b"second"):
                batch = await next_batch(journal)
                assert batch.data == data
                await batch.done()
        await until_empty(master)
        assert await everything(replica) == {**dict(ENTRIES), "beat.1": b"b"}
        await asyncio.gather(master.close(), replica.close())

    with nats_server() as server:
        asyncio.run(story(server))


def test_a_wiped_bus_is_filled_again() -> None:
    """Its publisher is told that all is gone, once; whoever watches is given all that comes after."""

    async def story(server: NatsServer) -> None:
        master, replica = await opened(server, "m", is_master=True), await opened(server, "r")
        last = await master.publish(ENTRIES, 0)
        async with aclosing(replica.watch()) as watch:
            assert len(await until_last(watch)) == 2
            server.kill()
            server.wipe()
            server.start()
            with pytest.raises(FencedError, match="lost what was published"):
                await persist(lambda: master.publish([("beat.1", b"b")], last), UnreachableError)
            assert await master.last_sequence() == 0
            await master.publish([*ENTRIES, ("beat.1", b"b")], 0)
            assert [each.sequence for each in await some(watch, 3)] == [1, 2, 3]
        await persist(lambda: replica.submit("r", "j:1", b"x"), UnreachableError)
        await asyncio.gather(master.close(), replica.close())

    with nats_server() as server:
        asyncio.run(story(server))


@pytest.mark.parametrize(("count", "taken"), [(2, 1), (12, 12)])
def test_a_publication_that_arrives_late_fences_nobody(
    count: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hung takes what was given up long ago, of few entries the first, of many all.

    Its publisher goes on after it; others do not.
    """
    monkeypatch.setattr("sealcast.cluster.natspublish.PUBLISH_S", 1.0)

    async def story(server: NatsServer) -> None:
        master, other = await opened(server, "m", is_master=True), await opened(server, "o", is_master=True)
        last = await master.publish(ENTRIES, 0)
        late = [(f"late.{number}", b"late") for number in range(count)]
        server.freeze()
        with pytest.raises(UnreachableError, match="did not answer within"):
            await master.publish(late, last)
        server.thaw()
        await persist(lambda: _expect(other, last + taken), UnreachableError, AssertionError)
        newest = await persist(lambda: master.publish([("party.1", b"3")], last), UnreachableError)
        assert newest == last + taken + 1
        assert await everything(master) == {"party.2": b"2", **dict(late[:taken]), "party.1": b"3"}
        with pytest.raises(FencedError):
            await other.publish(ENTRIES, last)
        await asyncio.gather(master.close(), other.close())

    with nats_server() as server:
        asyncio.run(story(server))


def test_a_server_may_begin_before_the_bus() -> None:
    """Nothing waits for a bus that is not there; once it is, everything goes on by itself."""

    async def story(server: NatsServer) -> None:
        master = await open_nats_bus(settings_of(server, "m", is_master=True), RANDOM)
        assert not master.is_up
        with pytest.raises(UnreachableError, match=re.escape(server.url)):
            await master.publish(ENTRIES, 0)
        watch = master.watch()
        watching = asyncio.ensure_future(some(watch, 2))
        server.start()
        assert await persist(lambda: master.publish(ENTRIES, 0), UnreachableError) == 2
        assert [(each.name, each.data) for each in await watching] == ENTRIES
        await watch.aclose()
        assert master.is_up
        await master.close()

    with nats_server() as server:
        server.kill()
        asyncio.run(story(server))


def test_the_end_does_not_wait_for_the_bus() -> None:
    """A server closes at once while its bus is away or hangs."""

    async def story(server: NatsServer) -> None:
        loop = asyncio.get_running_loop()
        away, hung = await opened(server, "a", is_master=True), await opened(server, "b", is_master=True)
        waiting = [asyncio.ensure_future(anext(each.watch(), None)) for each in (away, hung)]
        server.freeze()
        since = loop.time()
        await hung.close()
        server.thaw()
        server.kill()
        await away.close()
        assert await asyncio.gather(*waiting) == [None, None]
        assert loop.time() - since < BOUND_S / 2

    with nats_server() as server:
        asyncio.run(story(server))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("jetstream: disabled", "has no JetStream"),
        ("authorization { user: u, password: p }", "check the credentials file"),
    ],
)
def test_a_bus_that_will_never_do_is_told_at_once(more: str, says: str) -> None:
    """No JetStream, or no leave to come in: one line, nothing is begun."""
    with nats_server(more) as server, pytest.raises(UsageError, match=says) as told:
        asyncio.run(opened(server, "m", is_master=True))
    assert "\n" not in str(told.value)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where NATS' client library is not installed, a program that needs the bus ends with what to install."""
    monkeypatch.delitem(sys.modules, "sealcast.cluster.natslink")
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(ModuleNotFoundError) as missing:
        importlib.import_module("sealcast.cluster.natslink")
    line, _ = explain(missing.value)
    assert line == "this command needs more: pip install 'sealcast[cluster]'"


def test_streams_of_another_kind_are_not_touched() -> None:
    """A stream of the same name with other settings is left as it is, and one line says so."""

    async def story(server: NatsServer) -> None:
        master = await opened(server, "m", is_master=True)
        link = await master._connection.link()
        await link.request("$JS.API.STREAM.DELETE.sealcast-entries", b"", timeout_s=5)
        other = b'{"name":"sealcast-entries","subjects":["sealcast.entries.>"],"max_msgs_per_subject":5}'
        await link.request("$JS.API.STREAM.CREATE.sealcast-entries", other, timeout_s=5)
        await master.close()
        with pytest.raises(UsageError, match=r"sealcast-entries on the bus has .*choose another prefix"):
            await opened(server, "m", is_master=True)

    with nats_server() as server:
        asyncio.run(story(server))


def test_credentials_open_the_bus(tmp_path: Path) -> None:
    """A file with user and password lets a server in; it is refused if others can read it."""
    path = tmp_path / "bus.login"
    path.write_text("u:p\n")
    path.chmod(0o600)

    async def story(server: NatsServer) -> None:
        settings = NatsSettings(servers=(server.url,), name="m", is_master=True, credentials=path)
        master = await connected(settings)
        assert await master.publish(ENTRIES, 0) == 2
        await master.close()
        path.chmod(0o644)
        with pytest.raises(UsageError, match=str(path)):
            await open_nats_bus(settings, RANDOM)

    with nats_server("authorization { user: u, password: p }") as server:
        asyncio.run(story(server))


def test_a_password_is_not_told_without_tls(tmp_path: Path) -> None:
    """Whoever answers at a `tls://` address and speaks no TLS hears nothing from us."""
    login = tmp_path / "bus.login"
    login.touch(mode=0o600)
    login.write_text("u:secret\n")
    heard: list[bytes] = []

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","headers":true,"max_payload":1048576}\r\n')
        heard.append(await reader.read(1_000))
        writer.close()

    async def story() -> None:
        impostor = await asyncio.start_server(greet, LOOPBACK, 0)
        port = impostor.sockets[0].getsockname()[1]
        settings = NatsSettings(servers=(f"tls://{LOOPBACK}:{port}",), name="r", credentials=login)
        bus = await open_nats_bus(settings, RANDOM)
        with pytest.raises(UnreachableError, match="speaks no TLS"):
            await bus.last_sequence()
        await bus.close()
        impostor.close()
        await impostor.wait_closed()

    asyncio.run(story())
    assert heard
    assert not b"".join(heard)


def test_a_server_that_says_nothing_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two addresses where nothing answers: the other is taken, at the start and after a loss."""
    monkeypatch.setattr(natsconnection, "AGAIN_MAX_MS", 500)
    silent = Place("silent", LOOPBACK, loopback_places(1)[0].port, 0)

    async def story(server: NatsServer) -> None:
        settings = NatsSettings(servers=(silent.url, server.url), name="m", is_master=True)
        for _ in range(2):
            master = await open_nats_bus(settings, RANDOM)
            assert await persist(master.last_sequence, UnreachableError) == 0
            await master.close()

    with socket.create_server((silent.host, silent.port)), nats_server() as server:
        asyncio.run(story(server))


async def _expect(bus, sequence: int) -> None:
    assert await bus.last_sequence() == sequence
