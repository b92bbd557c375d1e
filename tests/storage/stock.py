"""Owns a database with rows in every table of the first schema, for tests of what becomes of them."""

from typing import Any

import sqlalchemy as sa

from storage.older import make_schema

FIRST = "0001"
DEVICES, EPOCHS = 20, 30
PRINCIPALS = [("studio", "sender"), *((f"tv-{i}", "device") for i in range(DEVICES))]


def rows_of_first() -> dict[str, list[dict[str, Any]]]:
    """Return rows of each table of the first schema, those that others refer to first."""
    return {**_parties(), **_air()}


def _parties() -> dict[str, list[dict[str, Any]]]:
    channel = {
        "number": 7,
        "name": "news",
        "group": "239.1.2.3",
        "port": 5004,
        "source": None,
        "interface": None,
        "suite": "aes-256-gcm",
        "keys": "sender",
        "lifetime_ms": 90_000,
        "publish_at": "50%",
        "prefetch_at": "25%",
        "next_epoch": EPOCHS + 1,
        "added_at_ms": 4,
        "removed_at_ms": None,
    }
    return {
        "audit": [{"at_ms": 1, "who": "operator", "what": "channel-add", "subject": "Äther “1”\n\\N\t"}],
        "channels": [channel, {**channel, "number": 9, "name": "sport", "removed_at_ms": 5}],
        "principals": [
            {
                "id": name,
                "role": role,
                "kind": "symmetric",
                "public_keys": None,
                "registered_at_ms": 4,
                "wrapped_signing": bytes(range(256)),
                "wrapped_kek": b"\x00\\x00",
            }
            for name, role in PRINCIPALS
        ],
        "requests": [
            {"principal": "tv-1", "jti": "j", "digest": b"d", "decision": b"\xff\x00", "asked_at_ms": 2**40}
        ],
        "subscriptions": [
            {"id": i + 1, "channel": 7, "device": f"tv-{i}", "added_at_ms": 4, "removed_at_ms": None}
            for i in range(DEVICES)
        ],
        "channel_senders": [{"channel": 7, "sender": "studio"}],
    }


def _air() -> dict[str, list[dict[str, Any]]]:
    epoch = {
        "channel": 7,
        "sender": "studio",
        "cause": None,
        "leased_at_ms": 4,
        "published_at_ms": 5,
        "on_air_at_ms": 6,
        "off_air_at_ms": None,
        "retired_at_ms": None,
    }
    return {
        "epochs": [
            {
                **epoch,
                "epoch": i,
                "ssrc": 2**32 - i,
                "consumed": i % 2 == 0,
                "state": "RETIRED",
                "wrapped_key": bytes([i]),
            }
            for i in range(1, EPOCHS + 1)
        ],
        "reports": [
            {
                "channel": 7,
                "ssrc": 2**32 - 1,
                "epoch": EPOCHS,
                "remaining_ms": 5,
                "lifetime_ms": 90_000,
                "extended": True,
                "roc": 3,
                "seq": 65_535,
                "reported_at_ms": 6,
            }
        ],
        "totals": [
            {
                "channel": 7,
                "ssrc": 2**32 - 1,
                "epoch": i,
                "duration_ms": 90_000,
                "packets": i,
                "bytes": 2**50 + i,
            }
            for i in range(1, EPOCHS + 1)
        ],
        "grants": [
            {"device": f"tv-{i}", "channel": 7, "epoch": j, "granted_at_ms": 5}
            for i in range(DEVICES)
            for j in range(1, EPOCHS + 1)
        ],
    }


def fill_first(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    """Give an empty database the first schema and its rows, in the transaction under way; return them."""
    make_schema(connection, FIRST)
    rows = rows_of_first()
    for name, some in rows.items():
        connection.execute(sa.Table(name, sa.MetaData(), autoload_with=connection).insert(), some)
    return rows


def contents(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
    """Return all rows of all tables by their key, each by its columns."""
    found = sa.MetaData()
    found.reflect(connection)
    return {
        table.name: [
            {name: value for name, value in row.items() if name != "rowid"}
            for row in connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
        ]
        for table in found.sorted_tables
        if table.name != "alembic_version"
    }
