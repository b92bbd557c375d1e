"""Owns the short way to the database: the statements of each key request go to the driver as text made once.

SQLAlchemy takes about 40 µs for a statement that SQLite carries out in 2; a key request has five of them.
Statements are written as all others are, and outside a transaction they go the way of all others.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from sealcast.storage.postgres import to_text

Parameters = Mapping[str, object]
"""Numbers, text, bytes or None, by the names in the statement."""

_DIALECT = sqlite.dialect(paramstyle="named")
_PLAIN_TYPES = (sa.Integer, sa.BigInteger, sa.String, sa.Text, sa.LargeBinary)
"""Types whose values both drivers take and give as they are."""


class Direct:
    """A statement whose every parameter and column is a number, a text or bytes."""

    def __init__(self, statement: sa.Executable, columns: Sequence[str] | None = None) -> None:
        """Take a statement; `columns` are those that an `INSERT` fills. Raises TypeError for other types."""
        self._statement, self._columns = statement, columns
        self._text_for_postgres: str | None = None
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)  # type: ignore[attr-defined]
        self._text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        given = [each.type for each in statement.selected_columns] if isinstance(statement, sa.Select) else []
        for kind in [*given, *(bound.type for bound in compiled.binds.values())]:
            if type(kind) not in _PLAIN_TYPES:
                raise TypeError(f"{kind!r} needs translation: this statement goes the long way")

    def first(self, connection: sa.Connection, parameters: Parameters) -> Sequence[Any] | None:
        """Return the first row, None if there is none; raises as `connection.execute` does."""
        driver = driver_of_transaction(connection)
        row: tuple[Any, ...] | None
        if not isinstance(driver, sqlite3.Connection):
            return self._first_elsewhere(connection, driver, parameters)
        try:
            row = driver.execute(self._text, {**self._fixed, **parameters}).fetchone()
        except sqlite3.Error as error:
            raise translated(error, connection) from error
        return row

    def change(self, connection: sa.Connection, rows: Sequence[Parameters]) -> int:
        """Carry the statement out for each of `rows`, and return how many rows of the table it changed."""
        if not rows:
            return 0
        driver = driver_of_transaction(connection)
        if not isinstance(driver, sqlite3.Connection):
            return self._change_elsewhere(connection, driver, rows)
        try:
            return driver.executemany(self._text, self._filled(rows)).rowcount
        except sqlite3.Error as error:
            raise translated(error, connection) from error

    def _filled(self, rows: Sequence[Parameters]) -> Sequence[Parameters]:
        """Return rows with what the statement itself fixes, if it fixes anything."""
        return [{**self._fixed, **each} for each in rows] if self._fixed else rows

    def _first_elsewhere(
        self,
        connection: sa.Connection,
        driver: Any,  # noqa: ANN401 - a connection of an extra
        parameters: Parameters,
    ) -> Sequence[Any] | None:
        """Do as `first` on PostgreSQL, and outside a transaction: SQLAlchemy begins one first."""
        if driver is None:
            return connection.execute(self._statement, parameters).first()
        try:
            row: tuple[Any, ...] | None = driver.execute(
                self._for_postgres(), {**self._fixed, **parameters}
            ).fetchone()
        except connection.dialect.loaded_dbapi.Error as error:
            raise translated(error, connection) from error
        return row

    def _change_elsewhere(
        self,
        connection: sa.Connection,
        driver: Any,  # noqa: ANN401 - as above
        rows: Sequence[Parameters],
    ) -> int:
        """Do as `change` on PostgreSQL, and outside a transaction."""
        if driver is None:
            return sum(connection.execute(self._statement, each).rowcount for each in rows)
        try:
            with driver.cursor() as cursor:
                cursor.executemany(self._for_postgres(), self._filled(rows))
                return int(cursor.rowcount)
        except connection.dialect.loaded_dbapi.Error as error:
            raise translated(error, connection) from error

    def _for_postgres(self) -> str:
        """Return the statement as psycopg takes it, made when it is first asked for."""
        if self._text_for_postgres is None:
            self._text_for_postgres = to_text(self._statement, self._columns)
        return self._text_for_postgres


def driver_of_transaction(connection: sa.Connection) -> Any:  # noqa: ANN401 - a connection of either driver
    """Return the driver's own connection within a transaction; None elsewhere."""
    return connection.connection.driver_connection if connection.in_transaction() else None


def translated(error: Exception, connection: sa.Connection) -> BaseException:
    """Return an error as SQLAlchemy raises it, without any parameter in it."""
    return sa.exc.DBAPIError.instance(
        None,
        None,
        error,
        connection.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        dialect=connection.dialect,
    )
