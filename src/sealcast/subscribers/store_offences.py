"""Owns the record of offences: illegitimate statements of devices, listed, pardoned, and what they bar."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.subscribers.tables import offences

OFFENCES_LISTED_MAX = 400
"""The newest offences are listed; more would not fit in one answer, nor do these if they are wordy."""

_OPEN = sa.select(sa.literal(1)).where(
    offences.c.device == sa.bindparam("device_id"), offences.c.pardoned_at_ms.is_(None)
)
_COUNT_OPEN = (
    sa.select(sa.func.count())
    .select_from(offences)
    .where(offences.c.device == sa.bindparam("device_id"), offences.c.pardoned_at_ms.is_(None))
)
_ADD = offences.insert()
_LIST = (
    sa.select(
        offences.c.device,
        offences.c.kind,
        offences.c.detail,
        offences.c.statement_sha256,
        offences.c.at_ms,
        offences.c.pardoned_at_ms,
    )
    .order_by(offences.c.number.desc())
    .limit(OFFENCES_LISTED_MAX)
)
_PARDON = (
    offences.update()
    .where(offences.c.device == sa.bindparam("device_id"), offences.c.pardoned_at_ms.is_(None))
    .values(pardoned_at_ms=sa.bindparam("now_ms"))
)


@dataclass(frozen=True, slots=True)
class Offence:
    """An illegitimate statement that a device sent; `kind` is bad, replayed, stale or foreign."""

    device: str
    kind: str
    detail: str
    statement_sha256: bytes
    at_ms: int
    pardoned_at_ms: int | None = None


def in_good_standing(connection: sa.Connection, device: str) -> bool:
    """Return whether a device has no offence that was not pardoned."""
    return connection.execute(_OPEN, {"device_id": device}).first() is None


def count_open(connection: sa.Connection, device: str) -> int:
    """Return how many offences of a device were not pardoned."""
    return int(connection.execute(_COUNT_OPEN, {"device_id": device}).scalar_one())


def add_offence(connection: sa.Connection, offence: Offence) -> None:
    """Record an offence; the device is not in good standing until it is pardoned."""
    connection.execute(
        _ADD,
        {
            "device": offence.device,
            "kind": offence.kind,
            "detail": offence.detail,
            "statement_sha256": offence.statement_sha256,
            "at_ms": offence.at_ms,
            "pardoned_at_ms": offence.pardoned_at_ms,
        },
    )


def all_offences(connection: sa.Connection) -> list[Offence]:
    """Return the offences on record, the newest first, at most OFFENCES_LISTED_MAX."""
    return [Offence(*row) for row in connection.execute(_LIST)]


def pardon(connection: sa.Connection, device: str, now_ms: int) -> int:
    """Pardon all offences of a device that stand; return how many."""
    return connection.execute(_PARDON, {"device_id": device, "now_ms": now_ms}).rowcount
