"""Charging: tariffs, customers, what was on air, invoices, the ledger, settlement with broadcasters."""

import sqlalchemy as sa
from alembic import op

from sealcast.storage.migrations.guards import keep_rows, refuse

revision = "0005"
down_revision = "0004"

IS_UNCOUNTED = (
    "NEW.place NOT BETWEEN 0 AND (SELECT postings FROM ledger_entries WHERE number = NEW.entry) - 1"
)
IS_UNBALANCED = (
    "NEW.place = (SELECT postings FROM ledger_entries WHERE number = NEW.entry) - 1"
    " AND (SELECT count(*) <= NEW.place OR sum(amount_micro) <> 0"
    " FROM ledger_postings WHERE entry = NEW.entry)"
)

PERMANENT = {
    "tariffs": (("name",),),
    "tariff_versions": (("tariff", "valid_from_ms"),),
    "assignments": (("number",), ("channel", "device", "from_ms")),
    "aired": (("number",), ("channel", "epoch", "part")),
    "invoices": (("number",), ("request_id",)),
    "invoice_lines": (("invoice", "line"),),
    "billed_periods": (("customer", "start_ms"),),
    "ledger_entries": (("number",), ("id",), ("corrects",)),
    "ledger_postings": (("entry", "place"),),
    "ledger_closings": (("number",), ("until_ms",)),
    "statements": (("number",), ("broadcaster", "currency", "start_ms")),
}
"""Tables whose rows stay as they are, and what is unique in each."""


def upgrade() -> None:
    """Make the tables of charging; what was billed cannot be changed after."""
    _make_tariffs()
    _make_customers()
    _make_evidence()
    _make_aired()
    _make_invoices()
    _make_ledger()
    _make_settlement()
    for table, keys in PERMANENT.items():
        message = f"the table {table} is append-only"
        keep_rows(table, message)
        # INSERT OR REPLACE deletes a row without a word to triggers of DELETE.
        exists = " OR ".join(_exists(table, key) for key in keys)
        refuse(f"{table}_no_replace", "BEFORE INSERT", table, message, exists)
    table, more = "ledger_postings", "an entry takes no more postings than it began with"
    refuse(f"{table}_counted", "BEFORE INSERT", table, more, IS_UNCOUNTED)
    nothing = "the postings of an entry add up to nothing"
    refuse(f"{table}_balanced", "AFTER INSERT", table, nothing, IS_UNBALANCED)


def _exists(table: str, key: tuple[str, ...]) -> str:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    return f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 - names of our own


