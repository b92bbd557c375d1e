"""Owns the connection to PostgreSQL: durable commits, short waits, and integers as wide as SQLite's.

An address goes to libpq as it is, so all that libpq knows works: several hosts, `sslmode`, `passfile`,
`service`, `~/.pgpass`. What it does not say is set to `CONNECTION`.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.base import PGDDLCompiler, PGTypeCompiler
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from sealcast.core.errors import UnreachableError, UsageError

SCHEME = "postgresql://"

CONNECTION = {
    "application_name": "sealcast",
    "connect_timeout": "3",
    "keepalives_idle": "3",
    "keepalives_interval": "1",
    "keepalives_count": "3",
    "tcp_user_timeout": "6000",
}
"""A server that went away is noticed within some six seconds: requests wait for it so long."""

LOCK_TIMEOUT_MS = 5_000
"""As `BUSY_TIMEOUT_MS` for SQLite: how long to wait for another program."""

IDLE_TIMEOUT_MS = 10_000
"""PostgreSQL ends a writer that is silent amid a transaction: cut off, it must not hold locks for long."""

SESSION = f"""
SET synchronous_commit = {{commit}};
SET client_encoding = 'UTF8';
SET default_transaction_isolation = 'read committed';
SET lock_timeout = {LOCK_TIMEOUT_MS};
SET idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}
"""
READING = """
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SET LOCAL idle_in_transaction_session_timeout = 0
"""
"""One state of the database for a whole reading, however long it takes."""

READS_ONLY = "sealcast_reads_only"
"""Execution option of connections that only read (`storage.reading`): they wait for no writer."""

PASSING_CLASSES = {"08", "53", "57", "58"}
PASSING_CODES = {"25006", "25P03", "40001", "40P01", "55P03"}
"""SQLSTATEs that pass by themselves or are an operator's to mend: no connection, no room, shut down, broken
disk; read-only, silent too long, transactions in one another's way, a lock held by another program."""


class _Types(PGTypeCompiler):
    """Integers of 64 bits, as SQLite's are, and text in the order of its characters, as SQLite's is."""

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's visitor
        is_column = kw.get("type_expression") is not None
        return "BIGINT" if is_column else str(super().visit_INTEGER(type_, **kw))

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's visitor
        text = super().visit_TEXT(type_, **kw)
        return f'{text} COLLATE "C"' if kw.get("type_expression") is not None else text


class _Tables(PGDDLCompiler):
    """Tables whose rows number themselves have room for 2^63."""

    def get_column_specification(self, column: Any, **kw: Any) -> str:  # noqa: ANN401 - SQLAlchemy's compiler
        text = str(super().get_column_specification(column, **kw))  # type: ignore[no-untyped-call]
        return text.replace(" SERIAL", " BIGSERIAL", 1)


class Dialect(PGDialect_psycopg):
    """PostgreSQL through psycopg 3, with the ranges and the order that SQLite has."""

    type_compiler_cls = _Types
    ddl_compiler = _Tables
    # An integer goes as wide as its value is, not as 32 bits.
    colspecs = {**PGDialect_psycopg.colspecs, sa.Integer: sa.Integer}  # noqa: RUF012 - SQLAlchemy's name for it
    supports_statement_cache = True


sa.dialects.registry.register("postgresql.sealcast", __name__, "Dialect")


def is_postgres(address: object) -> bool:
    """Whether `address` is that of a PostgreSQL database."""
    return isinstance(address, str) and address.startswith(SCHEME)


def open_postgres(address: str) -> sa.Engine:
    """Return the engine of the database at `address`.

    Raises UsageError if psycopg is missing, the address is none, or the database is not one that keeps what
    it acknowledged; UnreachableError if it does not answer or does not let us in.
    """
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError("PostgreSQL needs psycopg: pip install 'sealcast[postgres]'") from error
    try:
        given = psycopg.conninfo.conninfo_to_dict(address)
    except psycopg.Error as error:
        raise UsageError(f"this is no address of a database: {first_line(error)}") from error
    wanted = {**CONNECTION, **given}
    host, database = (str(wanted.get(key) or "") or None for key in ("host", "dbname"))
    engine = sa.create_engine(
        sa.URL.create("postgresql+sealcast", host=host, database=database),
        creator=lambda: _connect(wanted),
        pool_pre_ping=True,
        hide_parameters=True,
    )
    sa.event.listen(engine, "begin", _begin)
    try:
        with engine.connect() as connection:
            _check(connection, name_of(engine))
    except sa.exc.DBAPIError as error:
        engine.dispose()
        raise UnreachableError(f"cannot use {name_of(engine)}: {first_line(error.orig)}") from error
    except UsageError:
        engine.dispose()
        raise
    return engine


def name_of(engine: sa.Engine) -> str:
    """Return what messages call a database: its file, or its name and host, never its password."""
    if engine.dialect.name != "postgresql":
        return str(engine.url.database)
    host = f" at {engine.url.host}" if engine.url.host else ""
    return f"the PostgreSQL database {engine.url.database or 'of the environment'}{host}"


def is_passing(error: BaseException) -> bool:
    """Whether an error of psycopg passes: the connection was lost, or `PASSING_…`."""
    code = getattr(error, "sqlstate", None)
    if code is None:
        # libpq has no code of its own: it says so of connections alone.
        return any(each.__name__ in {"OperationalError", "InterfaceError"} for each in type(error).__mro__)
    return code[:2] in PASSING_CLASSES or code in PASSING_CODES


def to_text(statement: Any, columns: Sequence[str] | None) -> str:  # noqa: ANN401 - any statement
    """Return a statement as psycopg takes it, with named parameters."""
    return str(statement.compile(dialect=Dialect(), column_keys=columns))  # type: ignore[no-untyped-call]


def first_line(error: object) -> str:
    """Return what went wrong without the statement and the hints that follow."""
    return str(error).strip().partition("\n")[0]


def _connect(wanted: dict[str, Any]) -> Any:  # noqa: ANN401 - a connection of an extra
    """Return a connection of psycopg that is set up."""
    import psycopg  # noqa: PLC0415 - an extra

    connection = psycopg.connect(**wanted, autocommit=True)
    # What waits for other hosts as well stays so: only "off" and the like lose what was acknowledged.
    row = connection.execute("SHOW synchronous_commit").fetchone()
    commit = row[0] if row is not None and row[0] in {"remote_write", "remote_apply"} else "on"
    connection.execute(SESSION.format(commit=commit).encode())
    # Sums of integers come as numeric, which would be decimals in Python.
    connection.adapters.register_loader("numeric", _whole_numbers())
    connection.autocommit = False
    return connection


def _whole_numbers() -> Any:  # noqa: ANN401 - a class of an extra
    from psycopg.adapt import Loader  # noqa: PLC0415 - an extra

    class WholeNumber(Loader):
        """Reads a numeric as the integer that it is with us."""

        def load(self, data: Any) -> int:  # noqa: ANN401 - psycopg's buffers
            return int(bytes(data))

    return WholeNumber


def _check(connection: sa.Connection, name: str) -> None:
    """Raise UsageError unless the server stores Unicode and keeps what it acknowledged."""
    shown = {key: connection.exec_driver_sql(f"SHOW {key}").scalar() for key in ("server_encoding", "fsync")}
    if shown["server_encoding"] != "UTF8":
        raise UsageError(f"{name} stores {shown['server_encoding']}: make one with ENCODING 'UTF8'")
    if shown["fsync"] != "on":
        raise UsageError(f"{name} runs with fsync = off and would lose keys that were given out: turn it on")


def _begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get(READS_ONLY, False):
        connection.exec_driver_sql(READING)
