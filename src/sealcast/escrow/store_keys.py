"""Owns the queries on keys: one for each seller and price class, with payee and price."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from sealcast.escrow.tables import escrow_keys
from sealcast.messages import jose
from sealcast.messages.encoding import decode
from sealcast.messages.escrow import KeyDocument, LeadKey

_ADD = escrow_keys.insert()
_ALL = sa.select(escrow_keys).order_by(escrow_keys.c.seller, escrow_keys.c.price_class)
_FIND = sa.select(escrow_keys).where(escrow_keys.c.id == sa.bindparam("wanted"))
_OF_SELLER = _ALL.where(escrow_keys.c.seller == sa.bindparam("of_seller"))
_OF_CLASS = _OF_SELLER.where(escrow_keys.c.price_class == sa.bindparam("of_class"))
_CLOSE = (
    escrow_keys.update()
    .where(escrow_keys.c.id == sa.bindparam("wanted"), escrow_keys.c.closed_at_ms.is_(None))
    .values(closed_at_ms=sa.bindparam("now_ms"))
)


@dataclass(frozen=True, slots=True)
class EscrowKey:
    """An RSA key of the escrow: `wrapped` under its master key, or `token_object`, its id in a token.

    `document` is the JWS of its `KeyDocument`; `closed_at_ms` None while it takes orders.
    """

    id: str
    seller: str
    price_class: str
    price_micro: int
    currency: str
    bits: int
    modulus: bytes
    wrapped: bytes | None = field(repr=False)
    token_object: str | None
    document: str
    added_at_ms: int
    closed_at_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it takes new orders."""
        return self.closed_at_ms is None

    @property
    def upon(self) -> LeadKey | None:
        """The key of another escrow upon whose orders it opens; None for one that takes orders itself."""
        return decode(jose.unverified_payload(self.document), KeyDocument).upon


def add(connection: sa.Connection, key: EscrowKey) -> None:
    """Store a new key; the database raises if the seller has one of that price class."""
    values = {each: getattr(key, each) for each in escrow_keys.c.keys()}  # noqa: SIM118 - a collection of columns
    connection.execute(_ADD, values)


def find(connection: sa.Connection, key_id: str) -> EscrowKey | None:
    """Return a key by its id, if there is one."""
    row = connection.execute(_FIND, {"wanted": key_id}).first()
    return None if row is None else _key(row)


def of_class(connection: sa.Connection, seller: str, price_class: str) -> EscrowKey | None:
    """Return a seller's key of a price class, if there is one."""
    row = connection.execute(_OF_CLASS, {"of_seller": seller, "of_class": price_class}).first()
    return None if row is None else _key(row)


def keys(connection: sa.Connection, seller: str | None = None) -> list[EscrowKey]:
    """Return the keys of a seller, or all, by seller and price class."""
    rows = connection.execute(_ALL if seller is None else _OF_SELLER, {"of_seller": seller} if seller else {})
    return [_key(row) for row in rows]


def close(connection: sa.Connection, key_id: str, now_ms: int) -> bool:
    """Have a key take no new orders; False if it took none before."""
    return connection.execute(_CLOSE, {"wanted": key_id, "now_ms": now_ms}).rowcount == 1


def _key(row: sa.Row[Any]) -> EscrowKey:
    return EscrowKey(**row._mapping)  # noqa: SLF001 - its public name
