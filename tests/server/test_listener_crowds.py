"""Shows that the HTTPS listener stays small and open to others, whatever connections do or leave undone."""

import asyncio
import contextlib
import gc
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sealcast.server import listening
from sealcast.server.http1 import Requests
from sealcast.server.loops import run
from server.echoing import GET, WAIT_S, closing, read_answer, serving
from server.running import free_port, make_state
from server.stories import told

MANY = 3_000
FILES = listening.SPARE_FILES + 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a server's state: its certificate, its key, its CA."""
    path = tmp_path_factory.mktemp("state")
    make_state(path, 1)
    return path


@told
async def test_a_row_without_end(folder: Path) -> None:
    """Of requests in a row some kilobytes are read ahead, however many are sent, and all are answered."""
    async with serving(folder) as served:
        ahead = []
        served.app.on_asked = lambda: ahead.append(len(served.connection()._requests.waiting))
        got = await served.converse(GET * MANY + closing(GET))
        assert got.count(b"GET /a ") == MANY + 1
        assert max(ahead) <= 2 * 16_384 // len(GET)


@told
async def test_those_that_are_idle_make_room(folder: Path) -> None:
    """With all places taken the connection that has been idle longest ends, and the newcomer is served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listening, "BACKLOG", 2)
        patch.setattr(listening, "SPARED_S", 0.0)
        patch.setattr(listening, "ACCEPTS_AT_ONCE", 1)
        async with serving(folder) as served:
            first, first_writer = await served.connect()
            first_writer.write(GET)
            await read_answer(first)
            second, second_writer = await served.connect()
            second_writer.write(GET)
            await read_answer(second)
            assert b"GET /a" in await served.converse(closing(GET))
            assert await asyncio.wait_for(first.read(), WAIT_S) == b""
            second_writer.write(GET)
            assert await read_answer(second)
            first_writer.close()
            second_writer.close()


def test_fewer_descriptors_than_connections(folder: Path) -> None:
    """Where the system gives few descriptors, idle connections make room before there are none left."""
    port = free_port()
    arguments = [str(port), str(folder / "tls.pem"), str(folder / "tls.key")]
    program = subprocess.Popen(
        [sys.executable, "-m", "sealcast.bench.hello", *arguments],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),  # noqa: PLW1509
    )
    tls = ssl.create_default_context(cafile=folder / "ca.pem")
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(_asked(port, tls))
    finally:
        program.send_signal(signal.SIGTERM)
        program.wait(WAIT_S)


def _asked(port: int, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """Return a connection over which one request was answered; waits for the server to start."""
    for _ in range(400):
        try:
            plain = socket.create_connection(("127.0.0.1", port), WAIT_S)
        except ConnectionRefusedError:
            time.sleep(0.05)
            continue
        connection = tls.wrap_socket(plain, server_hostname="127.0.0.1")
        connection.sendall(GET)
        assert connection.recv(4_096).startswith(b"HTTP/1.1 200")
        return connection
    raise AssertionError("no server")


@told
async def test_the_system_asks_for_peers_that_vanished(folder: Path) -> None:
    """A peer that went without a word is found out though nothing is sent to it."""
    async with serving(folder) as served:
        _, writer = await served.connect()
        held = served.connection()._socket
        assert held.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert held.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) <= 60
        writer.close()


def test_peers_that_reset_behind_a_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They leave no connection behind, in the loop that servers use and in asyncio's."""
    monkeypatch.setattr(listening, "LOOK_S", 0.1)
    tls = ssl.create_default_context(cafile=folder / "ca.pem")

    async def story() -> None:
        async with serving(folder) as served:
            peer = await asyncio.to_thread(_asked, served.port, tls)
            peer.sendall(GET.replace(b"/a?b", b"/wait"))
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()  # The listener has not had a turn since: it finds the request and the reset at once.
            async with asyncio.timeout(WAIT_S):
                while served.listener._connections:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            assert b"GET /a" in await served.converse(closing(GET))

    run(story())
    asyncio.run(story())


@told
async def test_nothing_stays_of_connections_that_ended(folder: Path) -> None:
    """They are freed at once, without the collector, which looks at what is old once in a million of them."""
    async with serving(folder) as served:
        await served.converse(closing(GET))
        gc.collect()
        gc.disable()
        try:
            for sent in (closing(GET), b"none\r\n\r\n", GET + b"none\r\n\r\n"):
                await served.converse(sent)
            left, alone = await served.connect()
            alone.transport.abort()
            async with asyncio.timeout(WAIT_S):
                while served.listener._connections:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.01)
            assert not [each for each in gc.get_objects() if isinstance(each, Requests)]
        finally:
            gc.enable()
        del left
