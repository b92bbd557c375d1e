"""Shows that a list of any length travels as one parameter, on both databases, and that indexes are used."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage.among import among, among_pairs, listed
from storage.places import is_on_postgres, open_engine

METADATA = sa.MetaData()
things = sa.Table(
    "things", METADATA, sa.Column("name", sa.Text, primary_key=True), sa.Column("number", sa.BigInteger)
)
sa.Index("ix_things", things.c.name, things.c.number)
BY_PAIR = sa.select(things.c.name).where(among_pairs(things.c.name, things.c.number, "pairs"))
NAMES = ["a", "b'c", 'd"e', "ü", "%s"]


@pytest.mark.usefixtures("both_databases")
def test_among(tmp_path: Path) -> None:
    """Texts with all that quoting stumbles over, whole numbers up to 2^63, none, and ten thousand."""
    engine = open_engine(tmp_path / "things.db")
    with engine.begin() as connection:
        METADATA.create_all(connection)
        rows = [{"name": name, "number": 2**63 - 1 - place} for place, name in enumerate(NAMES)]
        connection.execute(things.insert(), rows)
        by_name = sa.select(things.c.name).where(among(things.c.name, "names"))
        by_number = sa.select(things.c.name).where(among(things.c.number, "numbers"))
        many = [*NAMES[1:], *(f"x{n}" for n in range(10_000))]
        assert set(connection.execute(by_name, {"names": listed(many)}).scalars()) == set(NAMES[1:])
        assert connection.execute(by_name, {"names": listed([])}).scalars().all() == []
        assert connection.execute(by_number, {"numbers": listed([2**63 - 1, 5])}).scalars().all() == ["a"]
    engine.dispose()


@pytest.mark.usefixtures("both_databases")
def test_among_pairs(tmp_path: Path) -> None:
    """A name is found with its own number only, whatever is asked for beside it; and by each name's index."""
    engine = open_engine(tmp_path / "things.db")
    with engine.begin() as connection:
        METADATA.create_all(connection)
        connection.execute(things.insert(), [{"name": name, "number": 2**63 - 1} for name in NAMES])
        pairs = [(NAMES[0], 2**63 - 1), (NAMES[1], 5), (NAMES[2], 2**63 - 1), ("x", 2**63 - 1)]
        found = connection.execute(BY_PAIR, {"pairs": listed(pairs)}).scalars()
        assert set(found) == {NAMES[0], NAMES[2]}
        assert connection.execute(BY_PAIR, {"pairs": listed([])}).scalars().all() == []
        if not is_on_postgres():
            by_name = sa.select(things.c.number).where(among(things.c.name, "names"))
            for query, key in ((by_name, "name=?"), (BY_PAIR, "name=? AND number=?")):
                text = str(query.compile(connection, compile_kwargs={"render_postcompile": True}))
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("[]",)).all()
                assert any("SEARCH" in row[3] and f"({key})" in row[3] for row in plan), plan
    engine.dispose()
