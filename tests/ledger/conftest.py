"""Gives the tests of the ledger a fresh database, as a file or on PostgreSQL."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage.places import upgraded_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """Give the engine of a fresh database."""
    opened = upgraded_engine(tmp_path / "test.sqlite")
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Give a connection to a fresh database."""
    with engine.connect() as opened:
        yield opened
