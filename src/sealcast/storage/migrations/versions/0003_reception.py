"""Reception: devices sold, subscriptions with their user, receptions, withdrawals, offences, fences."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables of subscriber and reception management."""
    _extend()
    _make_sold()
    _make_receptions()
    _make_withdrawals()
    _make_erasures()
    _make_offences()
    _make_fences()
    _make_reception_ends()


def _extend() -> None:
    op.add_column(
        "channels",
        sa.Column("open", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    )
    for name in ("user", "kek"):
        op.add_column("subscriptions", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column("subscriptions", sa.Column("ended_by", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("fence_epoch", sa.BigInteger(), nullable=True))
    op.create_index("ix_subscriptions_device", "subscriptions", ["device", "channel"], unique=False)


def _make_sold() -> None:
    op.create_table(
        "sold",
        sa.Column("serial", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("sold_on", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name=op.f("pk_sold")),
    )
    op.create_index("ix_sold_origin", "sold", ["origin"], unique=False)
    # Whoever is registered already was named or invited by the operator: sales that begin shut nobody out.
    op.execute(
        "INSERT INTO sold (serial, origin, sold_on, seller, note, added_at_ms)"
        " SELECT id, 'operator', '', '', '', registered_at_ms FROM principals"
        " WHERE role = 'device' AND removed_at_ms IS NULL"
    )


def _make_receptions() -> None:
    op.create_table(
        "receptions",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("channel_name", sa.Text(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_epoch", sa.BigInteger(), nullable=True),
        sa.Column("last_epoch", sa.BigInteger(), nullable=True),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("last_index", sa.BigInteger(), nullable=True),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_receptions")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_receptions_live",
        "receptions",
        ["device", "channel"],
        unique=True,
        sqlite_where=sa.text("ended_at_ms IS NULL"),
        postgresql_where=sa.text("ended_at_ms IS NULL"),
    )
    op.create_index("ix_receptions_device", "receptions", ["device", "channel"], unique=False)
    op.create_index("ix_receptions_channel", "receptions", ["channel"], unique=False)
    for name, column in (("ix_receptions_live", "number"), ("ix_receptions_live_channel", "channel")):
        op.create_index(
            name,
            "receptions",
            [column],
            unique=False,
            sqlite_where=sa.text("ended_at_ms IS NULL"),
            postgresql_where=sa.text("ended_at_ms IS NULL"),
        )


def _make_withdrawals() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("nonce_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("begun_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("superseded_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("statement_sha256", sa.LargeBinary(), nullable=True),
        sa.Column("statement", sa.Text(), nullable=True),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.Column("last_subscription", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_withdrawals")),
        sa.UniqueConstraint("nonce_sha256", name=op.f("uq_withdrawals_nonce_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_withdrawals_device", "withdrawals", ["device"], unique=False)


def _make_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("withdrawal", sa.Integer(), nullable=False),
        sa.Column("channel", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("erased_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("void_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["withdrawal"], ["withdrawals.number"], name=op.f("fk_erasures_withdrawal")),
        sa.PrimaryKeyConstraint("withdrawal", "channel", "epoch", name=op.f("pk_erasures")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_erasures_device", "erasures", ["device", "channel", "epoch"], unique=False)


def _make_offences() -> None:
    op.create_table(
        "offences",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("statement_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("pardoned_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_offences")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_offences_device", "offences", ["device"], unique=False)


def _make_fences() -> None:
    op.create_table(
        "fences",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("is_urgent", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("window_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reached_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_fences_channel")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_fences")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fences_channel", "fences", ["channel", "reached_at_ms"], unique=False)


def _make_reception_ends() -> None:
    op.create_table(
        "reception_ends",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("device", sa.Text(), nullable=True),
        sa.Column("channel", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("done_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reception_ends")),
        sqlite_autoincrement=True,
    )
