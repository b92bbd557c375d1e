"""Owns long reads beside the writer: each sees the database as it was when it began, and holds up nobody.

SQLite in WAL mode gives every connection its own snapshot, PostgreSQL every transaction that is REPEATABLE
READ; these may not write at all.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from sealcast.storage.postgres import READS_ONLY

T = TypeVar("T")

READERS_MAX = 2
"""Long reads at a time: they take turns at one interpreter, and more would only take longer each."""


class Reader:
    """Runs reads in threads of their own, `READERS_MAX` at a time, over connections of `engine`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine.execution_options(**{READS_ONLY: True})
        self._turns = asyncio.Semaphore(READERS_MAX)

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run `work` on a snapshot and return its result; raises what it raises. It cannot be cancelled."""
        async with self._turns:
            return await asyncio.to_thread(self.read_blocking, work)

    def read_blocking(self, work: Callable[[sa.Connection], T]) -> T:
        """Do as `read` in this thread."""
        with self._engine.connect() as connection:
            driver = connection.connection.driver_connection
            if not isinstance(driver, sqlite3.Connection):
                return work(connection)
            connection.exec_driver_sql("PRAGMA query_only = ON")
            try:
                return work(connection)
            finally:
                connection.rollback()
                driver.execute("PRAGMA query_only = OFF")
