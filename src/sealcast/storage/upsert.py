"""Owns inserts for both databases: `ON CONFLICT`, and the number that a new row was given.

SQLite took the clause over from PostgreSQL: the statement of SQLAlchemy's PostgreSQL dialect compiles for
SQLite as well; the other way about it does not.
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

__all__ = ["insert", "new_number"]


def new_number(inserted: sa.CursorResult[Any]) -> int:
    """Return the number of the one row that was inserted, of a table that numbers its rows."""
    return int(inserted.inserted_primary_key[0])  # type: ignore[index] # a row was inserted
