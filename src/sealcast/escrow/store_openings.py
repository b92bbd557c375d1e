"""Owns the queries on openings: what c' an order opened here, and what came of it, for ever."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.escrow.tables import escrow_openings

_ADD = escrow_openings.insert()
_FIND = sa.select(escrow_openings).where(
    escrow_openings.c.lead == sa.bindparam("of_lead"),
    escrow_openings.c.order_id == sa.bindparam("of_order"),
)


@dataclass(frozen=True, slots=True)
class Opening:
    """c' and m of one order, which the escrow `lead` has; both are blinded by the device."""

    lead: str
    order: str
    key: str
    buyer: str
    blinded: bytes
    opened: bytes
    at_ms: int


def find(connection: sa.Connection, lead: str, order_id: str) -> Opening | None:
    """Return what an order of the escrow `lead` opened here, if it did."""
    row = connection.execute(_FIND, {"of_lead": lead, "of_order": order_id}).first()
    return None if row is None else Opening(*row)


def add(connection: sa.Connection, opening: Opening) -> None:
    """Store an opening; the database raises if that order has opened anything here."""
    connection.execute(
        _ADD,
        {
            "lead": opening.lead,
            "order_id": opening.order,
            "key_id": opening.key,
            "buyer": opening.buyer,
            "blinded": opening.blinded,
            "opened": opening.opened,
            "at_ms": opening.at_ms,
        },
    )
