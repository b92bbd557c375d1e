"""Begin: channels, principals, epochs, reports, totals, grants, requests, subscriptions, audit."""

import sqlalchemy as sa
from alembic import op

from sealcast.storage.migrations.guards import keep_rows

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of the first version."""
    _make_audit()
    _make_channels()
    _make_principals()
    _make_requests()
    _make_subscriptions()
    _make_channel_senders()
    _make_epochs()
    _make_reports()
    _make_totals()
    _make_grants()


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    keep_rows("audit", "the audit table is append-only")


def _make_channels() -> None:
    op.create_table(
        "channels",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("group", sa.Text(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("interface", sa.Text(), nullable=True),
        sa.Column("suite", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("lifetime_ms", sa.BigInteger(), nullable=False),
        sa.Column("publish_at", sa.Text(), nullable=False),
        sa.Column("prefetch_at", sa.Text(), nullable=False),
        sa.Column("next_epoch", sa.BigInteger(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_channels")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_channels_live_name",
        "channels",
        ["name"],
        unique=True,
        sqlite_where=sa.text("removed_at_ms IS NULL"),
        postgresql_where=sa.text("removed_at_ms IS NULL"),
    )


def _make_principals() -> None:
    op.create_table(
        "principals",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("public_keys", sa.Text(), nullable=True),
        sa.Column("wrapped_signing", sa.LargeBinary(), nullable=True),
        sa.Column("wrapped_kek", sa.LargeBinary(), nullable=True),
        sa.Column("registered_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principals")),
    )


def _make_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("principal", sa.Text(), nullable=False),
        sa.Column("jti", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("decision", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "jti", name=op.f("pk_requests")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_requests_asked_at_ms", "requests", ["asked_at_ms"], unique=False)


def _make_subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("channel", sa.BigInteger(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("removed_at_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_index(
        "uq_subscriptions_live",
        "subscriptions",
        ["channel", "device"],
        unique=True,
        sqlite_where=sa.text("removed_at_ms IS NULL"),
        postgresql_where=sa.text("removed_at_ms IS NULL"),
    )


def _make_channel_senders() -> None:
    op.create_table(
        "channel_senders",
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_channel_senders_channel")),
        sa.ForeignKeyConstraint(["sender"], ["principals.id"], name=op.f("fk_channel_senders_sender")),
        sa.PrimaryKeyConstraint("channel", "sender", name=op.f("pk_channel_senders")),
    )


def _make_epochs() -> None:
    op.create_table(
        "epochs",
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("ssrc", sa.BigInteger(), nullable=False),
        sa.Column("consumed", sa.Boolean(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("leased_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("published_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("on_air_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("off_air_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("retired_at_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_epochs_channel")),
        sa.ForeignKeyConstraint(["sender"], ["principals.id"], name=op.f("fk_epochs_sender")),
        sa.PrimaryKeyConstraint("channel", "epoch", name=op.f("pk_epochs")),
        sa.UniqueConstraint("channel", "ssrc", name=op.f("uq_epochs_channel_ssrc")),
    )
    op.create_index("ix_epochs_state", "epochs", ["channel", "state"], unique=False)


def _make_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("ssrc", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("remaining_ms", sa.BigInteger(), nullable=False),
        sa.Column("lifetime_ms", sa.BigInteger(), nullable=False),
        sa.Column("extended", sa.Boolean(), nullable=False),
        sa.Column("roc", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("reported_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_reports_channel")),
        sa.PrimaryKeyConstraint("channel", "ssrc", name=op.f("pk_reports")),
    )


def _make_totals() -> None:
    op.create_table(
        "totals",
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("ssrc", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("packets", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel"], ["channels.number"], name=op.f("fk_totals_channel")),
        sa.PrimaryKeyConstraint("channel", "ssrc", "epoch", name=op.f("pk_totals")),
    )


def _make_grants() -> None:
    op.create_table(
        "grants",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("channel", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("granted_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["channel", "epoch"], ["epochs.channel", "epochs.epoch"], name=op.f("fk_grants_channel_epoch")
        ),
        sa.ForeignKeyConstraint(["device"], ["principals.id"], name=op.f("fk_grants_device")),
        sa.PrimaryKeyConstraint("device", "channel", "epoch", name=op.f("pk_grants")),
        sqlite_with_rowid=False,
    )
