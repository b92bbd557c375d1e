"""Escrow: sellers, keys, orders, receipts, openings."""

import sqlalchemy as sa
from alembic import op

from sealcast.storage.migrations.guards import keep_rows, refuse

revision = "0008"
down_revision = "0007"

PERMANENT = {
    "escrow_receipts": (("number",), ("lead", "order_id", "kind", "key_id")),
    "escrow_openings": (("lead", "order_id"),),
}
"""Tables whose rows stay as they are, and what is unique in each."""

TERMS = (
    *("number", "id", "key_id", "package", "buyer", "seller"),
    *("price_class", "price_micro", "fee_micro", "currency", "placed_at_ms"),
)
KEY_TERMS = (
    *("id", "seller", "price_class", "price_micro", "currency", "bits"),
    *("modulus", "document", "added_at_ms"),
)


def upgrade() -> None:
    """Make the tables of an escrow; what was agreed, attested and opened cannot be changed after."""
    _make_keys()
    _make_orders()
    _make_receipts()
    for table, keys in PERMANENT.items():
        message = f"the table {table} is append-only"
        keep_rows(table, message)
        # INSERT OR REPLACE deletes a row without a word to triggers of DELETE.
        refuse(f"{table}_no_replace", "BEFORE INSERT", table, message, _exists(table, keys))
    for table, terms in (("escrow_orders", TERMS), ("escrow_keys", KEY_TERMS)):
        message = f"what the table {table} says was agreed upon"
        refuse(f"{table}_terms", "BEFORE UPDATE", table, message, _differs(terms))
        refuse(f"{table}_no_DELETE", "BEFORE DELETE", table, message)
        refuse(f"{table}_no_replace", "BEFORE INSERT", table, message, _exists(table, (("id",),)))
    refuse(
        "escrow_orders_steps",
        "BEFORE UPDATE",
        "escrow_orders",
        "an order changes by one version at a time, and not after its end",
        "NEW.version <> OLD.version + 1 OR OLD.state IN ('released', 'refunded', 'expired')",
    )


def _exists(table: str, keys: tuple[tuple[str, ...], ...]) -> str:
    return " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {' AND '.join(f'{each} = NEW.{each}' for each in key)})"  # noqa: S608 - names of our own
        for key in keys
    )


def _differs(columns: tuple[str, ...]) -> str:
    return " OR ".join(f"NEW.{each} <> OLD.{each}" for each in columns)


def _make_keys() -> None:
    op.create_table(
        "escrow_sellers",
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("fee_per_mille", sa.Integer(), nullable=False),
        sa.Column("admitted_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("seller", name=op.f("pk_escrow_sellers")),
    )
    op.create_table(
        "escrow_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("price_class", sa.Text(), nullable=False),
        sa.Column("price_micro", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("modulus", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=True),
        sa.Column("token_object", sa.Text(), nullable=True),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["seller"], ["escrow_sellers.seller"], name=op.f("fk_escrow_keys_seller")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrow_keys")),
        sa.UniqueConstraint("seller", "price_class", name=op.f("uq_escrow_keys_seller_price_class")),
    )


def _make_orders() -> None:
    op.create_table(
        "escrow_orders",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("package", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("price_class", sa.Text(), nullable=False),
        sa.Column("price_micro", sa.BigInteger(), nullable=False),
        sa.Column("fee_micro", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("placed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["escrow_keys.id"], name=op.f("fk_escrow_orders_key_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_escrow_orders")),
        sa.UniqueConstraint("id", name=op.f("uq_escrow_orders_id")),
        sqlite_autoincrement=True,
    )
    for name, columns in (
        ("buyer", ["buyer", "number"]),
        ("seller", ["seller", "number"]),
        ("state", ["state", "number"]),
        ("key_id", ["key_id"]),
    ):
        op.create_index(f"ix_escrow_orders_{name}", "escrow_orders", columns, unique=False)
    op.create_index(
        "ix_escrow_orders_until",
        "escrow_orders",
        ["until_ms"],
        unique=False,
        sqlite_where=sa.text("until_ms IS NOT NULL"),
        postgresql_where=sa.text("until_ms IS NOT NULL"),
    )


def _make_receipts() -> None:
    op.create_table(
        "escrow_receipts",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("lead", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_escrow_receipts")),
        sa.UniqueConstraint(
            "lead", "order_id", "kind", "key_id", name=op.f("uq_escrow_receipts_lead_order_id_kind_key_id")
        ),
        sqlite_autoincrement=True,
    )
    for name in ("buyer", "seller"):
        op.create_index(f"ix_escrow_receipts_{name}", "escrow_receipts", [name, "number"], unique=False)
    op.create_table(
        "escrow_openings",
        sa.Column("lead", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Text(), nullable=False),
        sa.Column("blinded", sa.LargeBinary(), nullable=False),
        sa.Column("opened", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("lead", "order_id", name=op.f("pk_escrow_openings")),
    )
