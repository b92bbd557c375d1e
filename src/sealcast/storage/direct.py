"""Owns the short way to the database: the statements of each key request go to SQLite as text made once.

SQLAlchemy takes about 40 µs for a statement that SQLite carries out in 2; a key request has five of them.
Statements are written as all others are, and on any other database they go the way of all others.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

Parameters = Mapping[str, object]
"""Numbers, text, bytes or None, by the names in the statement."""

_DIALECT = sqlite.dialect(paramstyle="named")
_PLAIN_TYPES = (sa.Integer, sa.BigInteger, sa.String, sa.Text, sa.LargeBinary)
"""Types whose values SQLite's driver takes and gives as they are."""


class Direct:
    """A statement whose every parameter and column is a number, a text or bytes."""

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        """Take a statement; `columns` are those that an `INSERT` fills. Raises TypeError for other types."""
        self._statement = statement
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)  # type: ignore[attr-defined]
        self._text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        given = [each.type for each in statement.selected_columns] if isinstance(statement, sa.Select) else []
        for kind in [*given, *(bound.type for bound in compiled.binds.values())]:
            if type(kind) not in _PLAIN_TYPES:
                raise TypeError(f"{kind!r} needs translation: this statement goes the long way")

    def first(self, connection: sa.Connection, parameters: Parameters) -> Sequence[Any] | None:
        """Return the first row, None if there is none; raises as `connection.execute` does."""
        driver = _driver_of(connection)
        if driver is None:
            return connection.execute(self._statement, parameters).first()
        try:
            row: tuple[Any, ...] | None = driver.execute(self._text, {**self._fixed, **parameters}).fetchone()
        except sqlite3.Error as error:
            raise _translated(error, connection) from error
        return row

    def change(self, connection: sa.Connection, rows: Sequence[Parameters]) -> int:
        """Carry the statement out for each of `rows`, and return how many rows of the table it changed."""
        if not rows:
            return 0
        driver = _driver_of(connection)
        if driver is None:
            return sum(connection.execute(self._statement, each).rowcount for each in rows)
        try:
            return driver.executemany(self._text, [{**self._fixed, **each} for each in rows]).rowcount
        except sqlite3.Error as error:
            raise _translated(error, connection) from error


def _driver_of(connection: sa.Connection) -> sqlite3.Connection | None:
    """Return SQLite's own connection within a transaction; None elsewhere: SQLAlchemy begins it first."""
    if not connection.in_transaction():
        return None
    driver = connection.connection.driver_connection
    return driver if isinstance(driver, sqlite3.Connection) else None


def _translated(error: sqlite3.Error, connection: sa.Connection) -> BaseException:
    """Return an error as SQLAlchemy raises it, without any parameter in it."""
    return sa.exc.DBAPIError.instance(
        None, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
    )
