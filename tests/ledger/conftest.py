"""Gives the tests of the ledger a fresh database, as a file or on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage import engine as storage
from sealcast.storage.migrate import upgrade
from storage.places import is_on_postgres, upgraded_engine


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a database without rows, to be copied."""
    path: Path = tmp_path_factory.mktemp("ledger") / "empty.sqlite"
    engine = storage.open_engine(path)
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def engine(empty_database: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """Give the engine of a fresh database."""
    path = tmp_path / "test.sqlite"
    if not is_on_postgres():
        shutil.copyfile(empty_database, path)
    opened = upgraded_engine(path)
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection to a fresh database."""
    with engine.connect() as opened:
        yield opened
