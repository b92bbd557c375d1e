"""Gives the tests of the escrow's records a fresh database, as a file or on PostgreSQL."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from escrow.shop import fill
from sealcast.storage import engine as storage
from sealcast.storage.migrate import upgrade
from storage.places import is_on_postgres, upgraded_engine


@pytest.fixture(scope="session")
def empty_escrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a database without rows, to be copied."""
    path: Path = tmp_path_factory.mktemp("escrow") / "empty.sqlite"
    engine = storage.open_engine(path)
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def engine(empty_escrow: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """Give the engine of a fresh database in which a seller has keys, and a buyer money."""
    path = tmp_path / "test.sqlite"
    if not is_on_postgres():
        shutil.copyfile(empty_escrow, path)
    opened = upgraded_engine(path)
    with opened.begin() as connection:
        fill(connection)
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection to it."""
    with engine.connect() as opened:
        yield opened
