"""Shows that either database has the schema of the code, the same order of text and reach of numbers."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

import sealcast.billing.tables
import sealcast.cluster.tables
import sealcast.escrow.tables
import sealcast.keyserver.tables
import sealcast.ledger.tables
import sealcast.reception.tables
import sealcast.subscribers.tables  # noqa: F401 - brings its tables into the collection
from sealcast.core.errors import UsageError
from sealcast.storage import audit
from sealcast.storage.migrate import current_revision, upgrade
from sealcast.storage.tables import metadata
from sealcast.storage.upsert import new_number
from storage.database import database
from storage.places import is_on_postgres, open_engine, upgraded_engine

pytestmark = pytest.mark.usefixtures("both_databases")

ROWID = "rowid"
"""What SQLite has in every table, PostgreSQL has as a column where it is asked for."""


def test_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    """After all migrations the database has exactly the tables, columns and indexes of the code."""
    engine = open_engine(tmp_path / "test.sqlite")
    upgrade(engine)
    with engine.connect() as connection:
        options = {"compare_type": is_same_type, "include_object": is_of_the_code}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def is_of_the_code(item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:  # noqa: FBT001 - Alembic's hook
    """Whether something in the database is to be as the code says."""
    if kind == "column":
        return name != ROWID
    return not (isinstance(item, sa.UniqueConstraint) and ROWID in item.columns)


def is_same_type(_context: object, found: sa.Column[int], *others: object) -> bool | None:
    """Have Alembic compare types, but for integers: PostgreSQL's are all of 64 bits."""
    return False if isinstance(others[1], sa.BigInteger) and isinstance(found.type, sa.Integer) else None


def test_upgrade_again_changes_nothing(tmp_path: Path) -> None:
    """A second start finds the schema up to date."""
    engine = open_engine(tmp_path / "test.sqlite")
    assert current_revision(engine) is None
    assert upgrade(engine) == upgrade(engine) == current_revision(engine)
    engine.dispose()


def test_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a later version is left alone, with a line that says what to install."""
    engine = upgraded_engine(tmp_path / "test.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UsageError, match="9999, newer than this program's"):
        upgrade(engine)
    assert current_revision(engine) == "9999"
    engine.dispose()


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    """A database that holds other tables is refused, and nothing is added to it."""
    engine = open_engine(tmp_path / "test.sqlite")
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE photos (name TEXT)")
    with pytest.raises(UsageError, match="another program"):
        upgrade(engine)
    assert sa.inspect(engine).get_table_names() == ["photos"]
    engine.dispose()


REFUSED = ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit", "TRUNCATE audit"]


@pytest.mark.parametrize("statement", REFUSED)
def test_audit_rows_stay_as_they_are(tmp_path: Path, statement: str) -> None:
    """The database itself refuses to change or drop an audit row."""
    if statement.startswith("TRUNCATE") and not is_on_postgres():
        statement = "DELETE FROM audit WHERE 1"
    row = audit.AuditRow(at_ms=5, who="operator", what="channel-add", subject="news")
    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(lambda connection: audit.append(connection, row))
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            unit_of_work.run_blocking(lambda connection: connection.exec_driver_sql(statement))
        assert unit_of_work.run_blocking(lambda connection: audit.latest(connection, 5)) == [row]


def test_text_has_one_order_and_numbers_one_reach(tmp_path: Path) -> None:
    """Text is ordered by its characters, whatever the locale; an Integer and a row's number pass 2^31."""
    table, far = metadata.tables["fences"], 2**31
    engine = upgraded_engine(tmp_path / "test.sqlite")
    with engine.begin() as connection:
        names = ["b", "B", "a", "_", "ä", "Z", "a b", "ab"]
        rows = [{"at_ms": far, "who": name, "what": "x", "subject": "y"} for name in names]
        connection.execute(audit.audit.insert(), rows)
        ordered = sa.select(audit.audit.c.who).order_by(audit.audit.c.who)
        assert list(connection.execute(ordered).scalars()) == sorted(names)
        assert connection.execute(sa.select(table).where(table.c.channel == far + 1)).all() == []
        given = {"id": 2**40, "at_ms": 1, "who": "", "what": "", "subject": ""}
        assert new_number(connection.execute(audit.audit.insert(), given)) == 2**40
    engine.dispose()


def test_sums_are_whole_numbers(tmp_path: Path) -> None:
    """A sum of integers is an integer in Python, not a decimal."""
    engine = upgraded_engine(tmp_path / "test.sqlite")
    with engine.begin() as connection:
        audit.append(connection, audit.AuditRow(2**62, "a", "b", "c"))
        total = connection.execute(sa.select(sa.func.sum(audit.audit.c.at_ms))).scalar()
    assert (type(total), total) == (int, 2**62)
    engine.dispose()
