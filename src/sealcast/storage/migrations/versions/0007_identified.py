"""Identification: devices whose person the operator knows, and by what."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table of identified devices."""
    op.create_table(
        "identified_devices",
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("identified_by", sa.Text(), nullable=False),
        sa.Column("identified_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device"], ["principals.id"], name=op.f("fk_identified_devices_device")),
        sa.PrimaryKeyConstraint("device", name=op.f("pk_identified_devices")),
    )
