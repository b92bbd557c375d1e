"""Owns billing's tables: tariffs, customers, what was on air, invoices and what broadcasters are owed.

What was billed never changes: triggers refuse it for `aired`, `invoices`, `invoice_lines`, `billed_periods`
and `statements`.
"""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

tariffs = sa.Table(
    "tariffs",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
)

tariff_versions = sa.Table(
    "tariff_versions",
    metadata,
    sa.Column("tariff", sa.ForeignKey("tariffs.name"), primary_key=True),
    sa.Column("valid_from_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("valid_until_ms", sa.BigInteger),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
)
"""`terms` are prices, minimum, cap and tax in JSON (`messages.charging.Terms`)."""

assignments = sa.Table(
    "assignments",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("tariff", sa.ForeignKey("tariffs.name")),
    sa.Column("from_ms", sa.BigInteger, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("channel", "device", "from_ms"),
    sqlite_autoincrement=True,
)
"""Which tariff a channel has from an instant on; for one `device`, or with '' for all that have no other.

Without a tariff: from then on the device has the channel's, or the channel none.
"""

customers = sa.Table(
    "customers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("cycle", sa.Text, nullable=False),
    sa.Column("zone", sa.Text, nullable=False),
    sa.Column("anchor_day", sa.Integer, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
)
"""Who gets bills. A device that nobody is to pay for is its own customer, under its serial number."""

customer_devices = sa.Table(
    "customer_devices",
    metadata,
    sa.Column("device", sa.Text, primary_key=True),
    sa.Column("customer", sa.ForeignKey("customers.id"), nullable=False),
)
sa.Index("ix_customer_devices_customer", customer_devices.c.customer)

aired = sa.Table(
    "aired",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("turn", sa.BigInteger, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("fresh_at", sa.BigInteger),
    sa.Column("start_ms", sa.BigInteger, nullable=False),
    sa.Column("end_ms", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("packets", sa.BigInteger, nullable=False),
    sa.Column("recorded_at_ms", sa.BigInteger, nullable=False),
    sa.Column("given_up_at_ms", sa.BigInteger),
    sa.UniqueConstraint("channel", "epoch", "part"),
    sqlite_autoincrement=True,
)
sa.Index("ix_aired_end", aired.c.channel, aired.c.end_ms)
sa.Index("ix_aired_recorded", aired.c.channel, aired.c.recorded_at_ms)
"""What went on air under an epoch, once that is over; what becomes known later is another part of it.

`turn` is the epoch that began its turn of the schedule (`metering.turns`). `given_up_at_ms` is the instant of
recording where the epoch was not over, its sender silent: no part of those who are granted it from then on.
"""

invoices = sa.Table(
    "invoices",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("issued_at_ms", sa.BigInteger, nullable=False),
    sa.Column("total_minor", sa.BigInteger, nullable=False),
    sa.Column("corrects", sa.BigInteger),
    sa.Column("request_id", sa.Text, unique=True),
    sa.Column("request_sha256", sa.LargeBinary),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
)
sa.Index("ix_invoices_customer", invoices.c.customer, invoices.c.number)
sa.Index("ix_invoices_issued", invoices.c.issued_at_ms)
_CREDITS = invoices.c.corrects.is_not(None)
sa.Index("ix_invoices_corrects", invoices.c.corrects, sqlite_where=_CREDITS, postgresql_where=_CREDITS)
"""Invoices and credit notes in one series: 1, 2, 3, … `document` is `messages.invoicing.Invoice` in JSON.

`request_id` is the client's own id of a credit note, `request_sha256` a digest of what it asked for."""

invoice_lines = sa.Table(
    "invoice_lines",
    metadata,
    sa.Column("invoice", sa.ForeignKey("invoices.number"), primary_key=True),
    sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("period_start_ms", sa.BigInteger, nullable=False),
    sa.Column("version_from_ms", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("quantity", sa.Text),
    sa.Column("units", sa.BigInteger, nullable=False),
    sa.Column("due_minor", sa.BigInteger, nullable=False),
    sa.Column("is_tax", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("counts", sa.Boolean(create_constraint=False), nullable=False),
)
sa.Index(
    "ix_invoice_lines_subject",
    invoice_lines.c.device,
    invoice_lines.c.channel,
    invoice_lines.c.period_start_ms,
)
"""The lines of invoices as later bills need them: what was asked for so far is the sum of what `counts`.

`units` are those that the line adds to earlier ones of its period. A credit that is not billed again does not
count. `version_from_ms` and `name` are a `rating.LineKey`.
"""

billed_periods = sa.Table(
    "billed_periods",
    metadata,
    sa.Column("customer", sa.Text, primary_key=True),
    sa.Column("start_ms", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("end_ms", sa.BigInteger, nullable=False),
    sa.Column("closed_at_ms", sa.BigInteger, nullable=False),
)
sa.Index("ix_billed_periods_end", billed_periods.c.end_ms)
"""Periods of customers that were closed; what becomes known of one later is on the next invoice."""

contracts = sa.Table(
    "contracts",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("broadcaster", sa.Text, nullable=False),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("from_ms", sa.BigInteger, nullable=False),
    sa.Column("until_ms", sa.BigInteger),
    sa.Column("share_parts", sa.Integer, nullable=False),
    sa.Column("share_of", sa.Integer, nullable=False),
    sa.Column("unit", sa.Text),
    sa.Column("unit_price_micro", sa.BigInteger, nullable=False),
    sa.Column("unit_per", sa.BigInteger, nullable=False),
    sa.Column("minimum_micro", sa.BigInteger, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_contracts_channel", contracts.c.channel, contracts.c.currency)

statements = sa.Table(
    "statements",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("broadcaster", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("start_ms", sa.BigInteger, nullable=False),
    sa.Column("end_ms", sa.BigInteger, nullable=False),
    sa.Column("issued_at_ms", sa.BigInteger, nullable=False),
    sa.Column("amount_micro", sa.BigInteger, nullable=False),
    sa.Column("document", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("broadcaster", "currency", "start_ms"),
)
sa.Index("ix_statements_end", statements.c.currency, statements.c.end_ms)
"""What each broadcaster is owed of a month, once; `document` is `messages.bookkeeping.Statement` in JSON."""
