"""Shows that SQLite itself refuses each change of what the ledger recorded, in all its words for it."""

import pytest
import sqlalchemy as sa

from ledger.test_store import NOW_MS, TABLES, dump, entry
from sealcast.ledger import store
from sealcast.ledger.entries import reverse

EACH_TABLE = (
    "UPDATE {} SET rowid = 99",
    "UPDATE OR REPLACE {} SET rowid = 1",
    "UPDATE OR IGNORE {} SET rowid = 99",
    "DELETE FROM {}",
    "INSERT OR REPLACE INTO {0} SELECT * FROM {0}",
    "REPLACE INTO {0} SELECT * FROM {0} LIMIT 1",
)
AS_BEFORE = "INSERT OR REPLACE INTO ledger_entries SELECT 77, {}, 'EUR', 0, '', {}, 1, 0 FROM ledger_entries"
CHANGES = [
    *(each.format(table) for table in TABLES for each in EACH_TABLE),
    "UPDATE ledger_postings SET amount_micro = 0",
    AS_BEFORE.format("id", "NULL"),
    AS_BEFORE.format("'x'", "'e-1'"),
    "INSERT OR REPLACE INTO ledger_closings SELECT 77, until_ms, 5 FROM ledger_closings",
    "INSERT INTO ledger_closings VALUES (77, 5, 5) ON CONFLICT (until_ms) DO UPDATE SET closed_at_ms = 5",
    "INSERT INTO ledger_postings VALUES (1, 2, 'a:b', 1)",
    "INSERT INTO ledger_postings VALUES (1, -1, 'a:b', 1)",
    "INSERT INTO ledger_postings VALUES (2, 2, 'a:b', 1)",
    "INSERT INTO ledger_postings VALUES (9, 0, 'a:b', 1)",
]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_refuses_changes(connection: sa.Connection, statement: str) -> None:
    """No UPDATE, DELETE or REPLACE touches what was recorded, and no entry grows."""
    store.record(connection, entry(), NOW_MS)
    store.record(connection, reverse(entry(), "r-1", 20, ""), NOW_MS)
    store.close(connection, 5, NOW_MS)
    before = dump(connection)
    with pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql(statement)
    assert dump(connection) == before
