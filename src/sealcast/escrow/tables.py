"""Owns the escrow's tables: who sells, keys and prices, orders, what was attested and what was opened.

Terms of an order, receipts and openings never change: triggers refuse it, and any step of an order that does
not raise its version by one.
"""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

escrow_sellers = sa.Table(
    "escrow_sellers",
    metadata,
    sa.Column("seller", sa.Text, primary_key=True),
    sa.Column("fee_per_mille", sa.Integer, nullable=False),
    sa.Column("admitted_at_ms", sa.BigInteger, nullable=False),
)

escrow_keys = sa.Table(
    "escrow_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("seller", sa.ForeignKey("escrow_sellers.seller"), nullable=False),
    sa.Column("price_class", sa.Text, nullable=False),
    sa.Column("price_micro", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("bits", sa.Integer, nullable=False),
    sa.Column("modulus", sa.LargeBinary, nullable=False),
    sa.Column("wrapped", sa.LargeBinary),
    sa.Column("token_object", sa.Text),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    sa.Column("closed_at_ms", sa.BigInteger),
    sa.UniqueConstraint("seller", "price_class"),
)
"""`wrapped` is the private key under the master key, `token_object` its id in a token: one of them."""

escrow_orders = sa.Table(
    "escrow_orders",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("key_id", sa.ForeignKey("escrow_keys.id"), nullable=False),
    sa.Column("package", sa.Text, nullable=False),
    sa.Column("buyer", sa.Text, nullable=False),
    sa.Column("seller", sa.Text, nullable=False),
    sa.Column("price_class", sa.Text, nullable=False),
    sa.Column("price_micro", sa.BigInteger, nullable=False),
    sa.Column("fee_micro", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("placed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_escrow_orders_buyer", escrow_orders.c.buyer, escrow_orders.c.number)
sa.Index("ix_escrow_orders_seller", escrow_orders.c.seller, escrow_orders.c.number)
sa.Index("ix_escrow_orders_state", escrow_orders.c.state, escrow_orders.c.number)
sa.Index("ix_escrow_orders_key_id", escrow_orders.c.key_id)
_WAITS = escrow_orders.c.until_ms.is_not(None)
sa.Index(
    "ix_escrow_orders_until",
    escrow_orders.c.until_ms,
    sqlite_where=_WAITS,
    postgresql_where=_WAITS,
)

escrow_receipts = sa.Table(
    "escrow_receipts",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("lead", sa.Text, nullable=False),
    sa.Column("order_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("buyer", sa.Text, nullable=False),
    sa.Column("seller", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("receipt", sa.Text, nullable=False),
    sa.UniqueConstraint("lead", "order_id", "kind", "key_id"),
    sqlite_autoincrement=True,
)
"""`lead` is the escrow that has the order: this one, but for what was opened upon another's receipt."""

sa.Index("ix_escrow_receipts_buyer", escrow_receipts.c.buyer, escrow_receipts.c.number)
sa.Index("ix_escrow_receipts_seller", escrow_receipts.c.seller, escrow_receipts.c.number)

escrow_openings = sa.Table(
    "escrow_openings",
    metadata,
    sa.Column("lead", sa.Text, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("buyer", sa.Text, nullable=False),
    sa.Column("blinded", sa.LargeBinary, nullable=False),
    sa.Column("opened", sa.LargeBinary, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)
"""What an order opened here: c' and m, both blinded by the device. One for each order, for ever: under
a second key of the same seller, an order at another escrow would open a second package."""
