"""Owns the few questions that go past SQLAlchemy to the drivers, in the words of each of them."""

import sqlite3
from typing import Any, Protocol

import sqlalchemy as sa

IN_TRANSACTION = {2, 3}
"""libpq's PQTRANS_INTRANS and PQTRANS_INERROR: what came before a savepoint stands."""


class Driver(Protocol):
    """What the connections of sqlite3 and of psycopg have in common."""

    def execute(self, query: str, /) -> Any:  # noqa: ANN401 - a cursor of either driver
        """Carry out a statement without parameters."""
        ...

    def rollback(self) -> None:
        """Undo the transaction."""
        ...


def driver_of(connection: sa.Connection) -> Driver:
    """Return the driver's own connection, made anew if it was lost; raises as connecting does."""
    driver: Driver = connection.connection.driver_connection  # type: ignore[assignment]
    return driver


def is_in_transaction(driver: Any) -> bool:  # noqa: ANN401 - a connection of either driver
    """Whether a transaction stands that a savepoint can be undone in."""
    if isinstance(driver, sqlite3.Connection):
        return driver.in_transaction
    return not driver.closed and int(driver.info.transaction_status) in IN_TRANSACTION


def is_lost(driver: Any) -> bool:  # noqa: ANN401 - as above
    """Whether the connection has ended; SQLite's never does."""
    return not isinstance(driver, sqlite3.Connection) and bool(driver.closed)


def changes_of(driver: Any) -> int:  # noqa: ANN401 - as above
    """Return how many rows SQLite has changed so far; 0 elsewhere."""
    return driver.total_changes if isinstance(driver, sqlite3.Connection) else 0


def has_written(driver: Any, changes_before: int) -> bool:  # noqa: ANN401 - as above
    """Whether the open transaction has changed any row, `changes_of` having been `changes_before`."""
    if isinstance(driver, sqlite3.Connection):
        return driver.total_changes > changes_before
    row = driver.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL").fetchone()
    return bool(row and row[0])
