"""Shows that PostgreSQL refuses what SQLite refuses: whatever was billed stays as it is, in all its words."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import sealcast.billing.tables
import sealcast.ledger.tables
import sealcast.storage.audit  # noqa: F401 - brings its table into the collection
from sealcast.storage.tables import metadata
from storage.places import Places, on, upgraded_engine

BEFORE = {
    "tariffs": {"name": "basic", "currency": "EUR", "added_at_ms": 4},
    "ledger_entries": {
        "number": 1,
        "id": "e-1",
        "currency": "EUR",
        "effective_ms": 5,
        "memo": "",
        "corrects": None,
        "postings": 2,
        "recorded_at_ms": 5,
    },
}
POSTINGS = [{"entry": 1, "place": i, "account": "a", "amount_micro": 1 - 2 * i} for i in range(2)]
PERMANENT = (
    *("tariffs", "tariff_versions", "assignments", "aired", "invoices", "invoice_lines", "billed_periods"),
    *("ledger_entries", "ledger_postings", "ledger_closings", "statements", "audit"),
)
VALUE_OF: dict[type[Any], Any] = {sa.Text: "basic", sa.LargeBinary: b"x", sa.Boolean: True}
CHANGES = (
    "UPDATE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "TRUNCATE {table} CASCADE",
    "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING",
    "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}) DO UPDATE SET {column} = NULL",
)


@pytest.fixture(scope="module")
def billed(postgres_places: Places, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """Give a database on PostgreSQL with a row in each table that is never changed."""
    with on(postgres_places):
        engine = upgraded_engine(tmp_path_factory.mktemp("billed") / "test.sqlite")
    with engine.connect() as connection:
        with connection.begin():
            for name in PERMANENT:
                table = metadata.tables[name]
                needed = [each for each in table.columns if not each.nullable or each.unique]
                row = {each.name: VALUE_OF.get(type(each.type), 1) for each in needed}
                rows = POSTINGS if name == "ledger_postings" else [BEFORE.get(name, row)]
                connection.execute(table.insert(), rows)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("table", PERMANENT)
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_billed_stays_on_postgresql(billed: sa.Connection, table: str, change: str) -> None:
    """The database refuses each UPDATE, DELETE, TRUNCATE and upsert of it, whoever sends it."""
    columns = metadata.tables[table]
    with billed.begin():
        before = billed.execute(sa.select(columns)).all()
    key = ", ".join(column.name for column in columns.primary_key)
    statement = change.format(table=table, key=key, column=next(iter(columns.columns)).name)
    refused = "append-only"
    if table == "audit" and change.startswith("INSERT"):
        statement, refused = statement.partition(" ON CONFLICT")[0], "duplicate key"
    with pytest.raises(sa.exc.IntegrityError, match=refused), billed.begin():
        billed.exec_driver_sql(statement)
    with billed.begin():
        assert billed.execute(sa.select(columns)).all() == before


def test_an_entry_takes_no_more_postings(billed: sa.Connection) -> None:
    """Neither beyond its count, nor at a place below, nor of an entry that is not there."""
    table = metadata.tables["ledger_postings"]
    for entry, place in ((1, 2), (1, -1), (9, 0)):
        row = {"entry": entry, "place": place, "account": "a", "amount_micro": 0}
        with pytest.raises(sa.exc.IntegrityError), billed.begin():
            billed.execute(table.insert(), row)
