"""Shows that a database of the first schema goes on under this program with every row that it had."""

from pathlib import Path

import pytest

from sealcast.core.errors import UsageError
from sealcast.core.ids import ChannelNumber, Epoch, KeyId
from sealcast.keyserver import store_channels, store_requests
from sealcast.storage.migrate import current_revision, latest_revision, upgrade
from storage.places import open_engine
from storage.stock import DEVICES, FIRST, contents, fill_first

pytestmark = pytest.mark.usefixtures("both_databases")


def test_every_row_of_the_first_schema_is_there_afterwards(tmp_path: Path) -> None:
    """After all migrations each row has the values that it had, and today's queries understand it."""
    engine = open_engine(tmp_path / "first.sqlite")
    with engine.begin() as connection:
        before = fill_first(connection)
    assert current_revision(engine) == FIRST
    assert upgrade(engine) == latest_revision()
    with engine.connect() as connection:
        after = contents(connection)
        for table, rows in before.items():
            kept = [{name: row[name] for name in rows[0]} for row in after[table]]
            assert sorted(kept, key=repr) == sorted(rows, key=repr), table
        assert len(after["sold"]) == DEVICES, "whoever was registered before is sold"
        news = store_channels.find(connection, "news")
        assert news is not None
        assert news.senders == ("studio",)
        key_id = KeyId(ChannelNumber(7), Epoch(3))
        assert store_requests.granted_among(connection, "tv-1", [key_id]) == [key_id]
    engine.dispose()


def test_a_migration_that_fails_leaves_all_as_it_was(tmp_path: Path) -> None:
    """Something in the way of a later step undoes the earlier ones as well."""
    engine = open_engine(tmp_path / "first.sqlite")
    with engine.begin() as connection:
        fill_first(connection)
        connection.exec_driver_sql("CREATE TABLE statements (number BIGINT)")
    with engine.connect() as connection:
        before = contents(connection)
    with pytest.raises(UsageError, match="statements"):
        upgrade(engine)
    assert current_revision(engine) == FIRST
    with engine.connect() as connection:
        assert contents(connection) == before
    engine.dispose()
