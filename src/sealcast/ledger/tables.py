"""Owns the ledger's tables: entries with their postings, and until when the books are closed.

Triggers refuse any change of a row, and an entry that does not balance: it is corrected by another one.
"""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

ledger_entries = sa.Table(
    "ledger_entries",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("effective_ms", sa.BigInteger, nullable=False),
    sa.Column("memo", sa.Text, nullable=False),
    sa.Column("corrects", sa.Text, unique=True),
    sa.Column("postings", sa.Integer, nullable=False),
    sa.Column("recorded_at_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""`postings` is how many an entry has: it takes no more, and the last only if all add up to nothing."""

ledger_postings = sa.Table(
    "ledger_postings",
    metadata,
    sa.Column("entry", sa.ForeignKey("ledger_entries.number"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("account", sa.Text, nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
)
sa.Index(
    "ix_ledger_postings_account",
    ledger_postings.c.account,
    ledger_postings.c.entry,
    ledger_postings.c.amount_micro,
)

ledger_closings = sa.Table(
    "ledger_closings",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("until_ms", sa.BigInteger, nullable=False, unique=True),
    sa.Column("closed_at_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""No entry of an instant before `until_ms` is taken any more."""
