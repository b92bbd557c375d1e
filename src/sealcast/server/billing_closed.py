"""Owns what closed periods forbid: no tariff may come to apply in a period of which somebody got the bill."""

from collections.abc import Collection, Iterable

import msgspec
import sqlalchemy as sa

from sealcast.billing.tables import billed_periods, customer_devices
from sealcast.core.errors import LocalError
from sealcast.keyserver.calls import Call
from sealcast.keyserver.values import refusal
from sealcast.keyserver.when import iso_time
from sealcast.subscribers.tables import subscriptions

Subject = tuple[int, str | None]
"""What a tariff applies to: a channel, for one device or (None) for all."""

_ROW: sa.ColumnElement[int] = sa.literal_column("billed_periods.rowid", sa.Integer)
"""Rows are only ever added: whatever was closed after a certain state has a higher one."""

_MARK = sa.select(sa.func.coalesce(sa.func.max(_ROW), 0)).select_from(billed_periods)
_AFTER = sa.select(
    sa.exists()
    .select_from(billed_periods)
    .where(sa.bindparam("mark") < _ROW, billed_periods.c.end_ms > sa.bindparam("from_ms"))
)
_HAD_IT = (
    subscriptions.c.channel == sa.bindparam("channel_number"),
    subscriptions.c.device
    == sa.func.coalesce(sa.bindparam("device_id", type_=sa.Text), subscriptions.c.device),
    subscriptions.c.added_at_ms < billed_periods.c.end_ms,
    sa.or_(subscriptions.c.removed_at_ms.is_(None), subscriptions.c.removed_at_ms > sa.bindparam("from_ms")),
)
_OWNER = sa.select(sa.literal(1)).where(customer_devices.c.device == subscriptions.c.device)
_OWN = sa.select(sa.literal(1)).where(
    subscriptions.c.device == billed_periods.c.customer, *_HAD_IT, ~sa.exists(_OWNER.correlate(subscriptions))
)
_SET = (
    sa.select(sa.literal(1))
    .select_from(customer_devices)
    .join(subscriptions, subscriptions.c.device == customer_devices.c.device)
    .where(customer_devices.c.customer == billed_periods.c.customer, *_HAD_IT)
)
_UNTIL = (
    sa.select(billed_periods.c.end_ms)
    .where(
        sa.bindparam("mark") < _ROW,
        billed_periods.c.end_ms > sa.bindparam("from_ms"),
        sa.or_(
            sa.exists(_OWN.correlate(billed_periods)),
            sa.exists(_SET.correlate(billed_periods)),
        ),
    )
    .order_by(billed_periods.c.end_ms.desc())
    .limit(1)
)
_SUBSCRIBED_BEFORE = sa.select(
    sa.exists().where(
        subscriptions.c.device == sa.bindparam("device_id"),
        subscriptions.c.added_at_ms < sa.bindparam("instant_ms"),
    )
)


class Closed(msgspec.Struct, frozen=True):
    """What was read ahead of a change of tariffs: of these subjects, the end of the last period it touches.

    `mark` names the periods closed by then.
    """

    subjects: frozenset[Subject]
    until_ms: int | None
    mark: int


def read_ahead(connection: sa.Connection, subjects: Iterable[Subject], from_ms: int) -> Closed:
    """Return which closed periods a change from `from_ms` on touches; may read all of them."""
    wanted = frozenset(subjects)
    until_ms = closed_until_ms(connection, wanted, from_ms)
    return Closed(wanted, until_ms, int(connection.execute(_MARK).scalar_one()))


def check_open(call: Call, subjects: Collection[Subject], from_ms: int) -> None:
    """Raise the refusal `period-closed` for a change of tariffs that touches a closed period.

    Reads only what was closed, or came to be a subject, since `read_ahead` did.
    """
    ahead = call.ahead
    if not isinstance(ahead, Closed):
        raise LocalError("nobody looked for closed periods ahead")
    known = [each for each in subjects if each in ahead.subjects]
    others = [each for each in subjects if each not in ahead.subjects]
    ends = (
        ahead.until_ms,
        closed_until_ms(call.connection, known, from_ms, since=ahead.mark),
        closed_until_ms(call.connection, others, from_ms),
    )
    until_ms = max((each for each in ends if each is not None), default=None)
    if until_ms is not None:
        raise refusal(
            "period-closed",
            f"periods until {iso_time(until_ms)} are billed; take an instant from then on",
        )


def closed_until_ms(
    connection: sa.Connection, subjects: Iterable[Subject], from_ms: int, *, since: int = 0
) -> int | None:
    """Return the end of the last closed period that a change of tariff from `from_ms` on would touch.

    That is one of a customer that had a device on one of the channels then. Only periods closed after the
    mark `since` count. Next to nothing if none ends after `from_ms`, else it reads all those that do.
    """
    limits = {"from_ms": from_ms, "mark": since}
    if not connection.execute(_AFTER, limits).scalar_one():
        return None
    ends: list[int] = []
    for channel, device in subjects:
        values = {**limits, "channel_number": channel, "device_id": device}
        ends.extend(connection.execute(_UNTIL, values).scalars())
    return max(ends, default=None)


def was_subscribed_before(connection: sa.Connection, device: str, instant_ms: int) -> bool:
    """Whether a device was subscribed to anything before an instant."""
    values = {"device_id": device, "instant_ms": instant_ms}
    return bool(connection.execute(_SUBSCRIBED_BEFORE, values).scalar_one())
