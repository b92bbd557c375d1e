"""Owns who gets bills: customers that were set, and devices that nobody else pays for.

Whoever has or had a subscription to a channel that ever had a tariff is among them, and nobody else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

import sqlalchemy as sa

from sealcast.billing import store_customers
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.store_customers import Customer
from sealcast.billing.tables import assignments, customer_devices
from sealcast.server.settings import BillingSettings
from sealcast.subscribers.tables import subscriptions

_CHARGED = sa.select(assignments.c.channel)
_OWNER = sa.select(sa.literal(1)).where(customer_devices.c.device == subscriptions.c.device)
_OWN = sa.select(subscriptions.c.device).where(
    subscriptions.c.channel.in_(_CHARGED), ~sa.exists(_OWNER.correlate(subscriptions))
)
_SUBSCRIBED = sa.select(sa.literal(1)).where(
    subscriptions.c.device == customer_devices.c.device, subscriptions.c.channel.in_(_CHARGED)
)
_SET = sa.select(customer_devices.c.customer).where(sa.exists(_SUBSCRIBED.correlate(customer_devices)))
_OWN_PAGE = (
    _OWN.where(subscriptions.c.device > sa.bindparam("after"))
    .distinct()
    .order_by(subscriptions.c.device)
    .limit(sa.bindparam("count"))
)
_SET_PAGE = (
    _SET.where(customer_devices.c.customer > sa.bindparam("after"))
    .distinct()
    .order_by(customer_devices.c.customer)
    .limit(sa.bindparam("count"))
)
_COUNT = sa.select(sa.func.count()).select_from(sa.union(_OWN, _SET).subquery())

DEVICES_MAX = 10_000
"""Devices of one page: queries name them all, and SQLite takes 32,766 names unless it was built for more."""


@dataclass(frozen=True, slots=True)
class Payer:
    """A customer as bills need it; `devices` are those that it pays for, subscribed to anything or not.

    `is_kept` if it is in the database: then its cycle stands, and else it is that of the settings.
    """

    customer: Customer
    devices: tuple[str, ...]
    is_kept: bool


def default_cycle(settings: BillingSettings) -> BillingCycle:
    """Return the cycle of customers that nobody set."""
    return BillingCycle(PeriodKind(settings.cycle), settings.zone, settings.anchor_day)


def payers_behind(
    connection: sa.Connection, settings: BillingSettings, after: str, count: int
) -> tuple[tuple[Payer, ...], bool]:
    """Return at most `count` payers by id, behind `after`, and whether there are more.

    Fewer if they have more than `DEVICES_MAX` devices together. Costs as much as there are rows in the page.
    """
    page = {"after": after, "count": count + 1}
    ids = {*connection.execute(_OWN_PAGE, page).scalars(), *connection.execute(_SET_PAGE, page).scalars()}
    found = payers(connection, settings, sorted(ids)[:count])
    devices = accumulate(len(payer.devices) for payer in found)
    taken = max(1, sum(each <= DEVICES_MAX for each in devices))
    return found[:taken], len(ids) > min(count, taken)


def payers(connection: sa.Connection, settings: BillingSettings, ids: Iterable[str]) -> tuple[Payer, ...]:
    """Return the payers of those ids, by id; one that is not known has the devices that its id names."""
    wanted = sorted(set(ids))
    kept = store_customers.customers_of(connection, wanted)
    devices = store_customers.devices_of(connection, wanted)
    cycle = default_cycle(settings)
    return tuple(
        Payer(kept.get(each) or Customer(each, "", cycle), devices[each], is_kept=each in kept)
        for each in wanted
    )


def count_payers(connection: sa.Connection) -> int:
    """Return how many payers there are. Reads all subscriptions."""
    return int(connection.execute(_COUNT).scalar_one())
