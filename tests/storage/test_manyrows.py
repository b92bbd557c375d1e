"""Shows that many rows in few statements are found and added as one by one, errors included."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage.manyrows import ROWS_MAX, adding_new, finding
from storage.database import database
from storage.places import open_engine

pytestmark = pytest.mark.usefixtures("both_databases")

ROWS = sa.Table(
    "rows_of_a_test",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("turn", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("is_listed", sa.Boolean(create_constraint=False)),
)
ADD_NEW = adding_new(ROWS, (ROWS.c.name, ROWS.c.turn, ROWS.c.at_ms))
FIND = finding((ROWS.c.turn, ROWS.c.name), ROWS.c.at_ms != ROWS.c.turn)


@pytest.mark.parametrize("count", [0, 1, 3, ROWS_MAX, 2 * ROWS_MAX + 7])
def test_any_number_of_rows(tmp_path: Path, count: int) -> None:
    """What was there before is not given back, nor changed; in a transaction and outside one."""
    engine = open_engine(tmp_path / "test.sqlite")
    ROWS.metadata.create_all(engine)
    keys = [(f"device {at % 5}", at) for at in range(count)]
    rows = [(*key, key[1] % 2) for key in keys]
    with engine.begin() as connection:
        assert sorted(ADD_NEW.all(connection, rows[::3] * 2)) == sorted(keys[::3])
        assert sorted(ADD_NEW.all(connection, [(*key, 9) for key in keys])) == sorted(
            set(keys) - set(keys[::3])
        )
    asked = [(turn, name) for name, turn in keys] + [(-1, "nobody")]
    expected = {(turn, name) for name, turn in keys if turn != (9 if turn % 3 else turn % 2)}
    with engine.begin() as connection:
        assert set(FIND.all(connection, asked)) == expected
    with engine.connect() as connection:
        assert set(FIND.all(connection, asked)) == expected
    engine.dispose()


def test_an_error_shows_no_value_and_undoes_the_unit(tmp_path: Path) -> None:
    """It is that of SQLAlchemy, and the database is as before."""
    with database(tmp_path) as unit_of_work:
        unit_of_work.run_blocking(ROWS.metadata.create_all)
        with pytest.raises(sa.exc.IntegrityError) as refused:
            unit_of_work.run_blocking(lambda c: ADD_NEW.all(c, [("secret", 1, 5), ("secret", 2, None)]))
        assert "secret" not in str(refused.value).replace(str(refused.value.orig), "")
        assert unit_of_work.run_blocking(lambda c: ADD_NEW.all(c, [("a", 1, 5)])) == [("a", 1)]
        assert unit_of_work.run_blocking(lambda c: c.execute(sa.select(ROWS.c.name)).scalars().all()) == ["a"]


def test_values_that_need_translation_are_refused() -> None:
    """A column of another type than numbers, text and bytes goes the way of all others."""
    refused = finding((ROWS.c.is_listed,), ROWS.c.at_ms != ROWS.c.turn)
    with sa.create_engine("sqlite://").connect() as connection, pytest.raises(TypeError, match="translation"):
        refused.all(connection, [(True,)])
