"""Shows that long reads see one state of the database, hold up no writer, and write nothing."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage import audit
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork
from storage.places import upgraded_engine

pytestmark = pytest.mark.usefixtures("both_databases")


def note(connection: sa.Connection) -> None:
    """Write one row."""
    audit.append(connection, audit.AuditRow(1, "a", "b", "c"))


def count(connection: sa.Connection) -> int:
    """Return how many rows there are."""
    return len(audit.latest(connection, 100))


def test_a_reader_sees_one_state_while_others_write(tmp_path: Path) -> None:
    """A write that commits in the middle of a read is seen by the next read, not by this one."""
    engine = upgraded_engine(tmp_path / "test.sqlite")
    unit_of_work = UnitOfWork(engine)
    reader = Reader(engine)

    def read_twice(connection: sa.Connection) -> tuple[int, int]:
        before = count(connection)
        unit_of_work.run_blocking(note)
        return before, count(connection)

    async def all_of_it() -> tuple[tuple[int, int], int]:
        return await reader.read(read_twice), await reader.read(count)

    assert asyncio.run(all_of_it()) == ((0, 0), 1)
    unit_of_work.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    """What a reader tries to write is refused by the database, and a writer may use its connection after."""
    engine = upgraded_engine(tmp_path / "test.sqlite")
    reader = Reader(engine)
    with pytest.raises(sa.exc.DBAPIError, match=r"read-?only"):
        reader.read_blocking(note)
    with engine.begin() as connection:
        note(connection)
    assert reader.read_blocking(count) == 1
    engine.dispose()
