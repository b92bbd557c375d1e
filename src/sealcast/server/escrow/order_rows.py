"""Owns how orders are shown to those whose they are, and to nobody else."""

import sqlalchemy as sa

from sealcast.core.errors import LocalError
from sealcast.escrow import store_orders, store_receipts
from sealcast.escrow.house import House
from sealcast.escrow.orders import Order
from sealcast.escrow.store_receipts import Whose
from sealcast.keyserver.calls import Call, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.messages.escrow import OrderList, OrderRow


def whose(caller: Principal) -> Whose:
    """Return whose orders a caller may see: a device's and a seller's own, an operator all."""
    if caller.role == "device":
        return Whose(buyer=caller.id)
    if caller.role == "seller":
        return Whose(seller=caller.id)
    if caller.role == "operator":
        return Whose()
    raise LocalError(f"orders are not for the role {caller.role}")


def find_theirs(call: Call, order_id: str) -> Order:
    """Return an order of the caller's; raises the refusals `unknown-order` and `not-your-order`."""
    order, of = store_orders.get(call.connection, order_id), whose(call.caller)
    if of.buyer not in {None, order.terms.buyer} or of.seller not in {None, order.terms.seller}:
        raise refusal("not-your-order", f"the order is not one of {call.caller.id}")
    return order


def order_row(connection: sa.Connection, house: House, order: Order) -> OrderRow:
    """Return an order with its receipts."""
    terms = order.terms
    return OrderRow(
        order=order.id,
        number=order.number,
        state=order.state.value,
        key=terms.key,
        package=terms.package,
        buyer=terms.buyer,
        seller=terms.seller,
        price_class=terms.price_class,
        price_micro=terms.price_micro,
        fee_micro=terms.fee_micro,
        currency=terms.currency,
        placed_at_ms=order.placed_at_ms,
        changed_at_ms=order.changed_at_ms,
        until_ms=order.until_ms,
        reason=order.reason,
        receipts=store_receipts.of_order(connection, house.id, order.id),
    )


def one(call: Call, house: House, order: Order) -> Reply:
    """Return the answer that is one order."""
    return Reply(OrderList(orders=[order_row(call.connection, house, order)]))
