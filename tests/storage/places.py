"""Owns where the databases of tests are: files of SQLite, or of the same names on a private PostgreSQL.

A module that asks for the fixture `both_databases` runs once with each. It opens its databases by
`open_engine` here, and `address` is what it hands to programs.
"""

import atexit
import contextlib
import functools
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import psycopg
import sqlalchemy as sa

from lab.postgres import Postgres
from sealcast.storage import engine
from sealcast.storage.migrate import upgrade

TEMPLATE = "upgraded"
_OID = "SELECT oid FROM pg_database WHERE datname = current_database()"


class Places:
    """The databases of a session's tests on PostgreSQL, by the paths that they would have as files.

    They go with their server: to drop each one takes longer than the test that used it.
    """

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._made: dict[str, str] = {}
        opened = engine.open_engine(server.create(TEMPLATE))
        upgrade(opened)
        opened.dispose()

    def address(self, path: Path, *, is_upgraded: bool) -> str:
        """Return the address of the database for `path`, made if absent."""
        name = f"t{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
        if name not in self._made:
            self._made[name] = self.server.create(name, TEMPLATE if is_upgraded else "template0")
        return self._made[name]


class _Here:
    places: Places | None = None


@contextlib.contextmanager
def on(places: Places | None) -> Iterator[None]:
    """Have databases on PostgreSQL, or as files for None, until the end of the block."""
    before, _Here.places = _Here.places, places
    try:
        yield
    finally:
        _Here.places = before


def is_on_postgres() -> bool:
    """Whether databases are on PostgreSQL now."""
    return _Here.places is not None


def server() -> Postgres:
    """Return the server that databases are on now."""
    assert _Here.places is not None
    return _Here.places.server


def address(path: Path, *, is_upgraded: bool = False) -> Path | str:
    """Return the address of the database for `path`: itself, or one of PostgreSQL with or without tables."""
    return path if _Here.places is None else _Here.places.address(path, is_upgraded=is_upgraded)


def open_engine(path: Path, *, is_upgraded: bool = False) -> sa.Engine:
    """Open the database for `path`; with `is_upgraded` a new one on PostgreSQL has all tables."""
    return engine.open_engine(address(path, is_upgraded=is_upgraded))


def upgraded_engine(path: Path) -> sa.Engine:
    """Open the database for `path`, brought up to date; a new file is a copy of one that is."""
    if not is_on_postgres() and not path.exists():
        shutil.copyfile(_upgraded_file(), path)
    opened = open_engine(path, is_upgraded=True)
    upgrade(opened)
    return opened


@functools.cache
def _upgraded_file() -> Path:
    """Return the file of a database without rows, which goes with this process."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    path = Path(kept.name) / "upgraded.sqlite"
    opened = engine.open_engine(path)
    upgrade(opened)
    opened.dispose()
    return path


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    """Return what another program sees in the database for `path`."""
    opened = open_engine(path)
    try:
        with opened.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query)]
    finally:
        opened.dispose()


class Elsewhere:
    """A connection to a database on PostgreSQL, used as one of sqlite3 is."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url)

    def execute(self, query: str, values: Sequence[object] = ()) -> Any:
        """Carry out a statement with `?` for its values; return its rows."""
        return self._connection.execute(query.replace("?", "%s").encode(), values or None)

    def executemany(self, query: str, rows: Iterable[Sequence[object]]) -> None:
        """Carry out a statement for each of `rows`."""
        self._connection.cursor().executemany(query.replace("?", "%s").encode(), list(rows))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._connection.commit()
        else:
            self._connection.rollback()

    def close(self) -> None:
        """End it."""
        self._connection.close()


def files(path: Path) -> Iterator[Path]:
    """Give all files that hold the database for `path`."""
    if _Here.places is None:
        yield from path.parent.glob(f"{path.name}*")
    else:
        with psycopg.connect(str(address(path)), autocommit=True) as connection:
            connection.execute("CHECKPOINT")
            row = connection.execute(_OID).fetchone()
        assert row is not None
        yield from (server().folder / "data" / "base" / str(row[0])).iterdir()


def connect(path: Path) -> "sqlite3.Connection | Elsewhere":
    """Return another program's connection to the database for `path`."""
    place = address(path)
    return Elsewhere(place) if isinstance(place, str) else sqlite3.connect(place)
