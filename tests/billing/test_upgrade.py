"""Shows that a database from before charging goes on as it was, and that nothing billed can be changed."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import sealcast.billing.tables
import sealcast.ledger.tables  # noqa: F401 - brings its tables into the collection
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.tables import metadata
from storage.older import make_schema

BEFORE_CHARGING = "0004"
OLD = """
INSERT INTO principals (id, role, kind, registered_at_ms) VALUES ('tv', 'device', 'key-pair', 4);
INSERT INTO principals (id, role, kind, registered_at_ms) VALUES ('studio', 'sender', 'key-pair', 4);
INSERT INTO channels (number, name, "group", port, suite, keys, lifetime_ms, publish_at, prefetch_at,
    next_epoch, added_at_ms)
    VALUES (7, 'news', '239.1.2.3', 5004, 'aes-256-gcm', 'sender', 90000, '50%', '25%', 17, 4);
INSERT INTO epochs (channel, epoch, sender, ssrc, consumed, state, wrapped_key, leased_at_ms)
    VALUES (7, 3, 'studio', 99, 1, 'ACTIVE', x'01', 4);
INSERT INTO grants (device, channel, epoch, granted_at_ms) VALUES ('tv', 7, 3, 5);
INSERT INTO subscriptions (channel, device, user, added_at_ms) VALUES (7, 'tv', 'Ada', 4);
INSERT INTO audit (at_ms, who, what, subject) VALUES (4, 'operator', 'channel-add', 'news');
"""
PERMANENT = (
    *("tariffs", "tariff_versions", "assignments", "aired", "invoices", "invoice_lines", "billed_periods"),
    *("ledger_entries", "ledger_postings", "ledger_closings", "statements"),
)
ROWS = """
INSERT INTO tariffs VALUES ('basic', 'EUR', 4);
INSERT INTO ledger_entries VALUES (1, 'invoice-000001', 'EUR', 5, '', NULL, 2, 5);
INSERT INTO ledger_postings VALUES (1, 0, 'a', 1);
INSERT INTO ledger_postings VALUES (1, 1, 'b', -1);
"""
VALUE_OF = {sa.Text: "basic", sa.LargeBinary: b"x"}
CHANGES = (
    "UPDATE {table} SET rowid = rowid",
    "UPDATE OR REPLACE {table} SET {column} = {column}",
    "DELETE FROM {table}",
    "INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
    "REPLACE INTO {table} SELECT * FROM {table} LIMIT 1",
    "INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT DO NOTHING",
)


def contents(connection: sa.Connection, tables: list[str]) -> dict[str, list[dict[str, object]]]:
    """Return all rows by table, each by its columns."""
    return {
        table: [dict(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{table}"').mappings()]  # noqa: S608 - names from the schema
        for table in tables
    }


def test_a_database_from_before_charging(tmp_path: Path) -> None:
    """Each row of before is there after, with the values it had; nothing is billed."""
    with contextlib.closing(open_engine(tmp_path / "old.sqlite").connect()) as connection:
        with connection.begin():
            make_schema(connection, BEFORE_CHARGING)
            for statement in re.split(r";\n", OLD.strip().removesuffix(";")):
                connection.exec_driver_sql(statement)
        with connection.begin():
            tables = sorted(set(sa.inspect(connection).get_table_names()) - {"alembic_version"})
            before = contents(connection, tables)
        upgrade(connection.engine)
        with connection.begin():
            after = contents(connection, tables)
            for table in tables:
                kept = [
                    {name: row[name] for name in old}
                    for old, row in zip(before[table], after[table], strict=True)
                ]
                assert kept == before[table], table
            assert contents(connection, list(PERMANENT)) == {table: [] for table in PERMANENT}
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        connection.engine.dispose()


@pytest.fixture(scope="module")
def billed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """Give a database with a row in each table that is never changed."""
    engine = open_engine(tmp_path_factory.mktemp("billed") / "test.sqlite")
    upgrade(engine)
    with engine.connect() as connection:
        with connection.begin():
            for statement in ROWS.strip().removesuffix(";").split(";\n"):
                connection.exec_driver_sql(statement)
            for name in PERMANENT:
                table = metadata.tables[name]
                if not connection.execute(sa.select(table)).all():
                    values = {
                        each.name: VALUE_OF.get(type(each.type), 1)
                        for each in table.columns
                        if not each.nullable or each.unique
                    }
                    connection.execute(table.insert(), values)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("table", PERMANENT)
@pytest.mark.parametrize("change", CHANGES)
def test_what_was_billed_stays(billed: sa.Connection, table: str, change: str) -> None:
    """The database refuses each UPDATE, DELETE and REPLACE of it, whoever sends it."""
    before = contents(billed, list(PERMANENT))
    statement = change.format(table=table, column=next(iter(metadata.tables[table].columns)).name)
    with pytest.raises(sa.exc.IntegrityError, match="append-only"):
        billed.exec_driver_sql(statement)
    assert contents(billed, list(PERMANENT)) == before


@pytest.mark.parametrize("table", PERMANENT)
def test_no_row_takes_the_place_of_another(billed: sa.Connection, table: str) -> None:
    """Where several columns are unique, a new row that shares one of them with an old one replaces none."""
    columns = metadata.tables[table]
    keys = [[*columns.primary_key.columns]]
    keys += [[*each.columns] for each in columns.constraints if isinstance(each, sa.UniqueConstraint)]
    assert len(keys) >= 1
    (row,) = billed.execute(sa.select(columns).limit(1)).mappings()
    for key in keys:
        free = {each.name for other in keys if other is not key for each in other}
        values = {
            name: 77 if name in free - {each.name for each in key} else value for name, value in row.items()
        }
        if any(values[each.name] is None for each in key):
            continue
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            billed.execute(columns.insert().prefix_with("OR REPLACE"), values)
