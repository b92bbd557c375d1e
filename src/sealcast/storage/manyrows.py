"""Owns statements that take the values of many rows at once: one for 32 rows costs what three for one row do.

Rows go in eights, thirty-twos and the like, each number a statement of its own that is made once.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from sealcast.storage.direct import driver_of_transaction, translated
from sealcast.storage.postgres import to_text
from sealcast.storage.upsert import insert

ROWS_MAX = 32
"""Rows in one statement: with twice as many it is no faster."""

_DIALECT = sqlite.dialect(paramstyle="qmark")
Row = Sequence[object]
"""Numbers, text, bytes or None, in the order of the columns."""

Cells = list[dict[str, sa.BindParameter[Any]]]


class ManyRows:
    """A statement that is given rows of the same columns, and gives rows back."""

    def __init__(self, columns: Sequence[sa.Column[Any]], build: Callable[[Cells], sa.Executable]) -> None:
        """`build` makes the statement for as many rows as there are cells, which are by column."""
        self._columns, self._build = columns, build
        self._made: dict[int, _Made] = {}

    def all(self, connection: sa.Connection, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
        """Return what the statement brings for `rows`, in no order; raises as `connection.execute` does."""
        driver, found, begin = driver_of_transaction(connection), [], 0
        while begin < len(rows):
            count = min(ROWS_MAX, 1 << ((len(rows) - begin).bit_length() - 1))
            made = self._made.get(count)
            if made is None:
                made = self._made[count] = _Made(self._columns, self._build, count)
            values = [value for row in rows[begin : begin + count] for value in row]
            found += made.all(connection, driver, values)
            begin += count
        return found


class _Made:
    """A statement for a number of rows."""

    def __init__(
        self, columns: Sequence[sa.Column[Any]], build: Callable[[Cells], sa.Executable], count: int
    ) -> None:
        names = [[f"{column.name}_{at}" for column in columns] for at in range(count)]
        self._statement = build(
            [
                {
                    column.name: sa.bindparam(name, type_=_plain(column))
                    for column, name in zip(columns, row, strict=True)
                }
                for row in names
            ]
        )
        self._names = [name for row in names for name in row]
        compiled = self._statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
        if compiled.positiontup != self._names:
            raise TypeError("a statement for many rows names them in order, each value once")
        self._text = str(compiled)
        self._text_for_postgres: str | None = None

    def all(self, connection: sa.Connection, driver: Any, values: list[object]) -> list[tuple[Any, ...]]:  # noqa: ANN401 - a connection of either driver
        """Return all rows that the statement brings."""
        if isinstance(driver, sqlite3.Connection):
            try:
                return driver.execute(self._text, values).fetchall()
            except sqlite3.Error as error:
                raise translated(error, connection) from error
        named = dict(zip(self._names, values, strict=True))
        if driver is None:
            return [tuple(row) for row in connection.execute(self._statement, named)]
        if self._text_for_postgres is None:
            self._text_for_postgres = to_text(self._statement, None)
        try:
            found: list[tuple[Any, ...]] = driver.execute(self._text_for_postgres, named).fetchall()
        except connection.dialect.loaded_dbapi.Error as error:
            raise translated(error, connection) from error
        return found


def adding_new(table: sa.Table, columns: Sequence[sa.Column[Any]]) -> ManyRows:
    """Return what adds rows to a table unless they are there, and gives the keys of those that were not."""
    return ManyRows(
        columns,
        lambda cells: (
            insert(table).values(cells).on_conflict_do_nothing().returning(*table.primary_key.columns)
        ),
    )


def finding(columns: Sequence[sa.Column[Any]], where: sa.ColumnElement[bool]) -> ManyRows:
    """Return what finds those of the given rows that are in the table of `columns`, where `where` holds."""

    def build(cells: Cells) -> sa.Executable:
        plain = [sa.column(column.name, _plain(column)) for column in columns]
        wanted = sa.values(*plain, name="given").data([tuple(row.values()) for row in cells]).cte("wanted")
        same = [column == wanted.c[column.name] for column in columns]
        return sa.select(*columns).select_from(wanted.join(columns[0].table, sa.and_(*same))).where(where)

    return ManyRows(columns, build)


def _plain(column: sa.Column[Any]) -> sa.types.TypeEngine[Any]:
    """Return the type of a column; raises TypeError for one whose values need translation."""
    if not isinstance(column.type, sa.Integer | sa.BigInteger | sa.String | sa.LargeBinary):
        raise TypeError(f"{column.type!r} needs translation: this column goes the long way")
    return column.type
