"""Shows that a list of any length travels as one parameter, on both databases."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.storage.among import among, listed
from storage.places import open_engine

METADATA = sa.MetaData()
things = sa.Table(
    "things", METADATA, sa.Column("name", sa.Text, primary_key=True), sa.Column("number", sa.BigInteger)
)
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
