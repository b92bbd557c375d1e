"""Owns the queries on orders: placed once, changed by compare-and-set, each step with its receipt.

Whoever changes an order read it before: a change counts for the version that was read, and for no other.
"""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sealcast.escrow import store_receipts
from sealcast.escrow.house import House
from sealcast.escrow.orders import CLAIMS, Event, Order, OrderState, Terms, next_state, refused
from sealcast.escrow.receipts import KIND_OF, receipt_of
from sealcast.escrow.store_receipts import Whose
from sealcast.escrow.tables import escrow_orders
from sealcast.storage.upsert import new_number

_ADD = escrow_orders.insert()
_FIND = sa.select(escrow_orders).where(escrow_orders.c.id == sa.bindparam("wanted"))
_CHANGE = (
    escrow_orders.update()
    .where(escrow_orders.c.id == sa.bindparam("wanted"), escrow_orders.c.version == sa.bindparam("read"))
    .values(
        state=sa.bindparam("to_state"),
        version=sa.bindparam("read") + 1,
        changed_at_ms=sa.bindparam("now_ms"),
        until_ms=sa.bindparam("ends_ms"),
        reason=sa.bindparam("why"),
    )
)
_SILENT = (
    sa.select(escrow_orders.c.id)
    .where(escrow_orders.c.until_ms <= sa.bindparam("now_ms"))
    .order_by(escrow_orders.c.until_ms)
    .limit(sa.bindparam("count"))
)
_CLAIMED = (
    sa.select(escrow_orders)
    .where(
        escrow_orders.c.state.in_(sorted(CLAIMS)),
        escrow_orders.c.number > sa.bindparam("after"),
    )
    .order_by(escrow_orders.c.number)
    .limit(sa.bindparam("count"))
)
_WAITING = sa.select(sa.func.count()).where(
    escrow_orders.c.buyer == sa.bindparam("of_buyer"), escrow_orders.c.state == OrderState.PLACED
)
_BACK = sa.select(sa.func.count()).where(
    escrow_orders.c.buyer == sa.bindparam("of_buyer"),
    escrow_orders.c.key_id == sa.bindparam("of_key"),
    escrow_orders.c.state.in_((OrderState.PAYING, OrderState.PAID))
    | (
        escrow_orders.c.state.in_((OrderState.REFUNDING, OrderState.REFUNDED))
        & (escrow_orders.c.changed_at_ms > sa.bindparam("since_ms"))
    ),
)
_UNOPENED = (
    sa.select(escrow_orders.c.number)
    .where(
        escrow_orders.c.buyer == sa.bindparam("of_buyer"),
        escrow_orders.c.key_id == sa.bindparam("of_key"),
        escrow_orders.c.state.in_((OrderState.PLACED, OrderState.PAYING, OrderState.PAID)),
    )
    .order_by(escrow_orders.c.number)
    .with_for_update()
)
_COUNTS = sa.select(escrow_orders.c.key_id, sa.func.count()).group_by(escrow_orders.c.key_id)
_STATES = sa.select(escrow_orders.c.state, sa.func.count()).group_by(escrow_orders.c.state)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which orders: whose, with numbers above `after`, in one state, of one package."""

    whose: Whose = field(default_factory=Whose)
    after: int = 0
    state: str | None = None
    package: str | None = None


def place(connection: sa.Connection, terms: Terms, now_ms: int, house: House) -> Order:
    """Record a new order with its receipt, and return it; the database raises if the id is taken."""
    values = {
        "id": terms.id,
        "key_id": terms.key,
        "package": terms.package,
        "buyer": terms.buyer,
        "seller": terms.seller,
        "price_class": terms.price_class,
        "price_micro": terms.price_micro,
        "fee_micro": terms.fee_micro,
        "currency": terms.currency,
        "state": OrderState.PLACED.value,
        "version": 1,
        "placed_at_ms": now_ms,
        "changed_at_ms": now_ms,
        "until_ms": house.timeouts.until_ms(OrderState.PLACED, now_ms, now_ms),
        "reason": "",
    }
    number = new_number(connection.execute(_ADD, values))
    order = Order(number, terms, OrderState.PLACED, 1, now_ms, now_ms, values["until_ms"])  # type: ignore[arg-type]
    store_receipts.record(connection, house, receipt_of(house, order, "placed"), house.id)
    return order


def find(connection: sa.Connection, order_id: str) -> Order | None:
    """Return the order of an id, if there is one."""
    row = connection.execute(_FIND, {"wanted": order_id}).first()
    return None if row is None else _order(row)


def get(connection: sa.Connection, order_id: str) -> Order:
    """Return the order of an id; raises the refusal `unknown-order`."""
    order = find(connection, order_id)
    if order is None:
        raise refused("unknown-order", "this escrow has no order of that id")
    return order


def change(
    connection: sa.Connection, order: Order, event: Event, now_ms: int, house: House, *, reason: str = ""
) -> Order:
    """Have an event happen to an order as it was read, and return it as it is then; its receipt is stored.

    Raises the refusal `order-state`, before anything is written, if the event does not follow or if the order
    has changed since it was read. `reason` stays with the order until another is given.
    """
    state = next_state(order.state, event)
    until_ms = house.timeouts.until_ms(state, order.placed_at_ms, now_ms)
    why = reason or order.reason
    values = {"wanted": order.id, "read": order.version, "to_state": state.value}
    values |= {"now_ms": now_ms, "ends_ms": until_ms, "why": why}
    if connection.execute(_CHANGE, values).rowcount != 1:
        raise refused("order-state", "the order changed at the same moment; look at it and ask again")
    changed = Order(
        order.number, order.terms, state, order.version + 1, order.placed_at_ms, now_ms, until_ms, why
    )
    kind = KIND_OF.get(state)
    if kind is not None and event is not Event.NOT_COVERED:
        store_receipts.record(connection, house, receipt_of(house, changed, kind), house.id)
    return changed


def silent(connection: sa.Connection, now_ms: int, count: int) -> list[str]:
    """Return the ids of at most `count` orders whose state silence has ended by now, the oldest first."""
    return list(connection.execute(_SILENT, {"now_ms": now_ms, "count": count}).scalars())


def claimed(connection: sa.Connection, after: int, count: int) -> list[Order]:
    """Return at most `count` orders above the number `after` of which money is still to move."""
    return [_order(row) for row in connection.execute(_CLAIMED, {"after": after, "count": count})]


def count_placed(connection: sa.Connection, buyer: str) -> int:
    """Return how many orders of a buyer nobody has paid."""
    return int(connection.execute(_WAITING, {"of_buyer": buyer}).scalar() or 0)


def wait_for_others(connection: sa.Connection, buyer: str, key: str) -> None:
    """Have no other program pay for this buyer under this key until the transaction ends.

    On PostgreSQL by locks on the orders that may be paid, which two payers have in common: each sees its own
    and whatever was placed before. On SQLite there is one writer, and who read before it is refused.
    """
    connection.execute(_UNOPENED, {"of_buyer": buyer, "of_key": key}).all()


def count_back(connection: sa.Connection, buyer: str, key: str, since_ms: int) -> int:
    """Return how many orders of a buyer under a key went back after an instant, or may at any time."""
    values = {"of_buyer": buyer, "of_key": key, "since_ms": since_ms}
    return int(connection.execute(_BACK, values).scalar() or 0)


def counts_by_key(connection: sa.Connection) -> dict[str, int]:
    """Return how many orders there are under each key that has any."""
    return {row[0]: row[1] for row in connection.execute(_COUNTS)}


def counts_by_state(connection: sa.Connection) -> dict[str, int]:
    """Return how many orders there are in each state that has any; walks through an index of all of them."""
    return {row[0]: row[1] for row in connection.execute(_STATES)}


def page(connection: sa.Connection, wanted: Wanted, count: int) -> list[Order]:
    """Return at most `count` orders by number."""
    found = [escrow_orders.c.number > wanted.after]
    if wanted.whose.buyer is not None:
        found.append(escrow_orders.c.buyer == wanted.whose.buyer)
    if wanted.whose.seller is not None:
        found.append(escrow_orders.c.seller == wanted.whose.seller)
    if wanted.state is not None:
        found.append(escrow_orders.c.state == wanted.state)
    if wanted.package is not None:
        found.append(escrow_orders.c.package == wanted.package)
    query = sa.select(escrow_orders).where(*found).order_by(escrow_orders.c.number).limit(count)
    return [_order(row) for row in connection.execute(query)]


def _order(row: sa.Row[Any]) -> Order:
    terms = Terms(
        id=row.id,
        key=row.key_id,
        package=row.package,
        buyer=row.buyer,
        seller=row.seller,
        price_class=row.price_class,
        price_micro=row.price_micro,
        fee_micro=row.fee_micro,
        currency=row.currency,
    )
    return Order(
        number=row.number,
        terms=terms,
        state=OrderState(row.state),
        version=row.version,
        placed_at_ms=row.placed_at_ms,
        changed_at_ms=row.changed_at_ms,
        until_ms=row.until_ms,
        reason=row.reason,
    )
