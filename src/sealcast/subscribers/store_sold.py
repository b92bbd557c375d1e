"""Owns the queries on devices sold: added in bulk, listed page by page, taken away."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.storage.upsert import insert
from sealcast.subscribers.tables import sold

SALE, OPERATOR = "sale", "operator"
"""Where a row is from: the point of sale, or the operator who named the device itself."""

_INSERT = insert(sold)
_SELL = _INSERT.on_conflict_do_update(
    index_elements=[sold.c.serial],
    set_={column.name: _INSERT.excluded[column.name] for column in sold.c if column.name != "serial"},
    where=sold.c.origin == OPERATOR,
)
_SOLD_AMONG = sa.select(sold.c.serial).where(
    sold.c.serial.in_(sa.bindparam("serials", expanding=True)), sold.c.origin == SALE
)
_VOUCH = insert(sold).on_conflict_do_nothing()
_ORIGIN = sa.select(sold.c.origin).where(sold.c.serial == sa.bindparam("wanted"))
_ANY_SALE = sa.select(sa.literal(1)).where(sa.exists().where(sold.c.origin == SALE))
_PAGE = (
    sa.select(sold)
    .where(sold.c.serial > sa.bindparam("after"))
    .order_by(sold.c.serial)
    .limit(sa.bindparam("count"))
)
_REMOVE = sold.delete().where(sold.c.serial == sa.bindparam("wanted"))
_UNVOUCH = sold.delete().where(sold.c.serial == sa.bindparam("wanted"), sold.c.origin == OPERATOR)


@dataclass(frozen=True, slots=True)
class Sold:
    """A device on the list of those sold; `sold_on`, `seller` and `note` as the point of sale gave them."""

    serial: str
    origin: str
    sold_on: str
    seller: str
    note: str
    added_at_ms: int


def sell(connection: sa.Connection, devices: Sequence[Sold]) -> list[str]:
    """Note sales; return the serial numbers of devices that were sold already, and stay as they are.

    One that only the operator had named becomes a sold one, with all that the point of sale says. Two
    statements, however many devices: hundreds of them hold up nobody else.
    """
    serials = [device.serial for device in devices]
    sold_before = set(connection.execute(_SOLD_AMONG, {"serials": serials}).scalars())
    new: dict[str, Sold] = {}
    known: list[str] = []
    for device in devices:
        if device.serial in sold_before or device.serial in new:
            known.append(device.serial)
        else:
            new[device.serial] = device
    if new:
        connection.execute(_SELL, [_values(device) for device in new.values()])
    return known


def vouch(connection: sa.Connection, serial: str, now_ms: int) -> None:
    """Note that the operator named a device; one that stands on the list stays as it is."""
    connection.execute(_VOUCH, _values(Sold(serial, OPERATOR, "", "", "", now_ms)))


def unvouch(connection: sa.Connection, serial: str) -> None:
    """Drop a device that only the operator had named."""
    connection.execute(_UNVOUCH, {"wanted": serial})


def is_known(connection: sa.Connection, serial: str) -> bool:
    """Whether a device stands on the list, whoever put it there."""
    return connection.execute(_ORIGIN, {"wanted": serial}).scalar() is not None


def are_sold(connection: sa.Connection) -> bool:
    """Whether the point of sale has named any device: from then on only those on the list are let in."""
    return connection.execute(_ANY_SALE).first() is not None


def page(connection: sa.Connection, after: str, count: int) -> Iterable[Sold]:
    """Give at most `count` devices in the order of their serial numbers, behind `after`."""
    for row in connection.execute(_PAGE, {"after": after, "count": count}):
        yield Sold(*row)


def remove(connection: sa.Connection, serial: str) -> bool:
    """Take a device off the list; False if it does not stand there."""
    return connection.execute(_REMOVE, {"wanted": serial}).rowcount > 0


def _values(device: Sold) -> dict[str, object]:
    return {
        "serial": device.serial,
        "origin": device.origin,
        "sold_on": device.sold_on,
        "seller": device.seller,
        "note": device.note,
        "added_at_ms": device.added_at_ms,
    }
