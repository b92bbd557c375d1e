"""Owns the queries on receipts: each is signed and stored in the transaction of what it attests."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.escrow.house import House
from sealcast.escrow.tables import escrow_receipts
from sealcast.messages.escrow import NoticeRow, Receipt

_ADD = escrow_receipts.insert()
_OF_ORDER = (
    sa.select(escrow_receipts.c.receipt)
    .where(
        escrow_receipts.c.lead == sa.bindparam("of_lead"),
        escrow_receipts.c.order_id == sa.bindparam("wanted"),
    )
    .order_by(escrow_receipts.c.number)
)
_FIND = _OF_ORDER.where(
    escrow_receipts.c.kind == sa.bindparam("of_kind"), escrow_receipts.c.key_id == sa.bindparam("of_key")
)
_PAGE = (
    sa.select(escrow_receipts)
    .where(escrow_receipts.c.number > sa.bindparam("after"))
    .order_by(escrow_receipts.c.number)
    .limit(sa.bindparam("count"))
)
_PAGE_OF_BUYER = _PAGE.where(escrow_receipts.c.buyer == sa.bindparam("party"))
_PAGE_OF_SELLER = _PAGE.where(escrow_receipts.c.seller == sa.bindparam("party"))


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose orders are looked at: a buyer's, a seller's, or with neither all."""

    buyer: str | None = None
    seller: str | None = None


def record(connection: sa.Connection, house: House, receipt: Receipt, lead: str) -> str:
    """Sign and store a receipt, of an order that the escrow `lead` has, and return the JWS.

    The database raises if there is one of that kind, order and key.
    """
    token = house.attest(receipt)
    connection.execute(
        _ADD,
        {
            "lead": lead,
            "order_id": receipt.order,
            "kind": receipt.kind,
            "key_id": receipt.key,
            "buyer": receipt.buyer,
            "seller": receipt.seller,
            "at_ms": receipt.at_ms,
            "receipt": token,
        },
    )
    return token


def of_order(connection: sa.Connection, lead: str, order_id: str) -> list[str]:
    """Return the receipts of an order as JWS, oldest first."""
    return list(connection.execute(_OF_ORDER, {"of_lead": lead, "wanted": order_id}).scalars())


def find(connection: sa.Connection, lead: str, order_id: str, kind: str, key: str) -> str | None:
    """Return one receipt as JWS, if there is one of that kind."""
    values = {"of_lead": lead, "wanted": order_id, "of_kind": kind, "of_key": key}
    token: str | None = connection.execute(_FIND, values).scalar()
    return token


def page(connection: sa.Connection, whose: Whose, after: int, count: int) -> list[NoticeRow]:
    """Return at most `count` receipts above the number `after`, oldest first."""
    query, party = _PAGE, None
    if whose.buyer is not None:
        query, party = _PAGE_OF_BUYER, whose.buyer
    elif whose.seller is not None:
        query, party = _PAGE_OF_SELLER, whose.seller
    rows = connection.execute(query, {"after": after, "count": count, "party": party})
    return [
        NoticeRow(number=row.number, order=row.order_id, kind=row.kind, at_ms=row.at_ms, receipt=row.receipt)
        for row in rows
    ]
