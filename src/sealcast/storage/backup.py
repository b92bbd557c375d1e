"""Owns backups: all of a database in one file, taken while others write, and put back where nothing is yet.

```
SQLite ── pages, of one state ──────────► file of SQLite ── pages ─────────► SQLite
PostgreSQL ── rows, of one snapshot ──►  (mode 0600)    ── rows, by COPY ─► PostgreSQL
```
A backup is a file of SQLite, whatever it was taken from and is put back into. The keys in it are wrapped
under `master.key`, which is no part of it.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from sealcast.core.errors import UsageError
from sealcast.core.ids import U32_MAX
from sealcast.storage import audit
from sealcast.storage.copying import Progress, copy_rows, numbers_of, rows_of, set_numbers
from sealcast.storage.engine import PRIVATE_MODE, open_engine
from sealcast.storage.migrate import bring_to, known_revisions, latest_revision, revision_of
from sealcast.storage.postgres import READS_ONLY, first_line, is_postgres, name_of

PAGES_AT_ONCE = 2_000
EPOCHS_AHEAD = 1_000_000
"""Epochs that a channel leaves out after a restoration, for those it gave since the backup: 115 days of keys
that live for 10 s. A channel has room for 4,000 restorations."""

CHANNELS_AHEAD = 1_000
VERSIONS_AHEAD = 10**12
"""What was published, or written to a replica's journal, since the backup has a lower number: a thousand a
second for 30 years."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup: its file, the revision of its schema, and how large it is."""

    path: Path
    revision: str
    rows: int
    size_bytes: int


def back_up(engine: sa.Engine, target: Path, progress: Progress) -> Backup:
    """Write all that `engine`'s database holds now to `target`, mode 0600, and check it.

    Whatever was committed before is in it, whole transactions only; writers are not held up. Raises
    UsageError if `target` exists or cannot be written, or if the database has no tables.
    """
    with _new_file(target) as part:
        with engine.execution_options(**{READS_ONLY: True}).connect() as source:
            revision = revision_of(source)
            if revision is None:
                raise UsageError(f"{name_of(engine)} has no tables yet: there is nothing to back up")
            if engine.dialect.name == "postgresql":
                _copy_to_file(source, part, revision, progress)
            else:
                _copy_pages(Path(str(engine.url.database)), part, progress)
            source.rollback()
        _close_file(part)
        return Backup(target, *_check(part), part.stat().st_size)


def restore(backup: Path, address: Path | str, progress: Progress, *, wall_ms: int) -> Backup:
    """Put a backup back into the database at `address`, which must hold nothing, and bring it up to date.

    Epochs, channels and versions that were given since the backup are left out, so that none is given twice.
    Raises UsageError if the file is no backup, or is newer than this program, or if anything is there.
    """
    revision, rows = _check(backup)
    if is_postgres(address):
        engine = open_engine(address)
        try:
            with engine.begin() as connection, _reading(backup) as source:
                if sa.inspect(connection).get_table_names():
                    raise UsageError(f"{name_of(engine)} holds tables already: restore into an empty one")
                bring_to(connection, revision)
                copy_rows(source, connection, progress)
                _go_on(connection, backup, wall_ms)
        finally:
            engine.dispose()
    else:
        _restore_file(backup, Path(address), progress, wall_ms)
    return Backup(backup, revision, rows, backup.stat().st_size)


def _restore_file(backup: Path, target: Path, progress: Progress, wall_ms: int) -> None:
    with _new_file(target) as part:
        _copy_pages(backup, part, progress)
        engine = open_engine(part)
        try:
            with engine.begin() as connection:
                _go_on(connection, backup, wall_ms)
        finally:
            engine.dispose()
        _close_file(part)


