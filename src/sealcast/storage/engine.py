"""Owns the connection to the database: SQLite in WAL mode, every commit on disk before it returns.

An address that begins with `postgresql://` is PostgreSQL's (`storage.postgres`).
"""

import sqlite3
from pathlib import Path

import sqlalchemy as sa

from sealcast.core.errors import UsageError
from sealcast.storage.postgres import READS_ONLY, is_passing, is_postgres, open_postgres

BUSY_TIMEOUT_MS = 5_000
"""How long to wait for another program that reads or copies the database, such as a backup."""

STATEMENTS_MAX = 256
"""Prepared statements kept by a connection: more than all our queries."""

PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
)
"""`secure_delete`: what is erased is overwritten, not only forgotten."""

PRIVATE_MODE = 0o600
DISK_CODES = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
}
"""Errors that an operator mends by making room, or by letting go of the file (primary result codes)."""


def open_engine(address: Path | str) -> sa.Engine:
    """Return the engine of the database at `address`: a file, made (mode 0600) if absent, or PostgreSQL.

    SQLite's transactions begin with `BEGIN IMMEDIATE`: one writer, and none that finds out late. Raises
    UsageError if the file cannot be opened or is not a database, and what `open_postgres` raises.
    """
    if isinstance(address, str) and is_postgres(address):
        return open_postgres(address)
    path = Path(address)
    try:
        path.touch(mode=PRIVATE_MODE)
    except OSError as error:
        raise UsageError(f"cannot open the database {path}: {error.strerror}") from error
    engine = sa.create_engine(
        sa.URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"cached_statements": STATEMENTS_MAX, "check_same_thread": False},
        poolclass=sa.pool.QueuePool,
        hide_parameters=True,
    )
    sa.event.listen(engine, "connect", _prepare)
    sa.event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except sa.exc.DBAPIError as error:
        engine.dispose()
        if is_of_the_disk(error):
            raise UsageError(
                f"cannot open the database {path}: {error.orig}; is its disk full or read-only?"
            ) from error
        raise UsageError(f"{path} is not a database of Sealcast: {error.orig}") from error
    return engine


def is_of_the_disk(error: Exception) -> bool:
    """Whether it is the disk that fails: full, read-only, broken, or the file held by another program.

    For PostgreSQL also a connection that is lost or cannot be made, and a server that shuts down.
    """
    cause = getattr(error, "orig", error)
    if type(cause).__module__.startswith("psycopg"):
        return is_passing(cause)
    code = getattr(cause, "sqlite_errorcode", 0)
    return isinstance(error, sa.exc.OperationalError) and code & 0xFF in DISK_CODES


def _prepare(raw: sqlite3.Connection, _record: object) -> None:
    """Set up a new connection; transactions are begun by us, not by the driver."""
    raw.isolation_level = None
    for pragma in PRAGMAS:
        raw.execute(pragma)


def _begin(connection: sa.Connection) -> None:
    reads_only = connection.get_execution_options().get(READS_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
