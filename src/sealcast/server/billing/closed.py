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
_ENDS_AFTER = billed_periods.c.end_ms > sa.bindparam("from_ms")
_ANY = sa.select(sa.exists().where(_ENDS_AFTER))
_PAYS = sa.func.coalesce(customer_devices.c.customer, subscriptions.c.device) == billed_periods.c.customer
_HAD_IT = (
    subscriptions.c.channel == sa.bindparam("channel_number"),
    subscriptions.c.added_at_ms < billed_periods.c.end_ms,
    sa.or_(subscriptions.c.removed_at_ms.is_(None), subscriptions.c.removed_at_ms > sa.bindparam("from_ms")),
)
_OF_CHANNEL = (
    sa.select(sa.func.max(billed_periods.c.end_ms))
    .select_from(subscriptions)
    .join(customer_devices, customer_devices.c.device == subscriptions.c.device, isouter=True)
    .join(billed_periods, _PAYS)
    .where(*_HAD_IT, _ENDS_AFTER)
)
_OF_DEVICE = _OF_CHANNEL.where(subscriptions.c.device == sa.bindparam("device_id"))
_OWNER = sa.select(sa.literal(1)).where(customer_devices.c.device == subscriptions.c.device)
_OWN = sa.select(subscriptions.c.device).where(
    subscriptions.c.device == billed_periods.c.customer, *_HAD_IT, ~sa.exists(_OWNER.correlate(subscriptions))
)
_GIVEN = (
    sa.select(subscriptions.c.device)
    .select_from(customer_devices)
    .join(subscriptions, subscriptions.c.device == customer_devices.c.device)
    .where(customer_devices.c.customer == billed_periods.c.customer, *_HAD_IT)
)
_IS_DEVICE = subscriptions.c.device == sa.func.coalesce(
    sa.bindparam("device_id", type_=sa.Text), subscriptions.c.device
)
# The sum keeps SQLite from going by the end, where the few rows behind the mark are to be read.
_END = billed_periods.c.end_ms + 0
_IS_NEW = (sa.bindparam("mark") < _ROW, sa.bindparam("from_ms") < _END)
_ANY_NEW = sa.select(sa.exists().select_from(billed_periods).where(*_IS_NEW))
_SINCE = sa.select(sa.func.max(_END)).where(
    *_IS_NEW,
    sa.or_(*(sa.exists(each.where(_IS_DEVICE).correlate(billed_periods)) for each in (_OWN, _GIVEN))),
)
"""The other way round: from the few periods that were closed meanwhile to the devices of their customers."""

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
    others = [each for each in subjects if each not in ahead.subjects]
    ends = [ahead.until_ms, closed_until_ms(call.connection, others, from_ms)]
    new = {"mark": ahead.mark, "from_ms": from_ms}
    if call.connection.execute(_ANY_NEW, new).scalar_one():
        for channel, device in ahead.subjects.intersection(subjects):
            values = {**new, "channel_number": channel, "device_id": device}
            ends.append(call.connection.execute(_SINCE, values).scalar())
    until_ms = max((each for each in ends if each is not None), default=None)
    if until_ms is not None:
        raise refusal(
            "period-closed",
            f"periods until {iso_time(until_ms)} are billed; take an instant from then on",
        )


def closed_until_ms(connection: sa.Connection, subjects: Iterable[Subject], from_ms: int) -> int | None:
    """Return the end of the last closed period that a change of tariff from `from_ms` on would touch.

    That is one of a customer that had a device on one of the channels then. Costs next to nothing if no
    closed period ends after `from_ms`; else it reads all subscriptions for each channel.
    """
    if not connection.execute(_ANY, {"from_ms": from_ms}).scalar_one():
        return None
    ends = [_closed_until_ms(connection, channel, device, from_ms) for channel, device in subjects]
    return max((each for each in ends if each is not None), default=None)


def _closed_until_ms(connection: sa.Connection, channel: int, device: str | None, from_ms: int) -> int | None:
    values = {"channel_number": channel, "from_ms": from_ms}
    if device is None:
        found = connection.execute(_OF_CHANNEL, values)
    else:
        found = connection.execute(_OF_DEVICE, {**values, "device_id": device})
    until_ms: int | None = found.scalar()
    return until_ms


def was_subscribed_before(connection: sa.Connection, device: str, instant_ms: int) -> bool:
    """Whether a device was subscribed to anything before an instant."""
    values = {"device_id": device, "instant_ms": instant_ms}
    return bool(connection.execute(_SUBSCRIBED_BEFORE, values).scalar_one())
