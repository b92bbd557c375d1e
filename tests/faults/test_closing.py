"""A key server that dies at any moment of closing: run again, each invoice is there once, all books agree."""

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from faults.closing import Office, fill, go_on, look, new_site, state_of, tear
from faults.leaving import Steps, photograph
from sealcast.core.ports import NS_PER_MS
from sealcast.messages import operations_billing
from sealcast.server.state import load_server_state
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.transport.system import SystemClock
from server.billing_site import check_books
from server.running import Caller, client, free_port, make_state, process

STEPS_MIN, STATES_MIN = 40, 4
"""Fewer would mean that something is not counted any more: a page of two customers is one commit."""

PAGE_BYTES, FRAME_BYTES = 4_096, 24
LOG_HEAD_BYTES = 32
TORN = 12
CUSTOMERS, PAGE = 300, 20
KILLED_AFTER = 1, 4
DAYS_40_MS = 40 * 86_400_000


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[Any]]]:
    """Give photographs of a month that is closed, one before each write, and what it comes to."""
    folder = tmp_path_factory.mktemp("closing")
    site, album = folder / "site", folder / "album"
    new_site(site)
    number = count()
    office = Office(site)
    steps = Steps(lambda: photograph(site, album / f"{next(number):03}"))
    office.unit_of_work._driver.set_trace_callback(steps.statement)
    office.close_month()
    office.unit_of_work._driver.set_trace_callback(None)
    photograph(site, album / f"{next(number):03}")
    office.close()
    return album, look(site)


def test_photographed_before_every_write(whole: tuple[Path, dict[str, list[Any]]], tmp_path: Path) -> None:
    """From what lies on the disk before any write of a closing, the next try issues what it would have."""
    album, wanted = whole
    assert [row[2] for row in wanted["invoices"]] == ["TV-000", "TV-002", "TV-004", "family"]
    photographs = sorted(album.iterdir())
    assert len(photographs) > STEPS_MIN
    seen: set[bytes] = set()
    for folder in photographs:
        if state_of(folder) in seen:
            continue
        seen.add(state_of(folder))
        copy = tmp_path / folder.name
        photograph(folder, copy)
        look(copy)
        go_on(copy)
        assert look(copy) == wanted, folder.name
    assert len(seen) >= STATES_MIN


def test_torn_in_a_commit(whole: tuple[Path, dict[str, list[Any]]], tmp_path: Path) -> None:
    """The same of a commit that was under way: whatever part of the log was written."""
    album, wanted = whole
    last = max(album.iterdir())
    size = (last / "keyserver.sqlite-wal").stat().st_size
    frames = (size - LOG_HEAD_BYTES) // (PAGE_BYTES + FRAME_BYTES)
    assert frames > TORN
    for nth in range(TORN):
        torn = LOG_HEAD_BYTES + nth * frames // TORN * (PAGE_BYTES + FRAME_BYTES) + nth % 3 * 1_013
        copy = tmp_path / str(nth)
        tear(last, copy, torn)
        look(copy)
        go_on(copy)
        assert look(copy) == wanted, torn


def test_killed_by_kill_9(tmp_path: Path) -> None:
    """A serving process that is killed while it closes some hundred customers, after some pages of them."""
    asyncio.run(_kill_and_close(tmp_path / "server", KILLED_AFTER))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_killed_by_kill_9_after_every_page(tmp_path: Path) -> None:
    """The same, killed after each page in turn."""
    asyncio.run(_kill_and_close(tmp_path / "server", tuple(range(CUSTOMERS // PAGE - 1))))


async def _kill_and_close(folder: Path, killed_after: tuple[int, ...]) -> None:
    """Kill the server some ms after so many pages since it began, and close the rest at last."""
    port = free_port()
    credential = make_state(folder, port)
    engine = open_engine(load_server_state(folder).database_path)
    upgrade(engine)
    now_ms = SystemClock().wall_ns() // NS_PER_MS
    with engine.begin() as connection:
        fill(connection, CUSTOMERS, now_ms - DAYS_40_MS)
    issued: list[str] = []
    for nth, pages in enumerate((*killed_after, None)):
        async with process(folder, port) as child, client(credential, f"https://127.0.0.1:{port}") as caller:
            await _close_all(caller, pages)
            if pages is not None:
                asking = asyncio.create_task(_close_all(caller, None))
                await asyncio.sleep(0.01 + 0.02 * (nth % 5))
                child.kill()
                await child.wait()
                await asyncio.wait({asking})
                asking.exception()
        with engine.connect() as connection:
            check_books(connection)
            issued = list(connection.exec_driver_sql("SELECT customer FROM invoices").scalars())
            assert len(set(issued)) == len(issued)
        engine.dispose()
    assert len(issued) == CUSTOMERS


async def _close_all(operator: Caller, pages: int | None) -> None:
    """Close all that is to be closed, or so many pages of it that issue something."""
    after: str | None = ""
    while after is not None and (pages is None or pages > 0):
        answer = await operator.must(operations_billing.INVOICE_CLOSE, after=after, limit=PAGE)
        after = answer.next
        if pages is not None and answer.issued:
            pages -= 1
