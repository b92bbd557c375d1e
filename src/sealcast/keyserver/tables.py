"""Owns the key server's tables. Rows of removed channels stay, for history; numbers are never given again."""

import sqlalchemy as sa

from sealcast.storage.tables import metadata

channels = sa.Table(
    "channels",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("group", sa.Text, nullable=False),
    sa.Column("port", sa.Integer, nullable=False),
    sa.Column("source", sa.Text),
    sa.Column("interface", sa.Text),
    sa.Column("suite", sa.Text, nullable=False),
    sa.Column("keys", sa.Text, nullable=False),
    sa.Column("lifetime_ms", sa.BigInteger, nullable=False),
    sa.Column("publish_at", sa.Text, nullable=False),
    sa.Column("prefetch_at", sa.Text, nullable=False),
    sa.Column("next_epoch", sa.BigInteger, nullable=False),
    sa.Column("added_at_ms", sa.BigInteger, nullable=False),
    sa.Column("removed_at_ms", sa.BigInteger),
    sa.Column("open", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    sa.Column("schedule", sa.Text, nullable=False, server_default="fetch"),
    sa.Column("fresh_every_ms", sa.BigInteger, nullable=False, server_default="3600000"),
    sa.Column("repeats", sa.Integer, nullable=False, server_default="5"),
    sa.Column("cycle", sa.Integer, nullable=False, server_default="0"),
    sa.Column("confidential", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    sa.Column("patterns", sa.Text, nullable=False, server_default=""),
    sa.Column("framing", sa.Text, nullable=False, server_default="keyed"),
    sa.Column("ask", sa.Text),
    sqlite_autoincrement=True,
)
_LIVE = channels.c.removed_at_ms.is_(None)
sa.Index("uq_channels_live_name", channels.c.name, unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE)

principals = sa.Table(
    "principals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("public_keys", sa.Text),
    sa.Column("wrapped_signing", sa.LargeBinary),
    sa.Column("wrapped_kek", sa.LargeBinary),
    sa.Column("registered_at_ms", sa.BigInteger, nullable=False),
    sa.Column("removed_at_ms", sa.BigInteger),
)
"""Whoever is or was registered. A removed party's keys are erased; its row stays, for what refers to it."""

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("token_hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("id", sa.Text),
    sa.Column("channels", sa.Text, nullable=False),
    sa.Column("invited_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("cancelled_at_ms", sa.BigInteger),
    sa.Column("used_at_ms", sa.BigInteger),
    sa.Column("used_by", sa.Text),
    sa.Column("used_key", sa.LargeBinary),
    sqlite_autoincrement=True,
)
"""Each lets one newcomer enrol, once; `used_key` is the thumbprint (RFC 7638) of the key it came with."""

certificates = sa.Table(
    "certificates",
    metadata,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("principal", sa.ForeignKey("principals.id"), nullable=False),
    sa.Column("use", sa.Text, nullable=False),
    sa.Column("certificate", sa.LargeBinary, nullable=False),
    sa.Column("issued_at_ms", sa.BigInteger, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked_at_ms", sa.BigInteger),
    sa.Column("reason", sa.Text),
)
sa.Index("ix_certificates_principal", certificates.c.principal)
"""Every certificate that was issued, in DER; none is ever taken away."""

identified_devices = sa.Table(
    "identified_devices",
    metadata,
    sa.Column("device", sa.ForeignKey("principals.id"), primary_key=True),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("identified_by", sa.Text, nullable=False),
    sa.Column("identified_at_ms", sa.BigInteger, nullable=False),
)
"""Devices whose person the operator knows, and by what; their certificates say so (IDENTIFIED_POLICY)."""

revoked_escrows = sa.Table(
    "revoked_escrows",
    metadata,
    sa.Column("serial", sa.Text, primary_key=True),
    sa.Column("escrow", sa.Text, nullable=False),
    sa.Column("expires_at_ms", sa.BigInteger, nullable=False),
    sa.Column("revoked_at_ms", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
"""Escrows' certificates, which the operator's CA issued, and which are on the list of revoked ones."""

channel_senders = sa.Table(
    "channel_senders",
    metadata,
    sa.Column("channel", sa.ForeignKey("channels.number"), primary_key=True),
    sa.Column("sender", sa.ForeignKey("principals.id"), primary_key=True),
)

epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("channel", sa.ForeignKey("channels.number"), primary_key=True),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("sender", sa.ForeignKey("principals.id"), nullable=False),
    sa.Column("ssrc", sa.BigInteger, nullable=False),
    sa.Column("consumed", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("wrapped_key", sa.LargeBinary),
    sa.Column("cause", sa.Text),
    sa.Column("leased_at_ms", sa.BigInteger, nullable=False),
    sa.Column("published_at_ms", sa.BigInteger),
    sa.Column("on_air_at_ms", sa.BigInteger),
    sa.Column("off_air_at_ms", sa.BigInteger),
    sa.Column("retired_at_ms", sa.BigInteger),
    sa.Column("follows", sa.BigInteger),
    sa.Column("fresh_at", sa.BigInteger),
    sa.UniqueConstraint("channel", "ssrc"),
)
sa.Index("ix_epochs_state", epochs.c.channel, epochs.c.state)
"""Of a chain, `follows` is the epoch before (none at a fresh start), `fresh_at` the next fresh start."""

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("channel", sa.ForeignKey("channels.number"), primary_key=True),
    sa.Column("ssrc", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("remaining_ms", sa.BigInteger, nullable=False),
    sa.Column("lifetime_ms", sa.BigInteger, nullable=False),
    sa.Column("extended", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("roc", sa.BigInteger, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("reported_at_ms", sa.BigInteger, nullable=False),
)
"""The last report of each run that is on air."""

totals = sa.Table(
    "totals",
    metadata,
    sa.Column("channel", sa.ForeignKey("channels.number"), primary_key=True),
    sa.Column("ssrc", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("duration_ms", sa.BigInteger, nullable=False),
    sa.Column("packets", sa.BigInteger, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("is_recorded", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
)
sa.Index("ix_totals_epoch", totals.c.channel, totals.c.epoch)
_NEWS = totals.c.is_recorded.is_(False)
sa.Index("ix_totals_news", totals.c.channel, totals.c.epoch, sqlite_where=_NEWS, postgresql_where=_NEWS)
"""What went on air under each epoch of each run; figures only rise.

`is_recorded` while what billing has recorded is all of it: any figure that rises clears it."""

grants = sa.Table(
    "grants",
    metadata,
    sa.Column("device", sa.ForeignKey("principals.id"), primary_key=True),
    sa.Column("channel", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("granted_at_ms", sa.BigInteger, nullable=False),
    sa.Column("until_epoch", sa.BigInteger),
    sa.ForeignKeyConstraint(["channel", "epoch"], ["epochs.channel", "epochs.epoch"]),
    sqlite_with_rowid=False,
)
"""The recorded fact that a device was given the key of an epoch; once, however often it asked.

Of a chain it is a grant of every epoch on air from there to `until_epoch`, which is not in it: the next fresh
start that was known when it was granted."""

fences = sa.Table(
    "fences",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("channel", sa.ForeignKey("channels.number"), nullable=False),
    sa.Column("epoch", sa.BigInteger, nullable=False),
    sa.Column("is_urgent", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("window_ms", sa.BigInteger, nullable=False),
    sa.Column("set_at_ms", sa.BigInteger, nullable=False),
    sa.Column("reached_at_ms", sa.BigInteger),
    sa.Column("is_commanded", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()),
    sqlite_autoincrement=True,
)
sa.Index("ix_fences_channel", fences.c.channel, fences.c.reached_at_ms)
"""Epochs below `epoch` go on air no more, but the one that was; reached once one not below it is on air."""

reception_ends = sa.Table(
    "reception_ends",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device", sa.Text),
    sa.Column("channel", sa.BigInteger),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_ms", sa.BigInteger, nullable=False),
    sa.Column("done_at_ms", sa.BigInteger),
    sqlite_autoincrement=True,
)
"""What a reception manager that stands apart is still to be told: receptions that ended here, in order."""

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("jti", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.Column("decision", sa.LargeBinary, nullable=False),
    sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
sa.Index("ix_requests_asked_at_ms", requests.c.asked_at_ms)

evidence = sa.Table(
    "evidence",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("device", sa.Text, nullable=False),
    sa.Column("channel", sa.BigInteger, nullable=False),
    sa.Column("epochs", sa.Text, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("asked_at_ms", sa.BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("ix_evidence_subject", evidence.c.device, evidence.c.channel)
sa.Index("ix_evidence_asked_at_ms", evidence.c.asked_at_ms)
"""Requests for keys as devices signed them, with the epochs granted; kept if the settings say so."""
