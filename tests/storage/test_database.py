"""Shows how a database file is opened, and refused when it is not ours."""

import sqlite3
import stat
from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    """The connection works as durable grants need it: WAL, full sync, foreign keys, private file."""
    path = tmp_path / "test.sqlite"
    engine = open_engine(path)
    with engine.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        ]
    assert settings == ["wal", 2, 1, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    engine.dispose()


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is no database, one of another program, and a folder each give one clear line."""
    text = tmp_path / "letter.txt"
    text.write_text("Dear database, " * 100)
    with pytest.raises(UsageError, match="not a database"):
        open_engine(text)
    foreign = tmp_path / "photos.sqlite"
    with sqlite3.connect(foreign) as other:
        other.execute("CREATE TABLE photos (name)")
    other.close()
    engine = open_engine(foreign)
    with pytest.raises(UsageError, match="another program"):
        upgrade(engine)
    engine.dispose()
    with pytest.raises(UsageError, match="cannot open"):
        open_engine(tmp_path / "absent" / "test.sqlite")
