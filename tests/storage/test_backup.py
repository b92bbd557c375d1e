"""Shows that a backup taken under load holds one state, and is put back whole into either database."""

import asyncio
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.core.errors import UsageError
from sealcast.ledger import reading
from sealcast.ledger import store as ledger
from sealcast.ledger.entries import Entry, Posting
from sealcast.storage import audit
from sealcast.storage.backup import CHANNELS_AHEAD, EPOCHS_AHEAD, back_up, restore
from sealcast.storage.copying import numbers_of
from sealcast.storage.migrate import latest_revision, upgrade
from sealcast.storage.unitofwork import UnitOfWork
from storage.places import address, is_on_postgres, open_engine, upgraded_engine
from storage.stock import FIRST, contents, fill_first

pytestmark = pytest.mark.usefixtures("both_databases")

RESTORED_MS = 99
WRITERS = 6


def no_progress(_done: int, _total: int) -> None:
    """Show nothing."""


def posting(number: int) -> Callable[[sa.Connection], int]:
    """Return a unit that grants a key and posts to the ledger: both, or neither."""

    def work(connection: sa.Connection) -> int:
        values = {"epoch": number, "device": f"tv-{number % 20}"}
        connection.execute(NEW_EPOCH, {"epoch": number})
        connection.execute(NEW_GRANT, values)
        entry = Entry(f"e-{number}", "EUR", 5, (Posting("a", number + 1), Posting("b", -number - 1)))
        ledger.record(connection, entry, 5)
        return number

    return work


NEW_EPOCH = sa.text(
    "INSERT INTO epochs (channel, epoch, sender, ssrc, consumed, state, leased_at_ms)"
    " VALUES (7, :epoch, 'studio', :epoch, true, 'ACTIVE', 4)"
)
NEW_GRANT = sa.text(
    "INSERT INTO grants (device, channel, epoch, granted_at_ms) VALUES (:device, 7, :epoch, 5)"
)
PERIOD = sa.text(
    "INSERT INTO billed_periods (customer, start_ms, end_ms, closed_at_ms) VALUES ('ada', :start, 9, 9)"
)


def stocked(path: Path) -> sa.Engine:
    """Return a database with rows in many tables, brought up to date."""
    engine = open_engine(path)
    with engine.begin() as connection:
        fill_first(connection)
    upgrade(engine)
    return engine


def test_a_backup_under_load_restores_consistently(tmp_path: Path) -> None:
    """What was acknowledged before it began is in it; references hold and the ledger balances."""
    engine = stocked(tmp_path / "busy.sqlite")
    unit_of_work = UnitOfWork(engine)
    acknowledged: list[int] = []
    is_over, is_busy = threading.Event(), asyncio.Event()

    async def write(writer: int) -> None:
        number = 1_000 + writer
        while not is_over.is_set():
            acknowledged.append(await unit_of_work.run(posting(number)))
            number += WRITERS
            if len(acknowledged) > 100:
                is_busy.set()

    async def story() -> tuple[list[int], int]:
        writers = [asyncio.create_task(write(each)) for each in range(WRITERS)]
        await is_busy.wait()
        before = list(acknowledged)
        made = await asyncio.to_thread(back_up, engine, tmp_path / "all.backup", no_progress)
        after = len(acknowledged)
        is_over.set()
        await asyncio.gather(*writers)
        assert made.size_bytes == (tmp_path / "all.backup").stat().st_size
        return before, after

    before, after = asyncio.run(story())
    assert after > len(before), "nobody wrote while the backup was made"
    unit_of_work.close()
    assert stat.S_IMODE((tmp_path / "all.backup").stat().st_mode) == 0o600
    for target in (tmp_path / "back.sqlite", address(tmp_path / "back")):
        restore(tmp_path / "all.backup", target, no_progress, wall_ms=RESTORED_MS)
    for again in (sqlite_at(tmp_path / "back.sqlite"), open_engine(tmp_path / "back")):
        check_whole(again, before)
        again.dispose()


def sqlite_at(path: Path) -> sa.Engine:
    """Return the engine of a file, whatever this module runs on."""
    return sa.create_engine(f"sqlite:///{path}")


def check_whole(engine: sa.Engine, acknowledged: list[int]) -> None:
    """Assert that a database has what was acknowledged, and nothing by halves."""
    with engine.connect() as connection:
        rows = contents(connection)
        granted = {row["epoch"] for row in rows["grants"] if row["epoch"] >= 1_000}
        assert granted >= set(acknowledged)
        assert {int(row["id"][2:]) for row in rows["ledger_entries"]} == granted
        assert {row["epoch"] for row in rows["epochs"]} >= granted
        assert reading.unbalanced(connection, 0, 2**40) == []
        total = sum(number + 1 for number in granted)
        assert (reading.balance(connection, "a", "EUR"), reading.balance(connection, "b", "EUR")) == (
            total,
            -total,
        )