def _go_on(connection: sa.Connection, backup: Path, wall_ms: int) -> None:
    """Bring what was restored up to date, beyond all that may have been given since its backup."""
    bring_to(connection, "head")
    ahead = sa.text(
        "UPDATE channels SET next_epoch = CASE WHEN next_epoch > :most - :ahead THEN :most"
        " ELSE next_epoch + :ahead END"
    )
    connection.execute(ahead, {"ahead": EPOCHS_AHEAD, "most": U32_MAX})
    version = sa.text(
        "UPDATE cluster_lease SET term = term + 1, version = version + :ahead, expires_at_ms = 0,"
        " whole_to = 0"
    )
    connection.execute(version, {"ahead": VERSIONS_AHEAD})
    numbers = numbers_of(connection)
    set_numbers(connection, {"channels": numbers.get("channels", 0) + CHANNELS_AHEAD})
    audit.append(connection, audit.AuditRow(wall_ms, "operator", "database-restore", backup.name))


def _copy_to_file(source: sa.Connection, part: Path, revision: str, progress: Progress) -> None:
    """Copy rows into a new file of the same schema."""
    engine = open_engine(part)
    try:
        with engine.begin() as destination:
            bring_to(destination, revision)
            copy_rows(source, destination, progress)
    finally:
        engine.dispose()


def _copy_pages(source: Path, part: Path, progress: Progress) -> None:
    """Copy a file of SQLite page by page: a transaction that reads keeps it in one state."""
    address = f"file:{quote(str(source))}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(address, uri=True, isolation_level=None)) as reading,
            contextlib.closing(sqlite3.connect(part, isolation_level=None)) as writing,
        ):
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reading.backup(
                writing,
                pages=PAGES_AT_ONCE,
                progress=lambda _, remaining, total: progress(total - remaining, total),
            )
    except sqlite3.Error as error:
        raise UsageError(f"cannot copy {source}: {error}") from error


def _close_file(part: Path) -> None:
    """Have all of it in one file, which needs no other beside it, and on the disk."""
    with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check(backup: Path) -> tuple[str, int]:
    """Return the revision and the number of rows of a backup that is whole; raises UsageError."""
    try:
        with _reading(backup) as connection:
            revision = revision_of(connection)
            damage = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
            loose = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            rows = sum(count for _, count in rows_of(connection))
    except sa.exc.DBAPIError as error:
        raise UsageError(f"{backup} is no backup of Sealcast: {first_line(error.orig)}") from error
    if revision is None:
        raise UsageError(f"{backup} is no backup of Sealcast: it has none of its tables")
    if revision not in known_revisions():
        raise UsageError(
            f"{backup} has schema {revision}, newer than this program's {latest_revision()}: install the "
            "Sealcast that wrote it, or a later one"
        )
    if damage != "ok" or loose is not None:
        raise UsageError(
            f"{backup} is damaged: {damage if damage != 'ok' else 'rows miss what they refer to'}"
        )
    return revision, rows


@contextlib.contextmanager
def _reading(backup: Path) -> Iterator[sa.Connection]:
    """Give a connection to a file of SQLite that changes nothing of it."""
    if not backup.is_file():
        raise UsageError(f"there is no file {backup}")
    address = f"file:{quote(str(backup))}?mode=ro"
    engine = sa.create_engine("sqlite+pysqlite://", creator=lambda: sqlite3.connect(address, uri=True))
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Give a file that becomes `target` at the end of the block, whole or not at all; writes over nothing."""
    part = target.with_name(f"{target.name}.part")
    if target.exists():
        raise UsageError(f"{target} exists: name another file, or move it away")
    try:
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
    except FileExistsError as error:
        raise UsageError(f"{part} is left of an attempt that was broken off: remove it first") from error
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from error
    try:
        yield part
        os.link(part, target)
    except FileExistsError as error:
        raise UsageError(f"{target} exists: name another file, or move it away") from error
    finally:
        for name in (part, *(part.with_name(part.name + end) for end in ("-wal", "-shm", "-journal"))):
            name.unlink(missing_ok=True)
