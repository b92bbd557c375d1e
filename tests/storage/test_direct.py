"""Shows that the short way to the database does what the long way does, errors and undoing included."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage.direct import Direct
from sealcast.storage.engine import is_of_the_disk
from sealcast.storage.upsert import insert
from storage.database import database
from storage.places import is_on_postgres, open_engine

pytestmark = pytest.mark.usefixtures("both_databases")

ROWS = sa.Table(
    "rows_of_a_test",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger),
    sa.Column("body", sa.LargeBinary),
)
ADD = Direct(ROWS.insert(), ("name", "size", "body"))
ADD_ONCE = Direct(insert(ROWS).on_conflict_do_nothing(), ("name", "size", "body"))
FIND = Direct(sa.select(ROWS.c.size, ROWS.c.body, sa.literal(7)).where(ROWS.c.name == sa.bindparam("wanted")))
GROW = Direct(ROWS.update().where(ROWS.c.name == sa.bindparam("wanted")).values(size=sa.bindparam("to")))


def row(name: str, size: int | None = 1) -> dict[str, int | str | bytes | None]:
    """Return a row of the table."""
    return {"name": name, "size": size, "body": name.encode()}


def test_both_ways_say_the_same(tmp_path: Path) -> None:
    """Within a transaction and without one of SQLAlchemy's, rows and counts are the same."""
    engine = open_engine(tmp_path / "test.sqlite")
    ROWS.metadata.create_all(engine)
    with engine.begin() as connection:
        assert ADD.change(connection, []) == 0
        assert ADD.change(connection, [row("a"), row("b", None)]) == 2
        assert ADD_ONCE.change(connection, [row("b", 5), row("c", 2**40)]) == 1
        assert GROW.change(connection, [{"wanted": "a", "to": 3}, {"wanted": "nobody", "to": 4}]) == 1
    found = {"a": (3, b"a", 7), "b": (None, b"b", 7), "c": (2**40, b"c", 7), "d": None}
    for name, expected in found.items():
        with engine.begin() as connection:
            assert FIND.first(connection, {"wanted": name}) == expected
        with engine.connect() as connection:
            assert FIND.first(connection, {"wanted": name}) == expected
            assert connection.in_transaction()
    engine.dispose()


def test_an_error_is_that_of_the_long_way_and_shows_no_value(tmp_path: Path) -> None:
    """A row that is there already is an IntegrityError, a database that takes no writes one of the disk."""
    engine = open_engine(tmp_path / "test.sqlite")
    ROWS.metadata.create_all(engine)
    with engine.begin() as connection:
        ADD.change(connection, [row("a")])
    with engine.begin() as connection, pytest.raises(sa.exc.IntegrityError) as refused:
        ADD.change(connection, [row("a")])
    assert isinstance(refused.value.orig, connection.dialect.loaded_dbapi.IntegrityError)
    with engine.begin() as connection:
        reads_only = "SET TRANSACTION READ ONLY" if is_on_postgres() else "PRAGMA query_only = ON"
        connection.exec_driver_sql(reads_only)
        with pytest.raises(sa.exc.DBAPIError) as unwritten:
            ADD.change(connection, [row("hidden")])
        assert is_of_the_disk(unwritten.value)
        assert "hidden" not in str(unwritten.value)
    engine.dispose()


def test_a_unit_that_fails_is_undone(tmp_path: Path) -> None:
    """What went the short way goes with the unit of work that raises."""

    def failing(connection: sa.Connection) -> None:
        ADD.change(connection, [row("a")])
        raise ValueError("no")

    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(lambda connection: ROWS.metadata.create_all(connection, checkfirst=False))
        with pytest.raises(ValueError, match="no"):
            unit_of_work.run_blocking(failing)
        assert unit_of_work.run_blocking(lambda connection: FIND.first(connection, {"wanted": "a"})) is None


@pytest.mark.parametrize("kind", [sa.Boolean(), sa.JSON(), sa.DateTime(), sa.Enum("a", "b")], ids=repr)
def test_values_that_need_translation_are_refused(kind: sa.types.TypeEngine[object]) -> None:
    """A statement whose columns or parameters are more than numbers, text and bytes goes the long way."""
    table = sa.Table("other", sa.MetaData(), sa.Column("value", kind))
    with pytest.raises(TypeError, match="long way"):
        Direct(sa.select(table.c.value))
    with pytest.raises(TypeError, match="long way"):
        Direct(table.insert(), ("value",))
