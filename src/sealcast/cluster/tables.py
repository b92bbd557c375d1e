"""Owns the tables of a cluster: who is master, what is to be published, and a replica's own journal."""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

cluster_lease = sa.Table(
    "cluster_lease",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("term", sa.BigInteger, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("urls", sa.Text, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("whole_to", sa.BigInteger, nullable=False, server_default=sa.text("0")),
)
"""One row once a master was started: the term rises with each new holder, the version with each publication.

`expires_at_ms` is by the database's own clock where it has one. Up to the sequence `whole_to` the bus has all
that was published, which is everything but what `cluster_changes` names; 0 while it has not."""

cluster_standby = sa.Table(
    "cluster_standby",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("reached_at_ms", sa.BigInteger, nullable=False),
)
"""Servers that stand by, with when they reached the bus last, by the clock that leases go by."""

cluster_changes = sa.Table(
    "cluster_changes",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.UniqueConstraint("kind", "name"),
    sqlite_autoincrement=True,
)
"""What changed since it was published last; triggers keep it, as soon as there is a lease."""

cluster_versions = sa.Table(
    "cluster_versions",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)
"""At a replica: the version of each entry that it took over; it takes none below.

The beat's is the highest."""

cluster_outbox = sa.Table(
    "cluster_outbox",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
"""At a replica: its journal, as far as the bus has not taken it; written in the transaction of the grant."""

cluster_journals = sa.Table(
    "cluster_journals",
    metadata,
    sa.Column("journal", sa.Text, primary_key=True),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)
"""At the master: the number of the last row of each journal that is in the database. At a replica: its own
journal's name, with number 0."""

cluster_aside = sa.Table(
    "cluster_aside",
    metadata,
    sa.Column("journal", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
)
"""At the master: rows of journals that could not be recorded, such as grants of epochs that a database does
not know that was restored from a backup. None is ever lost silently."""
