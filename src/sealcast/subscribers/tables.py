"""Owns the tables of subscriber management: lists, devices sold, withdrawals and their evidence, offences."""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    sa.Column("removed_at_ms", sa.BigInteger),
    sa.Column("user", sa.Text, nullable=False, server_default=""),
    sa.Column("kek", sa.Text, nullable=False, server_default=""),
    sa.Column("ended_by", sa.Text),
    sa.Column("fence_epoch", sa.BigInteger),
)
"""Ended subscriptions stay, for history; at most one is live for a channel and device.

`kek` is the thumbprint of the device's public KEK, or `symmetric`. `ended_by` says how it ended: removed,
withdrawn, channel-removed, party-removed. `fence_epoch` is the first epoch that the device cannot have.
"""

_LIVE = subscriptions.c.removed_at_ms.is_(None)
sa.Index(
    "uq_subscriptions_live",
    subscriptions.c.channel,
    subscriptions.c.device,
    unique=True,
    sqlite_where=_LIVE,
    postgresql_where=_LIVE,
)
sa.Index("ix_subscriptions_device", subscriptions.c.device, subscriptions.c.channel)

sold = sa.Table(
    "sold",
    metadata,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("sold_on", sa.Text, nullable=False),
    sa.Column("seller", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
)
sa.Index("ix_sold_origin", sold.c.origin)
"""Serial numbers known from the point of sale (S0-3); `origin` is `sale`, or `operator` where the operator
itself named the device."""

withdrawals = sa.Table(
    "withdrawals",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("nonce_sha256", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("counter", sa.BigInteger, nullable=False),
    sa.Column("begun_at_ms", sa.BigInteger, nullable=False),
    sa.Column("superseded_at_ms", sa.BigInteger),
    sa.Column("closed_at_ms", sa.BigInteger),
    sa.Column("statement_sha256", sa.LargeBinary),
    sa.Column("statement", sa.Text),
    sa.Column("receipt", sa.Text),
    sa.Column("last_subscription", sa.BigInteger),
    sqlite_autoincrement=True,
)
sa.Index("ix_withdrawals_device", withdrawals.c.device)
"""Withdrawals begun (a nonce was given) and closed (the statement verified); the evidence stays.

`last_subscription` is the highest id among the device's subscriptions at the closing: those above are new.
"""

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("withdrawal", sa.ForeignKey("withdrawals.number"), primary_key=True),
    sa.Column("channel", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("erased_at_ms", sa.BigInteger, nullable=False),
    sa.Column("void_at_ms", sa.BigInteger),
    sqlite_with_rowid=False,
)
sa.Index("ix_erasures_device", erasures.c.device, erasures.c.channel, erasures.c.epoch)
"""Granted keys that a verified statement said are destroyed; void if the same key was granted again later."""

offences = sa.Table(
    "offences",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("statement_sha256", sa.LargeBinary, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("pardoned_at_ms", sa.BigInteger),
    sqlite_autoincrement=True,
)
sa.Index("ix_offences_device", offences.c.device)
"""Illegitimate statements. A device with one that was not pardoned is not in good standing."""
