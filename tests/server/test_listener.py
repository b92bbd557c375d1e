"""Shows the HTTPS listener on real connections: requests in any pieces, slow peers, an end in time."""

import asyncio
import ssl
from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.server import connections, listening
from server.echoing import CHUNKED, GET, LARGE, POST, WAIT_S, closing, read_answer, serving
from server.running import make_state
from server.stories import told


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a server's state: its certificate, its key, its CA."""
    path = tmp_path_factory.mktemp("state")
    make_state(path, 1)
    return path


@told
async def test_requests_in_any_pieces(folder: Path) -> None:
    """Whole, byte by byte, in chunks and many in a row, requests are the same and answered in order."""
    async with serving(folder) as served:
        row = GET + POST + CHUNKED + closing(POST)
        whole = await served.converse(row)
        bodies = [b"GET /a ", b"POST /p hello", b"POST /p hello", b"POST /p hello"]
        assert [part.partition(b"HTTP/1.1")[0] for part in whole.split(b"\r\n\r\n")[1:]] == bodies
        assert whole.count(b"connection: close") == 1
        dates = {line for line in whole.split(b"\r\n") if line.startswith(b"date: ")}
        assert len(dates) in {1, 2}
        in_bytes = await served.converse(*(row[at : at + 1] for at in range(len(row))))
        assert in_bytes.count(b"hello") == 3
        assert len(in_bytes) == len(whole)


@told
async def test_kinds_of_answers(folder: Path) -> None:
    """HEAD has no body and tells its length; 204 has neither; a fault is a 500, and goes no further."""
    async with serving(folder) as served:
        reader, writer = await served.connect()
        writer.write(GET.replace(b"GET", b"HEAD"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 8\r\n" in head
        writer.write(GET.replace(b"/a?b", b"/empty"))
        assert (await reader.readuntil(b"\r\n\r\n")).count(b"content-length") == 0
        writer.write(GET.replace(b"/a?b", b"/fault"))
        head, body = await read_answer(reader)
        assert head.startswith(b"HTTP/1.1 500")
        assert b"insides" not in body
        writer.write(GET)
        assert await read_answer(reader)
        writer.close()


@told
async def test_a_client_that_asks_whether_to_go_on(folder: Path) -> None:
    """Who waits with the body for a word gets it."""
    async with serving(folder) as served:
        reader, writer = await served.connect()
        head, _, body = POST.partition(b"\r\n\r\n")
        writer.write(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(body)
        assert (await read_answer(reader))[1] == b"POST /p hello"
        writer.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nothing of the kind\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100_000, b"413"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 4_000, b"431"),
    ],
)
def test_what_is_no_request(folder: Path, sent: bytes, status: bytes) -> None:
    """It is told why, whatever comes behind it counts for nothing, and the connection ends."""

    async def story() -> None:
        async with serving(folder) as served:
            got = await served.converse(sent, GET)
            assert got.startswith(b"HTTP/1.1 " + status)
            assert got.count(b"content-length: ") == 1
            assert not served.app.asked.is_set()

    asyncio.run(story())


@told
async def test_a_large_answer_to_a_slow_reader(folder: Path) -> None:
    """An answer larger than all buffers arrives whole, and what was asked behind it is answered."""
    async with serving(folder) as served:
        reader, writer = await served.connect()
        writer.transport.pause_reading()
        writer.write(GET.replace(b"/a?b", b"/large") + closing(POST))
        await asyncio.wait_for(served.app.asked.wait(), WAIT_S)
        writer.transport.resume_reading()
        assert (await read_answer(reader))[1] == b"x" * LARGE
        assert (await read_answer(reader))[1] == b"POST /p hello"


def test_who_is_too_slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handshake and a head that are not whole in time end the connection; an idle one stays."""
    for name in ("SHAKE_S", "HEAD_S"):
        monkeypatch.setattr(connections, name, 0.2)
    monkeypatch.setattr(listening, "LOOK_S", 0.1)

    async def story() -> None:
        async with serving(folder) as served:
            idle, idler = await served.connect()
            assert await served.converse(b"GET / HT") == b""
            silent, stranger = await asyncio.open_connection("127.0.0.1", served.port)
            assert await asyncio.wait_for(silent.read(), WAIT_S) == b""
            idler.write(GET)
            assert await read_answer(idle)
            idler.close()
            stranger.close()

    asyncio.run(story())


@told
async def test_another_certificate(folder: Path, tmp_path: Path) -> None:
    """New connections get it; of those open one finishes its request, and one that is idle ends."""
    make_state(tmp_path, 1)
    async with serving(folder) as served:
        idle, idler = await served.connect()
        busy, asker = await served.connect()
        asker.write(GET.replace(b"/a?b", b"/wait"))
        await asyncio.wait_for(served.app.asked.wait(), WAIT_S)
        with pytest.raises(UsageError, match="do not fit"):
            served.listener.renew_certificate(folder / "tls.pem", tmp_path / "tls.key")
        served.listener.renew_certificate(tmp_path / "tls.pem", tmp_path / "tls.key")
        assert await asyncio.wait_for(idle.read(), WAIT_S) == b""
        with pytest.raises(ssl.SSLCertVerificationError):
            await served.connect()
        served.app.go.set()
        head, body = await read_answer(busy)
        assert (b"connection: close" in head, body) == (True, b"GET /wait ")
        assert await asyncio.wait_for(busy.read(), WAIT_S) == b""
        idler.close()
        asker.close()


@told
async def test_the_end_waits_for_answers(folder: Path) -> None:
    """At the end the port is closed at once, and a request that is open is answered."""
    async with serving(folder) as served:
        reader, writer = await served.connect()
        writer.write(GET.replace(b"/a?b", b"/wait"))
        await asyncio.wait_for(served.app.asked.wait(), WAIT_S)
        served.listener.stop()
        await asyncio.sleep(0.05)
        with pytest.raises(OSError):  # noqa: PT011 - refused, or reset
            await served.connect()
        served.app.go.set()
        assert (await read_answer(reader))[1] == b"GET /wait "
        writer.close()


def test_more_than_there_is_room_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all places taken by requests a connection waits, and is served when another ends."""
    monkeypatch.setattr(listening, "BACKLOG", 1)

    async def story() -> None:
        async with serving(folder) as served:
            reader, writer = await served.connect()
            writer.write(closing(GET).replace(b"/a?b", b"/wait"))
            await asyncio.wait_for(served.app.asked.wait(), WAIT_S)
            second = asyncio.create_task(served.converse(closing(GET)))
            writer.write(GET)
            assert not (await asyncio.wait({second}, timeout=0.1))[0]
            served.app.go.set()
            assert (await read_answer(reader))[1] == b"GET /wait "
            writer.close()
            assert b"GET /a" in await second

    asyncio.run(story())
