"""Key schedules: chained keys with their fresh starts, patterns, streams that carry no key ID."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add what channels, epochs and grants say of their schedule; what was there before is `fetch`."""
    _extend_channels()
    op.add_column("epochs", sa.Column("follows", sa.BigInteger(), nullable=True))
    op.add_column("epochs", sa.Column("fresh_at", sa.BigInteger(), nullable=True))
    op.add_column("grants", sa.Column("until_epoch", sa.BigInteger(), nullable=True))
    boolean = sa.Boolean(create_constraint=False)
    op.add_column("fences", sa.Column("is_commanded", boolean, nullable=False, server_default=sa.false()))


def _extend_channels() -> None:
    boolean = sa.Boolean(create_constraint=False)
    for column in (
        sa.Column("schedule", sa.Text(), nullable=False, server_default="fetch"),
        sa.Column("fresh_every_ms", sa.BigInteger(), nullable=False, server_default="3600000"),
        sa.Column("repeats", sa.Integer(), nullable=False, server_default="5"),
        sa.Column("cycle", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("confidential", boolean, nullable=False, server_default=sa.false()),
        sa.Column("patterns", sa.Text(), nullable=False, server_default=""),
        sa.Column("framing", sa.Text(), nullable=False, server_default="keyed"),
        sa.Column("ask", sa.Text(), nullable=True),
    ):
        op.add_column("channels", column)
