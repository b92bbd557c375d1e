"""Shows the server as a process: ready when it says so, durable under kill -9, and an end in time."""

import asyncio
import signal
import socket
import sqlite3
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest

from sealcast.core.errors import UsageError
from sealcast.messages import operations
from sealcast.server import connections, listening
from sealcast.server.run import serve_keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.transport.system import SystemClock, SystemRandom
from server.running import Running, client, free_port, make_state, material, process, running


def test_killed_right_after_the_answer(tmp_path: Path) -> None:
    """When a device has its keys and the server is killed at once, the grants are in the database."""

    async def story() -> None:
        port = free_port()
        credential = make_state(tmp_path, port)
        url = f"https://127.0.0.1:{port}"
        async with process(tmp_path, port) as child, client(credential, url) as operator:
            server = Running(tmp_path, url, operator)
            number = (await server.add_channel("news")).channel.number
            sender = await server.register("studio", "sender", channels=["news"])
            await sender.must(operations.LEASE, channel="news")
            await server.publish(sender, "news", material(number, 1))
            devices = [await server.register(f"tv-{i}", "device") for i in range(5)]
            for device in devices:
                await operator.must(operations.SUBSCRIBER_ADD, channel="news", device=device.credential.id)
            await asyncio.gather(*(device.must(operations.KEYS, channel="news") for device in devices))
            child.kill()
            assert await child.wait() == -signal.SIGKILL
        with sqlite3.connect(tmp_path / "keyserver.sqlite") as database:
            found = database.execute("SELECT device, epoch FROM grants ORDER BY device").fetchall()
        database.close()
        assert found == [(f"tv-{i}", 1) for i in range(5)]
        async with running(tmp_path, credential) as again:
            (row,) = (await again.operator.must(operations.CHANNEL_LIST)).channels
            assert row.subscribers == 5

    asyncio.run(story())


def test_sigterm_ends_in_time_with_open_connections(tmp_path: Path) -> None:
    """With fifty connections open, some in the middle of a request, SIGTERM ends the server with exit 0."""

    async def story() -> None:
        port = free_port()
        credential = make_state(tmp_path, port)
        tls = ssl.create_default_context(cadata=credential.ca_pem)
        async with process(tmp_path, port) as child:
            writers = []
            for i in range(50):
                _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
                if i % 2:
                    writer.write(b"POST /v1/keys HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
                    await writer.drain()
                writers.append(writer)
            async with client(credential, f"https://127.0.0.1:{port}") as operator:
                await operator.must(operations.CHANNEL_LIST)
                child.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(child.wait(), 10) == 0
            for writer in writers:
                writer.transport.abort()

    asyncio.run(story())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_server_ends_on_signals(tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end an idle server with exit 0."""

    async def story() -> None:
        port = free_port()
        make_state(tmp_path, port)
        async with process(tmp_path, port) as child:
            child.send_signal(number)
            assert await asyncio.wait_for(child.wait(), 10) == 0

    asyncio.run(story())


def serve(directory: Path, port: int, *, host: str = "127.0.0.1") -> None:
    """Start a server that is expected to refuse."""
    settings = KeyserverSettings(directory, host, port)
    serving = serve_keyserver(settings, clock=SystemClock(), random=SystemRandom(), stop=asyncio.Event())
    asyncio.run(asyncio.wait_for(serving, 20))


def test_port_in_use_is_told(tmp_path: Path) -> None:
    """A port that another program listens on gives one clear line, before anything is opened."""
    make_state(tmp_path, 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match="in use; choose another") as refused:
            serve(tmp_path, other.getsockname()[1])
    assert refused.value.exit_status == 2
    assert not (tmp_path / "keyserver.sqlite").exists()


@pytest.mark.parametrize("host", ["192.0.2.99", "no such host.invalid", ""])
def test_foreign_hosts_are_told(tmp_path: Path, host: str) -> None:
    """A host that is not this machine gives one clear line."""
    make_state(tmp_path, 1)
    port = free_port() if host else 70_000
    with pytest.raises(UsageError, match=r"cannot listen on|not a host of this machine"):
        serve(tmp_path, port, host=host)


def test_other_databases_are_told(tmp_path: Path) -> None:
    """A newer schema and a file that is no database stop the start with their own lines."""
    port = free_port()
    make_state(tmp_path, port)
    path = tmp_path / "keyserver.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(UsageError, match="is not a database of Sealcast"):
        serve(tmp_path, port)
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('2099')")
    database.close()
    with pytest.raises(UsageError, match="schema 2099, newer than this program's"):
        serve(tmp_path, port)


def test_wrong_certificate_key_is_told(tmp_path: Path) -> None:
    """A certificate with another's key gives one clear line."""
    port = free_port()
    make_state(tmp_path / "one", port)
    make_state(tmp_path / "two", port)
    (tmp_path / "one" / "tls.key").write_bytes((tmp_path / "two" / "tls.key").read_bytes())
    with pytest.raises(UsageError, match="do not fit each other"):
        serve(tmp_path / "one", port)


def test_wrong_master_key_ends_the_program_with_one_line(tmp_path: Path) -> None:
    """The whole program says it in one line with exit status 2 and no traceback."""

    async def story() -> tuple[int | None, bytes]:
        make_state(tmp_path / "one", 1)
        make_state(tmp_path / "two", 1)
        (tmp_path / "one" / "master.key").write_bytes((tmp_path / "two" / "master.key").read_bytes())
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("serve.py")),
            str(tmp_path / "one"),
            str(free_port()),
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(child.communicate(), 30)
        return child.returncode, errors

    status, errors = asyncio.run(story())
    assert status == 2
    assert errors.count(b"\n") == 1
    assert b"does not open with" in errors


def test_only_its_own_ca_and_tls_1_3(tmp_path: Path) -> None:
    """A client with another operator's CA refuses the server, and the server refuses TLS 1.2."""

    async def story() -> None:
        other = make_state(tmp_path / "other", 1)
        async with running(tmp_path / "state") as server:
            foreign = ssl.create_default_context(cadata=other.ca_pem)
            old = ssl.create_default_context(cadata=server.operator.credential.ca_pem)
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            for tls in (foreign, old):
                with pytest.raises(aiohttp.ClientConnectorError):
                    await server.operator.session.get(server.url + "/healthz", ssl=tls)

    asyncio.run(story())


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends half a request is told so after a while, and holds nothing up."""
    monkeypatch.setattr(connections, "BODY_S", 0.2)
    monkeypatch.setattr(listening, "LOOK_S", 0.1)

    async def story() -> None:
        async with running(tmp_path) as server:
            tls = ssl.create_default_context(cadata=server.operator.credential.ca_pem)
            port = int(server.url.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
            writer.write(b"POST /v1/keys HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
            async with asyncio.timeout(20):
                assert (await reader.readline()).startswith(b"HTTP/1.1 408")
            writer.close()
            assert (await server.operator.must(operations.CHANNEL_LIST)).channels == []

    asyncio.run(story())
