"""Owns what is attested at which step of an order: the words of the receipts that its parties get."""

from sealcast.escrow.house import House
from sealcast.escrow.orders import Order, OrderState
from sealcast.messages.escrow import Receipt, ReceiptKind

KIND_OF: dict[OrderState, ReceiptKind] = {
    OrderState.PLACED: "placed",
    OrderState.PAID: "paid",
    OrderState.ISSUED: "issued",
    OrderState.DISPUTED: "disputed",
    OrderState.CONFIRMED: "confirmed",
    OrderState.RELEASED: "released",
    OrderState.REFUNDED: "refunded",
    OrderState.EXPIRED: "expired",
}
"""What is attested when an order comes into a state; not of `paying` and `refunding`, which say only that
money is on its way."""


def receipt_of(house: House, order: Order, kind: ReceiptKind) -> Receipt:
    """Return what an escrow attests of an order as it stands now."""
    terms = order.terms
    return Receipt(
        escrow=house.id,
        operator=house.operator,
        order=terms.id,
        kind=kind,
        at_ms=order.changed_at_ms,
        key=terms.key,
        package=terms.package,
        buyer=terms.buyer,
        seller=terms.seller,
        price_micro=terms.price_micro,
        fee_micro=terms.fee_micro,
        currency=terms.currency,
        reason=order.reason,
    )
