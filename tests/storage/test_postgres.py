"""Shows PostgreSQL's own: what is acknowledged survives its end, and connections that break come back."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from lab.postgres import Postgres, postgres
from sealcast.core.errors import RefusedError, UnreachableError, UsageError
from sealcast.storage import audit
from sealcast.storage.audit import AuditRow
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork

KILLS = 3
WRITERS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Give a server of this module's own, which its tests kill."""
    with postgres() as running:
        yield running


@pytest.fixture
def url(server: Postgres, request: pytest.FixtureRequest) -> str:
    """Return the address of a database of its own, without tables."""
    return server.create(f"t{abs(hash(request.node.name))}")


def opened(url: str) -> UnitOfWork:
    """Return a unit of work over the database at `url`, brought up to date."""
    engine = open_engine(url)
    upgrade(engine)
    return UnitOfWork(engine)


def adding(what: str) -> Callable[[sa.Connection], str]:
    """Return a unit that adds one row and returns its name."""

    def work(connection: sa.Connection) -> str:
        audit.append(connection, AuditRow(1, "me", what, "test"))
        return what

    return work


def kept(unit_of_work: UnitOfWork) -> list[str]:
    """Return the rows that there are."""
    return [row.what for row in unit_of_work.run_blocking(lambda c: audit.latest(c, 1_000_000))][::-1]


def test_what_was_acknowledged_survives_kills(server: Postgres, url: str) -> None:
    """Writers go on through kill -9 of PostgreSQL: each row that was acknowledged is there exactly once."""
    unit_of_work = opened(url)
    acknowledged: list[str] = []
    refused: list[RefusedError] = []

    async def write(writer: int, is_over: threading.Event) -> None:
        number = 0
        while not is_over.is_set():
            name = f"{writer}-{number}"
            try:
                acknowledged.append(await unit_of_work.run(adding(name)))
            except RefusedError as error:
                refused.append(error)
                await asyncio.sleep(0.02)
            number += 1

    async def story() -> None:
        is_over = threading.Event()
        writers = [asyncio.create_task(write(i, is_over)) for i in range(WRITERS)]
        for _ in range(KILLS):
            count = len(acknowledged)
            await wait_until(lambda before=count: len(acknowledged) > before + 100)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        count = len(acknowledged)
        await wait_until(lambda: len(acknowledged) > count + 100)
        is_over.set()
        await asyncio.gather(*writers)

    asyncio.run(story())
    rows = kept(unit_of_work)
    assert len(rows) == len(set(rows))
    assert set(acknowledged) <= set(rows)
    assert {(each.type, each.status, bool(each.retry_after_s)) for each in refused} == {("busy", 503, True)}
    assert unit_of_work.takes_writes
    unit_of_work.close()


async def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so, at most 20 s."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_a_connection_that_is_ended_comes_back(server: Postgres, url: str) -> None:
    """Amid a unit or between two: who waits is told `busy`, memory is forgotten, and the next unit works."""
    undone: list[str] = []
    engine = open_engine(url)
    upgrade(engine)
    unit_of_work = UnitOfWork(engine, on_undone=lambda: undone.append("undone"))

    def ending_itself(connection: sa.Connection) -> None:
        adding("never")(connection)
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(RefusedError, match="does not reach its database") as refused:
        unit_of_work.run_blocking(ending_itself)
    assert (refused.value.type, refused.value.status) == ("busy", 503)
    assert undone == ["undone"]
    assert not unit_of_work.takes_writes
    assert unit_of_work.run_blocking(adding("next")) == "next"
    assert unit_of_work.takes_writes
    own = unit_of_work.run_blocking(lambda c: c.exec_driver_sql("SELECT pg_backend_pid()").scalar())
    server.run(f"SELECT pg_terminate_backend({own})")
    with pytest.raises(RefusedError, match="does not reach its database"):
        unit_of_work.run_blocking(adding("lost"))
    assert unit_of_work.run_blocking(adding("after")) == "after"
    assert kept(unit_of_work) == ["next", "after"]
    assert Reader(engine).read_blocking(lambda c: len(audit.latest(c, 9))) == 2
    unit_of_work.close()


def test_all_who_wait_are_refused_at_once(server: Postgres, url: str) -> None:
    """While there is no PostgreSQL nobody waits for it, and with it all goes on by itself."""
    unit_of_work = opened(url)
    server.stop()
    began = time.monotonic()
    try:

        async def story() -> list[object]:
            units = (unit_of_work.run(adding(f"{i}")) for i in range(200))
            return list(await asyncio.gather(*units, return_exceptions=True))

        errors = asyncio.run(story())
        assert all(isinstance(each, RefusedError) and each.type == "busy" for each in errors)
        assert time.monotonic() - began < 10
    finally:
        server.start()
    deadline = time.monotonic() + 10
    while not unit_of_work.takes_writes and time.monotonic() < deadline:
        try:
            unit_of_work.run_blocking(adding("again"))
        except RefusedError:
            time.sleep(0.1)
    assert kept(unit_of_work) == ["again"]
    unit_of_work.close()


def test_what_cannot_be_used_is_one_clear_line(server: Postgres, tmp_path: Path) -> None:
    """No server, no database, no address, another encoding: each says what is wrong, and no password."""
    nowhere = f"postgresql://me:secret@{str(tmp_path).replace('/', '%2F')}/db"
    lines = []
    for address in (nowhere, server.url("absent"), "postgresql://127.0.0.1:1/db"):
        with pytest.raises(UnreachableError, match="cannot use the PostgreSQL database") as unreachable:
            open_engine(address)
        lines.append(str(unreachable.value))
    with pytest.raises(UsageError, match="no address of a database") as unread:
        open_engine("postgresql://me:secret@host/db?unknown=1")
    lines.append(str(unread.value))
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(UsageError, match="stores LATIN1: make one with ENCODING 'UTF8'") as foreign:
        open_engine(server.url("latin"))
    lines.append(str(foreign.value))
    assert all("\n" not in line and "secret" not in line for line in lines), lines


def test_servers_that_start_together_upgrade_one_after_the_other(url: str) -> None:
    """Two that find an empty database make its tables once, and both begin."""
    found: list[str] = []

    def begin() -> None:
        engine = open_engine(url)
        found.append(upgrade(engine))
        engine.dispose()

    threads = [threading.Thread(target=begin) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 3
    assert len(set(found)) == 1


def test_a_user_without_rights_is_told_so(server: Postgres, url: str) -> None:
    """Whoever may make no tables gets one line at the start, not at the first request."""
    server.run("DROP ROLE IF EXISTS guest")
    server.run("CREATE ROLE guest LOGIN")
    engine = open_engine(url.replace("postgres@", "guest@"))
    with pytest.raises(UsageError, match=r"cannot upgrade the PostgreSQL database .*: permission denied"):
        upgrade(engine)
    engine.dispose()


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without psycopg an address of PostgreSQL gives one line; SQLite needs none of it."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UsageError, match=r"pip install 'sealcast\[postgres\]'"):
        open_engine("postgresql://127.0.0.1/db")
