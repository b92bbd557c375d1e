"""Standing by: which servers could take over and reach the bus, and how far a new master may rely on it."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table of servers that stand by; of the bus nothing is known to be whole yet."""
    op.create_table(
        "cluster_standby",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reached_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cluster_standby")),
    )
    op.add_column(
        "cluster_lease", sa.Column("whole_to", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
