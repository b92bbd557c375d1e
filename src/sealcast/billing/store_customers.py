"""Owns the queries on customers: who was set or billed, and whose devices are whose.

A device that nobody is to pay for is its own customer: the customer of device D is then D.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.tables import billed_periods, customer_devices, customers, invoices
from sealcast.storage.upsert import insert

_INSERT = insert(customers)
_PUT = _INSERT.on_conflict_do_update(
    index_elements=[customers.c.id],
    set_={name: _INSERT.excluded[name] for name in ("name", "cycle", "zone", "anchor_day")},
)
_KEEP = insert(customers).on_conflict_do_nothing()
_INSERT_DEVICE = insert(customer_devices)
_JOIN = _INSERT_DEVICE.on_conflict_do_update(
    index_elements=[customer_devices.c.device], set_={"customer": _INSERT_DEVICE.excluded.customer}
)
_NAMED = sa.select(customers).where(customers.c.id.in_(sa.bindparam("ids", expanding=True)))
_PAGE = (
    sa.select(customers)
    .where(customers.c.id > sa.bindparam("after"))
    .order_by(customers.c.id)
    .limit(sa.bindparam("count"))
)
_OWNERS = sa.select(customer_devices).where(
    customer_devices.c.device.in_(sa.bindparam("devices", expanding=True))
)
_DEVICES = (
    sa.select(customer_devices)
    .where(customer_devices.c.customer.in_(sa.bindparam("ids", expanding=True)))
    .order_by(customer_devices.c.device)
)
_WAS_BILLED = sa.select(
    sa.or_(
        sa.exists().where(billed_periods.c.customer == sa.bindparam("wanted")),
        sa.exists().where(invoices.c.customer == sa.bindparam("wanted")),
    )
)
_CLOSED_UNTIL = sa.select(sa.func.max(billed_periods.c.end_ms)).where(
    billed_periods.c.customer == sa.bindparam("wanted")
)


@dataclass(frozen=True, slots=True)
class Customer:
    """Who gets bills, how often and by which clock; `name` is for people and may be empty."""

    id: str
    name: str
    cycle: BillingCycle


def customers_of(connection: sa.Connection, ids: Iterable[str]) -> Mapping[str, Customer]:
    """Return those customers by id that were set or billed; others have the cycle of the settings."""
    rows = connection.execute(_NAMED, {"ids": sorted(set(ids))})
    return {row.id: _customer(row) for row in rows}


def find(connection: sa.Connection, customer: str) -> Customer | None:
    """Return the customer of that id, if it was set or billed."""
    return customers_of(connection, [customer]).get(customer)


def page(connection: sa.Connection, after: str, count: int) -> list[Customer]:
    """Return at most `count` customers that were set or billed, by id, behind `after`."""
    rows = connection.execute(_PAGE, {"after": after, "count": count})
    return [_customer(row) for row in rows]


def put(connection: sa.Connection, customer: Customer, now_ms: int) -> None:
    """Store a customer, in place of what was stored of it."""
    connection.execute(_PUT, _values(customer, now_ms))


def keep(connection: sa.Connection, customer: Customer, now_ms: int) -> None:
    """Store a customer that gets its first bill, unless it is stored: its cycle stays from now on."""
    connection.execute(_KEEP, _values(customer, now_ms))


def keep_all(connection: sa.Connection, customers: Sequence[Customer], now_ms: int) -> None:
    """Do as `keep` for several."""
    if customers:
        connection.execute(_KEEP, [_values(each, now_ms) for each in customers])


def join(connection: sa.Connection, customer: str, devices: Iterable[str]) -> None:
    """Have a stored customer pay for devices, whoever did before."""
    rows = [{"device": device, "customer": customer} for device in devices]
    if rows:
        connection.execute(_JOIN, rows)


def customer_of_devices(connection: sa.Connection, devices: Iterable[str]) -> Mapping[str, str]:
    """Return the customer of each device: itself if nobody else is to pay for it."""
    wanted = sorted(set(devices))
    found = {row.device: row.customer for row in connection.execute(_OWNERS, {"devices": wanted})}
    return {device: found.get(device, device) for device in wanted}


def devices_of(connection: sa.Connection, ids: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the devices of each customer, in order.

    A customer's id is among them if it may be a device's that nobody else pays for.
    """
    wanted = sorted(set(ids))
    found: dict[str, set[str]] = {customer: set() for customer in wanted}
    for row in connection.execute(_DEVICES, {"ids": wanted}):
        found[row.customer].add(row.device)
    for device, customer in customer_of_devices(connection, wanted).items():
        if device == customer:
            found[device].add(device)
    return {customer: tuple(sorted(devices)) for customer, devices in found.items()}


def was_billed(connection: sa.Connection, customer: str) -> bool:
    """Whether a period of a customer was closed, or an invoice issued to it."""
    return bool(connection.execute(_WAS_BILLED, {"wanted": customer}).scalar_one())


def closed_until_ms(connection: sa.Connection, customer: str) -> int | None:
    """Return the end of a customer's last closed period."""
    until_ms: int | None = connection.execute(_CLOSED_UNTIL, {"wanted": customer}).scalar()
    return until_ms


def _values(customer: Customer, now_ms: int) -> dict[str, object]:
    return {
        "id": customer.id,
        "name": customer.name,
        "cycle": customer.cycle.kind.value,
        "zone": customer.cycle.zone,
        "anchor_day": customer.cycle.anchor_day,
        "added_at_ms": now_ms,
    }


def _customer(row: sa.Row[tuple[object, ...]]) -> Customer:
    return Customer(row.id, row.name, BillingCycle(PeriodKind(row.cycle), row.zone, row.anchor_day))
