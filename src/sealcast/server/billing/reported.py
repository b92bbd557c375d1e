"""Owns what devices reported when their receptions ended, as invoices show it: it changes no charge."""

from collections.abc import Sequence

import sqlalchemy as sa

from sealcast.billing.invoices import local_time
from sealcast.messages.invoicing import ReportedEnd
from sealcast.reception.tables import receptions
from sealcast.server.billing.facts import Known

REPORTED_MAX = 50
"""Reports on one invoice, of each device and channel: more than anybody reads, and the newest of all."""

_ENDED = (
    sa.select(receptions)
    .where(
        receptions.c.device == sa.bindparam("holder"),
        receptions.c.channel == sa.bindparam("wanted"),
        receptions.c.ended_at_ms >= sa.bindparam("since_ms"),
        receptions.c.ended_at_ms < sa.bindparam("until_ms"),
    )
    .order_by(receptions.c.number.desc())
    .limit(REPORTED_MAX)
)


def reported_ends(connection: sa.Connection, known: Known, now_ms: int) -> tuple[ReportedEnd, ...]:
    """Return the receptions of a customer's devices that ended since its last invoice, in order of time."""
    account = known.account
    found: list[sa.Row[tuple[object, ...]]] = []
    for each in account.subscriptions:
        asked = {"holder": each.device, "wanted": each.channel}
        found += connection.execute(_ENDED, {**asked, "since_ms": known.invoiced_at_ms, "until_ms": now_ms})
    return _reports(found, account.cycle.zone)


def _reports(rows: Sequence[sa.Row[tuple[object, ...]]], zone: str) -> tuple[ReportedEnd, ...]:
    return tuple(
        ReportedEnd(
            device=row.device,
            channel_name=row.channel_name,
            ended_at=local_time(row.ended_at_ms, zone),
            reason=row.reason or "",
            packets=row.packets,
            last_index=row.last_index,
        )
        for row in sorted(rows, key=lambda row: (row.ended_at_ms, row.number))
    )
