"""Owns the catalogue's database: one SQLite file on the data server, apart from subscriber lists (S0-12).

The standard library is enough for one table of one program; the servers' database is another, elsewhere.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Self

from sealcast.core.errors import LocalError, UsageError

VERSION = 1
"""Kept as SQLite's `user_version`; a file of a later one is left alone."""

BUSY_S = 5.0
ID_CHARS_MAX = 128

_MAKE = """
CREATE TABLE content (
    id TEXT PRIMARY KEY,
    title TEXT NOT NULL,
    file TEXT NOT NULL,
    channel TEXT,
    rate TEXT,
    size_bytes INTEGER NOT NULL,
    added_at_ms INTEGER NOT NULL
) WITHOUT ROWID
"""
_ADD = "INSERT INTO content VALUES (?, ?, ?, ?, ?, ?, ?)"
_FIND = "SELECT * FROM content WHERE id = ?"
_ALL = "SELECT * FROM content ORDER BY id"
_OF_CHANNEL = "SELECT * FROM content WHERE channel = ? ORDER BY id"


@dataclass(frozen=True, slots=True)
class Content:
    """One item: `file` is absolute, `channel` where it is sent unless told otherwise.

    `rate` paces raw data, as `send --rate` takes it; None for a transport stream. `size_bytes` is that of the
    file when it was added.
    """

    id: str
    title: str
    file: str
    channel: str | None
    rate: str | None
    size_bytes: int
    added_at_ms: int


class Catalogue:
    """The catalogue in a file, which is made if it is absent; `close` it at the end."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; raises UsageError if it is not a catalogue of this version."""
        self._path = path
        try:
            self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
            self._database.execute("PRAGMA synchronous = FULL")
            with self._transaction() as database:
                version = database.execute("PRAGMA user_version").fetchone()[0]
                tables = database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                if not version and not tables:
                    database.execute(_MAKE)
                    database.execute(f"PRAGMA user_version = {VERSION}")
                elif version != VERSION:
                    raise UsageError(f"{path} is not a content catalogue of this version; name another file")
        except sqlite3.Error as error:
            raise UsageError(f"{path} is not a content catalogue: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def add(self, content: Content) -> None:
        """Add an item, durably; raises UsageError if its id is taken or none."""
        if not 0 < len(content.id) <= ID_CHARS_MAX or not content.id.isprintable() or " " in content.id:
            raise UsageError(f"an id has 1 to {ID_CHARS_MAX} printable characters and no space")
        try:
            with self._transaction() as database:
                database.execute(_ADD, astuple(content))
        except sqlite3.IntegrityError as error:
            raise UsageError(f"there is content {content.id} already; remove it first") from error

    def find(self, id_: str) -> Content:
        """Return one item; raises UsageError if there is none."""
        for row in self._rows(_FIND, id_):
            return row
        raise UsageError(f"there is no content {id_!r}; see: sealcast content list")

    def all(self, channel: str | None = None) -> list[Content]:
        """Return all items by id, or those of one channel."""
        if channel is None:
            return list(self._rows(_ALL))
        return list(self._rows(_OF_CHANNEL, channel))

    def remove(self, id_: str) -> None:
        """Take an item out; its file stays. Raises UsageError if there is none."""
        with self._transaction() as database:
            if not database.execute("DELETE FROM content WHERE id = ?", (id_,)).rowcount:
                raise UsageError(f"there is no content {id_!r}; see: sealcast content list")

    def _rows(self, query: str, *values: str) -> Iterator[Content]:
        try:
            rows = self._database.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise LocalError(f"{self._path} cannot be read: {error}") from error
        return (Content(*row) for row in rows)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Do all or nothing."""
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
