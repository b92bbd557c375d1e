"""Owns the queries on revoked escrows: certificates by the operator's CA, not on record otherwise."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.keyserver.store_certificates import Revoked
from sealcast.keyserver.tables import revoked_escrows
from sealcast.storage.upsert import insert

_ADD = insert(revoked_escrows).on_conflict_do_nothing(index_elements=[revoked_escrows.c.serial])
_ALL = sa.select(revoked_escrows).order_by(revoked_escrows.c.revoked_at_ms, revoked_escrows.c.serial)
_LISTED = _ALL.where(revoked_escrows.c.expires_at_ms > sa.bindparam("now_ms"))


@dataclass(frozen=True, slots=True)
class RevokedEscrow:
    """An escrow's certificate that was revoked; `serial` in hexadecimal."""

    serial: str
    escrow: str
    expires_at_ms: int
    revoked_at_ms: int
    reason: str


def add(connection: sa.Connection, gone: RevokedEscrow) -> bool:
    """Note that an escrow's certificate is revoked; whether it was not before."""
    values = {
        "serial": gone.serial,
        "escrow": gone.escrow,
        "expires_at_ms": gone.expires_at_ms,
        "revoked_at_ms": gone.revoked_at_ms,
        "reason": gone.reason,
    }
    return bool(connection.execute(_ADD, values).rowcount)


def entries(connection: sa.Connection) -> list[RevokedEscrow]:
    """Return all that were revoked, by time."""
    return [RevokedEscrow(*row) for row in connection.execute(_ALL)]


def revoked(connection: sa.Connection, now_ms: int) -> list[Revoked]:
    """Return those that have not expired: lines of the revocation list."""
    rows = connection.execute(_LISTED, {"now_ms": now_ms})
    return [Revoked(row.serial, row.revoked_at_ms, row.reason) for row in rows]
