"""Shows that an answer lost on the way, whole or in part, costs a question and nothing else (S0-10)."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from receiver.watcher import Watcher, watching
from sealcast.client import limits
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from server.running import Caller, running
from server.test_request_key import grants, on_air, subscriber

SILENT = -1
"""A cut by which nothing of the answer comes, and the connection stays."""


class Robber:
    """A proxy to a key server. The next `cuts` answers lose all behind so many bytes, or never come."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.cuts: list[int] = []
        self.lost = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator["Robber"]:
        """Stand between for the block."""
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
        asking = asyncio.create_task(self._pass_on(reader, inner_writer))
        try:
            await self._pass_answers(inner_reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            asking.cancel()
            for each in (writer, inner_writer):
                each.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handshake = True
        while data := await reader.read(65_536):
            # The server's part of a TLS 1.3 handshake comes first, and is let through.
            if handshake or not self.cuts:
                handshake = False
                writer.write(data)
                continue
            cut = self.cuts.pop(0)
            self.lost += 1
            if cut == SILENT:
                await asyncio.sleep(60)
            writer.write(data[:cut])
            await writer.drain()
            return


def rows(directory: Path, what: str) -> int:
    """Return how many rows a table of the key server has."""
    with contextlib.closing(sqlite3.connect(directory / "keyserver.sqlite")) as database:
        return int(database.execute(f"SELECT count(*) FROM {what}").fetchone()[0])  # noqa: S608 - ours


async def ask_until_answered(watcher: Watcher) -> None:
    """Ask as a receiver does, again after each failure."""
    for _ in range(20):
        if await watcher.ask():
            return
    raise AssertionError("no answer at all")


CUTS = ([0], [1], [200], [0, 0], [100, 0, 300], [SILENT], [0] * 5)
"""Each for a device of its own: behind how many bytes the next answers are lost."""


async def join_and_ask_again(robber: Robber, device: Caller, cuts: list[int]) -> Grant:
    """Have a device join and ask again with its keys in hand, robbed both times; return its first grant."""
    lost = robber.lost
    async with watching(device.credential, robber.url) as watcher:
        await watcher.client.call(operations.STOP, channel="news")  # The connection stands.
        robber.cuts = list(cuts)
        await ask_until_answered(watcher)
        robber.cuts = list(cuts)
        watcher.session._fetch.want_why(watcher.now, 0)
        await ask_until_answered(watcher)
        assert robber.lost - lost == 2 * len(cuts)
        assert watcher.session.state(watcher.now).holds_next
        end = await watcher.attendance.leave([])
        assert end is not None
        assert end.acknowledged
        return watcher.grants[0]


def test_a_lost_grant_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of a grant is lost, however often: the same keys come, one grant each, and one reception."""
    monkeypatch.setattr(limits, "ATTEMPT_S_MAX", 0.5)
    monkeypatch.setattr(limits, "ROUND_PAUSE_S", 0.02)

    async def story() -> None:
        async with running(tmp_path) as server:
            _, _, keys, _ = await on_air(server)
            robber = Robber(int(server.url.rpartition(":")[2]))
            async with robber.standing():
                for number, cuts in enumerate(CUTS):
                    device = await subscriber(server, f"tv-{number}")
                    grant = await join_and_ask_again(robber, device, cuts)
                    assert [key.material for key in grant.keys] == keys
            assert grants(tmp_path) == [(f"tv-{n}", epoch) for n in range(len(CUTS)) for epoch in (1, 2)]
            assert rows(tmp_path, "receptions") == len(CUTS)

    asyncio.run(story())


def test_a_lost_acknowledgement_of_the_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop is asked again under one `jti`: acknowledged as the same reception, which ended once."""
    monkeypatch.setattr(limits, "ROUND_PAUSE_S", 0.02)

    async def story() -> None:
        async with running(tmp_path) as server:
            await on_air(server)
            device = await subscriber(server, "tv")
            robber = Robber(int(server.url.rpartition(":")[2]))
            async with robber.standing(), watching(device.credential, robber.url) as watcher:
                assert await watcher.ask()
                (row,) = (await server.operator.must(operations.RECEPTION_LIST)).receptions
                robber.cuts = [0]
                end = await watcher.attendance.leave([])
                assert robber.lost == 1
                assert end is not None
                assert (end.acknowledged, end.number) == (True, row.number)
            (over,) = (await server.operator.must(operations.RECEPTION_LIST, history=True)).receptions
            assert (over.number, over.until, over.reason) == (row.number, end.until, "stopped")

    asyncio.run(story())