def _make_tariffs() -> None:
    op.create_table(
        "tariffs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tariffs")),
    )
    op.create_table(
        "tariff_versions",
        sa.Column("tariff", sa.Text(), nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tariff"], ["tariffs.name"], name=op.f("fk_tariff_versions_tariff")),
        sa.PrimaryKeyConstraint("tariff", "valid_from_ms", name=op.f("pk_tariff_versions")),
    )
    op.create_table(
        "assignments",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("tariff", sa.Text(), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["tariff"], ["tariffs.name"], name=op.f("fk_assignments_tariff")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_assignments")),
        sa.UniqueConstraint(
            "channel", "device", "from_ms", name=op.f("uq_assignments_channel_device_from_ms")
        ),
        sqlite_autoincrement=True,
    )


def _make_customers() -> None:
    op.create_table(
        "customers",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cycle", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("anchor_day", sa.Integer(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.create_table(
        "customer_devices",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["customer"], ["customers.id"], name=op.f("fk_customer_devices_customer")),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_customer_devices")),
    )
    op.create_index("ix_customer_devices_customer", "customer_devices", ["customer"], unique=False)


def _make_evidence() -> None:
    op.create_table(
        "evidence",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("epochs", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_evidence")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_evidence_asked_at_ms", "evidence", ["asked_at_ms"], unique=False)
    op.create_index("ix_evidence_subject", "evidence", ["device", "channel"], unique=False)


def _make_aired() -> None:
    boolean = sa.Boolean(create_constraint=False)
    op.add_column("totals", sa.Column("is_recorded", boolean, nullable=False, server_default=sa.false()))
    op.create_index("ix_totals_epoch", "totals", ["channel", "epoch"], unique=False)
    op.create_index(
        "ix_totals_news",
        "totals",
        ["channel", "epoch"],
        unique=False,
        sqlite_where=sa.text("is_recorded IS 0"),
        postgresql_where=sa.text("is_recorded IS false"),
    )
    op.create_table(
        "aired",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("fresh_at", sa.BigInteger(), nullable=True),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("given_up_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_aired")),
        sa.UniqueConstraint("channel", "epoch", "part", name=op.f("uq_aired_channel_epoch_part")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_aired_end", "aired", ["channel", "end_ms"], unique=False)
    op.create_index("ix_aired_recorded", "aired", ["channel", "recorded_at_ms"], unique=False)


def _make_invoices() -> None:
    op.create_table(
        "invoices",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("corrects", sa.BigInteger(), nullable=True),
        sa.Column("request_id", sa.Text(), nullable=True),
        sa.Column("request_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_invoices")),
        sa.UniqueConstraint("request_id", name=op.f("uq_invoices_request_id")),
    )
    op.create_index("ix_invoices_customer", "invoices", ["customer", "number"], unique=False)
    op.create_index("ix_invoices_issued", "invoices", ["issued_at_ms"], unique=False)
    op.create_index(
        "ix_invoices_corrects",
        "invoices",
        ["corrects"],
        unique=False,
        sqlite_where=sa.text("corrects IS NOT NULL"),
        postgresql_where=sa.text("corrects IS NOT NULL"),
    )
    op.create_table(
        "invoice_lines",
        sa.Column("invoice", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("period_start_ms", sa.BigInteger(), nullable=False),
        sa.Column("version_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=True),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column("due_minor", sa.BigInteger(), nullable=False),
        sa.Column("is_tax", sa.Boolean(), nullable=False),
        sa.Column("counts", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["invoice"], ["invoices.number"], name=op.f("fk_invoice_lines_invoice")),
        sa.PrimaryKeyConstraint("invoice", "line", name=op.f("pk_invoice_lines")),
    )
    op.create_index(
        "ix_invoice_lines_subject", "invoice_lines", ["device", "channel", "period_start_ms"], unique=False
    )
    op.create_table(
        "billed_periods",
        sa.Column("customer", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "start_ms", name=op.f("pk_billed_periods")),
    )
    op.create_index("ix_billed_periods_end", "billed_periods", ["end_ms"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        # SQLite numbers the rows of every table by itself, and calls the number so.
        op.execute("ALTER TABLE billed_periods ADD COLUMN rowid BIGSERIAL NOT NULL UNIQUE")


def _make_ledger() -> None:
    op.create_table(
        "ledger_entries",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("effective_ms", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.Text(), nullable=False),
        sa.Column("corrects", sa.Text(), nullable=True),
        sa.Column("postings", sa.Integer(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_entries")),
        sa.UniqueConstraint("id", name=op.f("uq_ledger_entries_id")),
        sa.UniqueConstraint("corrects", name=op.f("uq_ledger_entries_corrects")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ledger_postings",
        sa.Column("entry", sa.Integer(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["ledger_entries.number"], name=op.f("fk_ledger_postings_entry")),
        sa.PrimaryKeyConstraint("entry", "place", name=op.f("pk_ledger_postings")),
    )
    op.create_index(
        "ix_ledger_postings_account", "ledger_postings", ["account", "entry", "amount_micro"], unique=False
    )
    op.create_table(
        "ledger_closings",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_closings")),
        sa.UniqueConstraint("until_ms", name=op.f("uq_ledger_closings_until_ms")),
        sqlite_autoincrement=True,
    )


def _make_settlement() -> None:
    op.create_table(
        "contracts",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("broadcaster", sa.Text(), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.Column("share_parts", sa.Integer(), nullable=False),
        sa.Column("share_of", sa.Integer(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("unit_price_micro", sa.BigInteger(), nullable=False),
        sa.Column("unit_per", sa.BigInteger(), nullable=False),
        sa.Column("minimum_micro", sa.BigInteger(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_contracts")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_contracts_channel", "contracts", ["channel", "currency"], unique=False)
    op.create_table(
        "statements",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("broadcaster", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("amount_micro", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_statements")),
        sa.UniqueConstraint(
            "broadcaster", "currency", "start_ms", name=op.f("uq_statements_broadcaster_currency_start_ms")
        ),
    )
    op.create_index("ix_statements_end", "statements", ["currency", "end_ms"], unique=False)
