"""Owns what the database tests share: a fresh database with today's schema."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sealcast.storage.unitofwork import Batch, UnitOfWork
from storage.places import upgraded_engine


@contextlib.contextmanager
def database(
    folder: Path,
    *,
    on_batch: Callable[[Batch], None] | None = None,
    on_undone: Callable[[], None] | None = None,
) -> Iterator[UnitOfWork]:
    """Give a unit of work over a fresh database in `folder`, and close it."""
    unit_of_work = UnitOfWork(upgraded_engine(folder / "test.sqlite"), on_batch=on_batch, on_undone=on_undone)
    try:
        yield unit_of_work
    finally:
        unit_of_work.close()
