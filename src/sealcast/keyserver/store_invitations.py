"""Owns the queries on invitations: what was promised to whoever holds a token, and who used it."""

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from sealcast.core.ids import ChannelNumber
from sealcast.keyserver.tables import invitations
from sealcast.messages.encoding import decode
from sealcast.storage.upsert import new_number

LISTED_MAX = 1_000
"""The newest invitations are listed; more would not fit in one answer."""

NUMBER_MAX = 2**63 - 1
"""What the database can hold; no number comes near."""

OPEN, USED, EXPIRED, CANCELLED = "open", "used", "expired", "cancelled"

_ADD = invitations.insert()
_BY_TOKEN = sa.select(invitations).where(invitations.c.token_hash == sa.bindparam("wanted"))
_NEWEST = sa.select(invitations).order_by(invitations.c.number.desc()).limit(LISTED_MAX)
_IS_OPEN = (invitations.c.used_at_ms.is_(None), invitations.c.cancelled_at_ms.is_(None))
_CANCEL = (
    invitations.update()
    .where(
        invitations.c.number == sa.bindparam("wanted"),
        invitations.c.expires_at_ms > sa.bindparam("now_ms"),
        *_IS_OPEN,
    )
    .values(cancelled_at_ms=sa.bindparam("now_ms"))
)
_USE = (
    invitations.update()
    .where(invitations.c.number == sa.bindparam("wanted"), *_IS_OPEN)
    .values(used_at_ms=sa.bindparam("now_ms"), used_by=sa.bindparam("by"), used_key=sa.bindparam("key"))
)


@dataclass(frozen=True, slots=True)
class Invited:
    """One invitation as stored; `channels` are numbers, which no other channel will ever have."""

    number: int
    role: str
    id: str | None
    channels: tuple[ChannelNumber, ...]
    expires_at_ms: int
    cancelled_at_ms: int | None = None
    used_by: str | None = None
    used_key: bytes | None = None

    def state(self, wall_ms: int) -> str:
        """Return `open`, `used`, `expired` or `cancelled`; one that was used stays so."""
        if self.cancelled_at_ms is not None:
            return CANCELLED
        if self.used_by is not None:
            return USED
        return EXPIRED if self.expires_at_ms <= wall_ms else OPEN


def add(connection: sa.Connection, token_hash: bytes, invited: Invited, now_ms: int) -> int:
    """Store an invitation and return its number; the one in `invited` is not looked at."""
    inserted = connection.execute(
        _ADD,
        {
            "token_hash": token_hash,
            "role": invited.role,
            "id": invited.id,
            "channels": msgspec.json.encode(invited.channels).decode(),
            "invited_at_ms": now_ms,
            "expires_at_ms": invited.expires_at_ms,
        },
    )
    return new_number(inserted)


def find(connection: sa.Connection, token_hash: bytes) -> Invited | None:
    """Return the invitation of a token, whatever its state."""
    row = connection.execute(_BY_TOKEN, {"wanted": token_hash}).one_or_none()
    return None if row is None else _invited(row)


def newest(connection: sa.Connection) -> list[Invited]:
    """Return the newest invitations, the latest first."""
    return [_invited(row) for row in connection.execute(_NEWEST)]


def cancel(connection: sa.Connection, number: int, now_ms: int) -> bool:
    """Withdraw an open invitation; False if there is none of that number."""
    if not 0 < number <= NUMBER_MAX:
        return False
    return connection.execute(_CANCEL, {"wanted": number, "now_ms": now_ms}).rowcount > 0


def use(connection: sa.Connection, number: int, by: str, key: bytes, now_ms: int) -> None:
    """Note who used an invitation, and the thumbprint of the signing key that it came with."""
    connection.execute(_USE, {"wanted": number, "by": by, "key": key, "now_ms": now_ms})


def _invited(row: sa.Row[tuple[object, ...]]) -> Invited:
    return Invited(
        number=row.number,
        role=row.role,
        id=row.id,
        channels=tuple(ChannelNumber(number) for number in decode(row.channels, list[int])),
        expires_at_ms=row.expires_at_ms,
        cancelled_at_ms=row.cancelled_at_ms,
        used_by=row.used_by,
        used_key=row.used_key,
    )
