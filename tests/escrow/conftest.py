"""Gives the tests of the escrow's records a fresh database, as a file or on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from escrow.shop import fill
from storage.places import upgraded_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give the engine of a fresh database in which a seller has keys, and a buyer money."""
    opened = upgraded_engine(tmp_path / "test.sqlite")
    with opened.begin() as connection:
        fill(connection)
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection to it."""
    with engine.connect() as opened:
        yield opened
