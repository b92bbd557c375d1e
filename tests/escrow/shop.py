"""Owns an escrow's records for tests: a house, a seller with its keys, a buyer with money, orders."""

import sqlalchemy as sa

from sealcast.escrow import store_keys, store_orders, store_sellers
from sealcast.escrow.house import House
from sealcast.escrow.moving import Treasury
from sealcast.escrow.orders import Event, Order, OrderState, Terms
from sealcast.escrow.payments import Payments, buyer_account, deposit
from sealcast.escrow.rules import Actor, Timeouts, fee_micro
from sealcast.escrow.store_keys import EscrowKey
from sealcast.ledger.entries import Posting
from sealcast.messages.encoding import b64url_encode, decode
from sealcast.messages.escrow import TYP_ESCROW_RECEIPT, Receipt
from sealcast.messages.jose import verify
from sealcast.messages.jwk import new_signing_pair
from sealcast.testing import SimRandom

NOW_MS = 1_800_000_000_000
EURO = 1_000_000
BUYER, SELLER, PRICE, FEE = "TV-1", "ACME", 10 * EURO, 100
DEPOSIT = 25 * EURO
KEY, FREE, OTHER = "film", "gift", "dear"
PACKAGE = b64url_encode(bytes(16))
PRICES = {KEY: PRICE, FREE: 0, OTHER: 40 * EURO}
SIGNING = new_signing_pair(SimRandom("escrow"))
HOUSE = House("escrow-1", "Example TV", SIGNING, "a certificate")
TREASURY = Treasury(HOUSE)


def house(timeouts: Timeouts) -> House:
    """Return the house with other waits."""
    return House(HOUSE.id, HOUSE.operator, SIGNING, HOUSE.certificate, timeouts)


def treasury(payments: Payments | None, timeouts: Timeouts | None = None) -> Treasury:
    """Return a treasury that pays elsewhere, or here for None."""
    return Treasury(house(timeouts or Timeouts()), payments)


def a_key(name: str, price_micro: int, seller: str = SELLER) -> EscrowKey:
    """Return a key of a price class of that name; its modulus is nobody's."""
    return EscrowKey(
        id=name,
        seller=seller,
        price_class=name,
        price_micro=price_micro,
        currency="EUR",
        bits=3_072,
        modulus=b"\x01" * 384,
        wrapped=b"\x02" * 40,
        token_object=None,
        document="a.b.c",
        added_at_ms=NOW_MS,
    )


def fill(connection: sa.Connection) -> None:
    """Admit the seller with its keys, and have the buyer pay in."""
    store_sellers.admit(connection, SELLER, FEE, NOW_MS)
    for name, price_micro in PRICES.items():
        store_keys.add(connection, a_key(name, price_micro))
    pay_in(connection, BUYER, DEPOSIT, "first")


def pay_in(connection: sa.Connection, buyer: str, amount_micro: int, reference: str) -> None:
    """Have a buyer pay in."""
    paid = Posting(buyer_account(buyer), amount_micro)
    assert deposit(connection, f"deposit-{reference}", paid, "EUR", NOW_MS)


def terms(name: str = "1", key: str = KEY, buyer: str = BUYER) -> Terms:
    """Return the terms of an order that is called so."""
    price = PRICES[key]
    id_ = name.ljust(22, "-")
    return Terms(id_, key, PACKAGE, buyer, SELLER, key, price, fee_micro(price, FEE), "EUR")


def place(connection: sa.Connection, name: str = "1", key: str = KEY, buyer: str = BUYER) -> Order:
    """Place an order."""
    return store_orders.place(connection, terms(name, key, buyer), NOW_MS, HOUSE)


def bring_to(connection: sa.Connection, order: Order, state: OrderState) -> Order:
    """Bring an order that was placed to a state before its end, with the money in the embedded ledger."""
    ways = {
        OrderState.PLACED: (),
        OrderState.PAID: (Event.PAY,),
        OrderState.ISSUED: (Event.PAY, Event.OPEN),
        OrderState.DISPUTED: (Event.PAY, Event.OPEN, Event.DISPUTE),
    }
    for event in ways[state]:
        order = TREASURY.act(connection, order, event, Actor.BUYER, NOW_MS)
    assert order.state is state
    return order


def receipt(token: str) -> Receipt:
    """Return what a receipt says, its signature verified."""
    return decode(verify(token, SIGNING.public(), typ=TYP_ESCROW_RECEIPT), Receipt)
