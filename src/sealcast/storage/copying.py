"""Owns the way of all rows from one database into another of the same schema, whatever kinds they are of.

Tables go in the order of their references, rows in the order in which they came. The numbers that rows were
given go on from where they were: none is given twice.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa

Progress = Callable[[int, int], None]
"""Called with the rows that are copied and how many there are."""

ROWS_AT_ONCE = 5_000
ROWID = "rowid"
IN_ORDER = ("billed_periods",)
"""The order in which rows came, of tables whose key does not say; a column with PostgreSQL."""

_SEQUENCES = sa.text(
    "SELECT t.relname, CAST(CAST(s.oid AS regclass) AS text) AS sequence FROM pg_depend d"
    " JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'"
    " JOIN pg_class t ON t.oid = d.refobjid"
    " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
    " WHERE d.deptype = 'a' AND a.attname <> :but"
    " AND t.relnamespace = CAST(current_schema() AS regnamespace)"
)
LAST = ("cluster_changes", "cluster_lease")
"""As soon as there is a lease, whatever is written counts as news for replicas."""

NO_DATA = "alembic_version"


def copy_rows(source: sa.Connection, destination: sa.Connection, progress: Progress) -> int:
    """Copy all rows into the tables of `destination`, which are empty; return how many there were.

    Both have the same schema. `source` is to be in a transaction that sees one state. Costs some 10 µs a row.
    """
    tables = _tables_of(destination)
    counts = [source.execute(sa.select(sa.func.count()).select_from(each)).scalar_one() for each in tables]
    done, total = 0, sum(counts)
    for table in tables:
        rows = iter(source.execution_options(yield_per=ROWS_AT_ONCE).execute(_all_of(table)))
        while some := list(islice(rows, ROWS_AT_ONCE)):
            _write(destination, table, [tuple(row) for row in some])
            done += len(some)
            progress(done, total)
    set_numbers(destination, numbers_of(source))
    return done


def numbers_of(connection: sa.Connection) -> dict[str, int]:
    """Return the last number that was given to a row, by table; of tables that number their rows."""
    if connection.dialect.name != "postgresql":
        rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
        return {row.name: row.seq for row in rows}
    found = {}
    for table, sequence in _sequences(connection).items():
        last, is_called = connection.exec_driver_sql(f"SELECT last_value, is_called FROM {sequence}").one()  # noqa: S608 - PostgreSQL's own names
        found[table] = last if is_called else 0
    return found


def set_numbers(connection: sa.Connection, numbers: dict[str, int]) -> None:
    """Have the numbers of each table's rows go on beyond `numbers`, and beyond those that there are."""
    if connection.dialect.name != "postgresql":
        for name, number in numbers.items():
            values = (number, name)
            connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", values)
            missing = (
                "INSERT INTO sqlite_sequence (name, seq) SELECT name, ? FROM sqlite_master WHERE name = ?"
                " AND sql LIKE '%AUTOINCREMENT%'"
                " AND NOT EXISTS (SELECT 1 FROM sqlite_sequence AS s WHERE s.name = sqlite_master.name)"
            )
            connection.exec_driver_sql(missing, values)
        return
    for name, sequence in _sequences(connection).items():
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        (key,) = table.primary_key.columns
        highest = connection.execute(sa.select(sa.func.max(key))).scalar() or 0
        if last := max(highest, numbers.get(name, 0)):
            connection.execute(sa.select(sa.func.setval(sequence, last)))


def _tables_of(connection: sa.Connection) -> list[sa.Table]:
    """Return all tables with data, those that others refer to first."""
    found = sa.MetaData()
    found.reflect(connection)
    tables = [each for each in found.sorted_tables if each.name != NO_DATA]
    return sorted(tables, key=lambda each: LAST.index(each.name) + 1 if each.name in LAST else 0)


def _columns_of(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.columns if column.name != ROWID]


def _all_of(table: sa.Table) -> sa.Select[Any]:
    """Return the query for all rows by key, which for most is the order in which they came."""
    order: tuple[sa.ColumnElement[Any], ...] = tuple(table.primary_key.columns)
    if table.name in IN_ORDER:
        order = (sa.literal_column(f"{table.name}.{ROWID}"),)
    return sa.select(*_columns_of(table)).order_by(*order)


def _write(connection: sa.Connection, table: sa.Table, rows: list[tuple[Any, ...]]) -> None:
    """Add rows, by PostgreSQL's COPY where there is one."""
    quote = connection.dialect.identifier_preparer.quote
    names = [quote(column.name) for column in _columns_of(table)]
    place = f"{quote(table.name)} ({', '.join(names)})"
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name == "postgresql":
        with driver.cursor() as cursor, cursor.copy(f"COPY {place} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    else:
        marks = ", ".join("?" * len(names))
        driver.executemany(f"INSERT INTO {place} VALUES ({marks})", rows)  # noqa: S608 - names from the schema


def _sequences(connection: sa.Connection) -> dict[str, str]:
    """Return PostgreSQL's sequences that number rows, by table; not those that only keep their order."""
    rows = connection.execute(_SEQUENCES, {"but": ROWID})
    return {row.relname: row.sequence for row in rows}


def rows_of(connection: sa.Connection) -> Iterator[tuple[str, int]]:
    """Give each table's name and how many rows it has."""
    for table in sorted(_tables_of(connection), key=lambda each: each.name):
        yield table.name, connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
