"""Owns the reception manager's table: receptions that live, and their history in the same rows."""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

receptions = sa.Table(
    "receptions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("channel_name", sa.Text, nullable=False),
    sa.Column("since_ms", sa.BigInteger, nullable=False),
    sa.Column("seen_ms", sa.BigInteger, nullable=False),
    sa.Column("first_epoch", sa.BigInteger),
    sa.Column("last_epoch", sa.BigInteger),
    sa.Column("packets", sa.BigInteger, nullable=False),
    sa.Column("last_index", sa.BigInteger),
    sa.Column("ended_at_ms", sa.BigInteger),
    sa.Column("reason", sa.Text),
    sqlite_autoincrement=True,
)
_LIVE = receptions.c.ended_at_ms.is_(None)
sa.Index(
    "uq_receptions_live",
    receptions.c.device,
    receptions.c.channel,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)
sa.Index("ix_receptions_device", receptions.c.device, receptions.c.channel)
sa.Index("ix_receptions_channel", receptions.c.channel)
sa.Index("ix_receptions_live", receptions.c.number, sqlite_where=_LIVE, postgresql_where=_LIVE)
sa.Index("ix_receptions_live_channel", receptions.c.channel, sqlite_where=_LIVE, postgresql_where=_LIVE)
"""A device receives a channel at most once at a time. A reception manager may have a database of its own, so
nothing refers to the key server's tables."""