def test_all_rows_come_back_and_numbers_go_on(tmp_path: Path) -> None:
    """Each row of each table is as it was; epochs and channels that were given since are given to nobody."""
    engine = stocked(tmp_path / "one.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO customers VALUES ('ada', 'Ada', 'monthly', 'UTC', 1, 4)")
        for start in (5, 3, 4):
            connection.execute(PERIOD, {"start": start})
        before = contents(connection)
        last = before["channels"][-1]["number"]
    back_up(engine, tmp_path / "all.backup", no_progress)
    engine.dispose()
    again_at = address(tmp_path / "two.sqlite")
    made = restore(tmp_path / "all.backup", again_at, no_progress, wall_ms=RESTORED_MS)
    again = open_engine(tmp_path / "two.sqlite")
    with again.connect() as connection:
        after = contents(connection)
        order = connection.exec_driver_sql("SELECT start_ms FROM billed_periods ORDER BY rowid").scalars()
        assert list(order) == [5, 3, 4], "in the order in which they were closed"
        assert numbers_of(connection)["channels"] == last + CHANNELS_AHEAD
    again.dispose()
    assert made.rows == sum(len(rows) for rows in before.values())
    assert after.pop("audit")[-1]["what"] == "database-restore"
    for row in before["channels"]:
        row["next_epoch"] += EPOCHS_AHEAD
    del before["audit"]
    assert after == before


def test_a_backup_of_the_first_schema_comes_back_under_todays(tmp_path: Path) -> None:
    """A backup of an older program is restored, and brought up to date with all its rows."""
    engine = open_engine(tmp_path / "first.sqlite")
    with engine.begin() as connection:
        before = fill_first(connection)
    made = back_up(engine, tmp_path / "first.backup", no_progress)
    engine.dispose()
    assert made.revision == FIRST
    restore(tmp_path / "first.backup", address(tmp_path / "new.sqlite"), no_progress, wall_ms=RESTORED_MS)
    again = open_engine(tmp_path / "new.sqlite")
    with again.connect() as connection:
        after = contents(connection)
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    again.dispose()
    assert version == latest_revision()
    assert {name: len(rows) for name, rows in before.items() if name != "audit"} == {
        name: len(after[name]) for name in before if name != "audit"
    }


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A file that exists, a database with tables, a damaged or foreign backup: one line, and all stays."""
    engine = upgraded_engine(tmp_path / "one.sqlite")
    taken = tmp_path / "taken.backup"
    taken.write_text("mine")
    with pytest.raises(UsageError, match="exists: name another file"):
        back_up(engine, taken, no_progress)
    with pytest.raises(UsageError, match="cannot write"):
        back_up(engine, tmp_path / "absent" / "all.backup", no_progress)
    assert taken.read_text() == "mine"
    back_up(engine, tmp_path / "all.backup", no_progress)
    words = "holds tables already" if is_on_postgres() else "exists: name another file"
    with pytest.raises(UsageError, match=words):
        restore(tmp_path / "all.backup", address(tmp_path / "one.sqlite"), no_progress, wall_ms=1)
    with pytest.raises(UsageError, match="no backup of Sealcast"):
        restore(taken, address(tmp_path / "other.sqlite"), no_progress, wall_ms=1)
    with pytest.raises(UsageError, match="there is no file"):
        restore(tmp_path / "none.backup", address(tmp_path / "other.sqlite"), no_progress, wall_ms=1)
    engine.dispose()
    assert not list(tmp_path.glob("*.part*"))


def test_an_empty_database_has_no_backup(tmp_path: Path) -> None:
    """Before its first start a server has nothing to back up, and is told so."""
    engine = open_engine(tmp_path / "empty.sqlite")
    with pytest.raises(UsageError, match="nothing to back up"):
        back_up(engine, tmp_path / "all.backup", no_progress)
    engine.dispose()
    assert not (tmp_path / "all.backup").exists()


def test_the_audit_log_of_a_restored_database_says_so(tmp_path: Path) -> None:
    """Whoever reads the log sees where the gap is."""
    engine = upgraded_engine(tmp_path / "one.sqlite")
    back_up(engine, tmp_path / "all.backup", no_progress)
    engine.dispose()
    restore(tmp_path / "all.backup", address(tmp_path / "new.sqlite"), no_progress, wall_ms=RESTORED_MS)
    again = open_engine(tmp_path / "new.sqlite")
    with again.connect() as connection:
        row = audit.AuditRow(RESTORED_MS, "operator", "database-restore", "all.backup")
        assert audit.latest(connection, 5) == [row]
    again.dispose()
