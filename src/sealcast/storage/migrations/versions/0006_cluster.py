"""Cluster: the master's lease, what is to be published, replicas' journals."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

FOLLOWED = {
    "principals": ("party", "id"),
    "certificates": ("party", "principal"),
    "subscriptions": ("party", "device"),
    "channels": ("channel", "number"),
    "channel_senders": ("channel", "channel"),
    "epochs": ("channel", "channel"),
    "fences": ("channel", "channel"),
    "reports": ("air", "channel"),
}
"""Tables whose changes replicas hear of: the kind of entry, and the column that names it."""

MARK = """
    DELETE FROM cluster_changes WHERE kind = '{kind}' AND name = CAST({row}.{column} AS TEXT);
    INSERT INTO cluster_changes (kind, name) VALUES ('{kind}', CAST({row}.{column} AS TEXT));
"""
MARK_ON_POSTGRESQL = """
    INSERT INTO cluster_changes (kind, name) VALUES ('{kind}', CAST({row}.{column} AS TEXT))
    ON CONFLICT (kind, name) DO UPDATE SET number = excluded.number;
"""
ON_SQLITE = """
CREATE TRIGGER {table}_followed_{verb} AFTER {verb} ON {table} WHEN EXISTS (SELECT 1 FROM cluster_lease)
BEGIN {mark} END
"""
ON_POSTGRESQL = """
CREATE FUNCTION {table}_followed_{verb}() RETURNS trigger AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM cluster_lease) THEN {mark} END IF;
    RETURN NULL;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER {table}_followed_{verb} AFTER {verb} ON {table}
FOR EACH ROW EXECUTE FUNCTION {table}_followed_{verb}();
"""


def upgrade() -> None:
    """Make the tables of a cluster, and the triggers that note what changes while there is a lease."""
    _make_tables()
    template, marking = ON_SQLITE, MARK
    if op.get_bind().dialect.name == "postgresql":
        template, marking = ON_POSTGRESQL, MARK_ON_POSTGRESQL
    for table, (kind, column) in FOLLOWED.items():
        for verb in ("insert", "update", "delete"):
            mark = marking.format(kind=kind, column=column, row="OLD" if verb == "delete" else "NEW")
            op.execute(template.format(table=table, verb=verb, mark=mark))


def _make_tables() -> None:
    op.create_table(
        "cluster_lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("term", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("urls", sa.Text(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster_lease")),
    )
    op.create_table(
        "cluster_changes",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_cluster_changes")),
        sa.UniqueConstraint("kind", "name", name=op.f("uq_cluster_changes_kind_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cluster_versions",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_cluster_versions")),
    )
    op.create_table(
        "cluster_outbox",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_cluster_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cluster_journals",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("pk_cluster_journals")),
    )
    op.create_table(
        "cluster_aside",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("replica", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", "number", name=op.f("pk_cluster_aside")),
    )
