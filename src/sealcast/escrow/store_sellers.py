"""Owns the queries on sellers: who was admitted, and how much of each price stays with the escrow."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.escrow.tables import escrow_keys, escrow_sellers
from sealcast.storage.upsert import insert

_ADMIT = insert(escrow_sellers).on_conflict_do_update(
    index_elements=[escrow_sellers.c.seller],
    set_={"fee_per_mille": insert(escrow_sellers).excluded.fee_per_mille},
)
_KEYS = (
    sa.select(escrow_keys.c.seller, sa.func.count().label("keys")).group_by(escrow_keys.c.seller).subquery()
)
_ALL = (
    sa.select(escrow_sellers, sa.func.coalesce(_KEYS.c["keys"], 0).label("keys"))
    .outerjoin(_KEYS, _KEYS.c.seller == escrow_sellers.c.seller)
    .order_by(escrow_sellers.c.seller)
)
_FIND = _ALL.where(escrow_sellers.c.seller == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Seller:
    """A seller that was admitted; `keys` is how many it has."""

    id: str
    fee_per_mille: int
    admitted_at_ms: int
    keys: int = 0


def admit(connection: sa.Connection, seller: str, fee_per_mille: int, now_ms: int) -> None:
    """Admit a seller, or change its fee: that of orders to come."""
    values = {"seller": seller, "fee_per_mille": fee_per_mille, "admitted_at_ms": now_ms}
    connection.execute(_ADMIT, values)


def find(connection: sa.Connection, seller: str) -> Seller | None:
    """Return a seller, if it was admitted."""
    row = connection.execute(_FIND, {"wanted": seller}).first()
    return None if row is None else Seller(row.seller, row.fee_per_mille, row.admitted_at_ms, row.keys)


def sellers(connection: sa.Connection) -> list[Seller]:
    """Return all sellers by id."""
    return [
        Seller(row.seller, row.fee_per_mille, row.admitted_at_ms, row.keys)
        for row in connection.execute(_ALL)
    ]
