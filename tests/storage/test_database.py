"""Shows how a database file is opened, brought up to date, and refused when it is not ours."""

import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import sealcast.billing.tables
import sealcast.cluster.tables
import sealcast.keyserver.tables
import sealcast.ledger.tables
import sealcast.reception.tables
import sealcast.subscribers.tables  # noqa: F401 - brings its tables into the collection
from sealcast.core.errors import UsageError
from sealcast.storage import audit
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import current_revision, upgrade
from sealcast.storage.tables import metadata
from storage.database import database


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    """After all migrations the database has exactly the tables, columns and indexes of the code."""
    engine = open_engine(tmp_path / "test.sqlite")
    upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_upgrade_again_changes_nothing(tmp_path: Path) -> None:
    """A second start finds the schema up to date."""
    engine = open_engine(tmp_path / "test.sqlite")
    assert current_revision(engine) is None
    assert upgrade(engine) == upgrade(engine) == current_revision(engine)
    engine.dispose()


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    """The connection works as durable grants need it: WAL, full sync, foreign keys, private file."""
    path = tmp_path / "test.sqlite"
    engine = open_engine(path)
    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        ]
    assert settings == ["wal", 2, 1, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    engine.dispose()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a later version is left alone, with a line that says what to install."""
    engine = open_engine(tmp_path / "test.sqlite")
    upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="9999, newer than this program's"):
        upgrade(engine)
    assert current_revision(engine) == "9999"
    engine.dispose()


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is no database, one of another program, and a folder each give one clear line."""
    text = tmp_path / "letter.txt"
    text.write_text("Dear database, " * 100)
    with pytest.raises(UsageError, match="not a database"):
        open_engine(text)
    foreign = tmp_path / "photos.sqlite"
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE photos (name)")
    other.close()
    engine = open_engine(foreign)
    with pytest.raises(UsageError, match="another program"):
        upgrade(engine)
    engine.dispose()
    with pytest.raises(UsageError, match="cannot open"):
        open_engine(tmp_path / "absent" / "test.sqlite")


@pytest.mark.parametrize("statement", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit"])
def test_audit_rows_stay_as_they_are(tmp_path: Path, statement: str) -> None:
    """The database itself refuses to change or drop an audit row."""
    row = audit.AuditRow(at_ms=5, who="operator", what="channel-add", subject="news")
    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(lambda connection: audit.append(connection, row))
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            unit_of_work.run_blocking(lambda connection: connection.exec_driver_sql(statement))
        assert unit_of_work.run_blocking(lambda connection: audit.latest(connection, 5)) == [row]
