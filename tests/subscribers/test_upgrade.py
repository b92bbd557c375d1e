"""Shows that an upgrade shuts nobody out: devices that were registered before sales began are vouched for."""

import contextlib
from pathlib import Path

from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.subscribers import store_sold
from sealcast.subscribers.store_sold import OPERATOR
from storage.older import make_schema

BEFORE_SALES = "0002"


def test_devices_registered_before(tmp_path: Path) -> None:
    """Registered devices are on the list by the operator's word; other parties and removed ones are not."""
    with contextlib.closing(open_engine(tmp_path / "old.sqlite").connect()) as connection:
        with connection.begin():
            make_schema(connection, BEFORE_SALES)
            for name, role, removed in (
                ("tv", "device", None),
                ("gone", "device", 5),
                ("studio", "sender", None),
            ):
                connection.exec_driver_sql(
                    "INSERT INTO principals (id, role, kind, registered_at_ms, removed_at_ms)"
                    " VALUES (?, ?, 'key-pair', 4, ?)",
                    (name, role, removed),
                )
        upgrade(connection.engine)
        with connection.begin():
            listed = [
                (each.serial, each.origin, each.added_at_ms) for each in store_sold.page(connection, "", 9)
            ]
            assert listed == [("tv", OPERATOR, 4)]
            assert not store_sold.are_sold(connection)
        connection.engine.dispose()
