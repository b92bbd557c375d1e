"""Owns the queries on certificates: what was issued to whom, until when, and what was revoked."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.keyserver.tables import certificates, principals

USE_SIGNING, USE_KEK = "signing", "kek"

_ADD = certificates.insert()
_NEWEST = (
    sa.select(certificates.c.expires_at_ms, certificates.c.revoked_at_ms)
    .where(certificates.c.principal == sa.bindparam("wanted"), certificates.c.use == USE_SIGNING)
    .order_by(certificates.c.issued_at_ms.desc(), certificates.c.expires_at_ms.desc())
    .limit(1)
)
_NEWEST_OF = (
    sa.select(certificates.c.certificate)
    .where(certificates.c.principal == sa.bindparam("wanted"), certificates.c.use == sa.bindparam("purpose"))
    .order_by(certificates.c.issued_at_ms.desc(), certificates.c.expires_at_ms.desc())
    .limit(1)
)
_LATEST = sa.select(sa.func.max(certificates.c.issued_at_ms)).where(
    certificates.c.principal == sa.bindparam("wanted")
)
_ROWS = (
    sa.select(certificates, principals.c.role)
    .join(principals, principals.c.id == certificates.c.principal)
    .order_by(certificates.c.principal, certificates.c.issued_at_ms, certificates.c.use)
)
_KNOWN = sa.select(certificates.c.serial).where(
    certificates.c.serial.in_(sa.bindparam("serials", expanding=True))
)
_STANDING = _KNOWN.where(certificates.c.revoked_at_ms.is_(None)).add_columns(certificates.c.principal)
_MARK = (
    certificates.update()
    .where(
        certificates.c.serial.in_(sa.bindparam("serials", expanding=True)),
        certificates.c.revoked_at_ms.is_(None),
    )
    .values(revoked_at_ms=sa.bindparam("now_ms"), reason=sa.bindparam("why"))
)
_REVOKED = (
    sa.select(certificates.c.serial, certificates.c.revoked_at_ms, certificates.c.reason)
    .where(certificates.c.revoked_at_ms.is_not(None), certificates.c.expires_at_ms > sa.bindparam("now_ms"))
    .order_by(certificates.c.revoked_at_ms, certificates.c.serial)
)


@dataclass(frozen=True, slots=True)
class CertificateEntry:
    """A certificate that was issued: `serial` in hexadecimal, `certificate` in DER."""

    serial: str
    principal: str
    use: str
    certificate: bytes
    issued_at_ms: int
    expires_at_ms: int
    revoked_at_ms: int | None = None
    reason: str | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a certified party stands: by its newest signing certificate."""

    expires_at_ms: int
    is_revoked: bool


@dataclass(frozen=True, slots=True)
class Revoked:
    """One line of the revocation list."""

    serial: str
    revoked_at_ms: int
    reason: str


def add(connection: sa.Connection, entries: tuple[CertificateEntry, ...]) -> None:
    """Store certificates that were issued to one party.

    Theirs is the latest time of issue, so that the newest count even where the clock was set back.
    """
    latest_ms = connection.execute(_LATEST, {"wanted": entries[0].principal}).scalar()
    after_ms = -1 if latest_ms is None else latest_ms
    connection.execute(
        _ADD,
        [
            {
                "serial": entry.serial,
                "principal": entry.principal,
                "use": entry.use,
                "certificate": entry.certificate,
                "issued_at_ms": max(entry.issued_at_ms, after_ms + 1),
                "expires_at_ms": entry.expires_at_ms,
            }
            for entry in entries
        ],
    )


def standing(connection: sa.Connection, principal_id: str) -> Standing | None:
    """Return how a party stands; None if it has no certificate."""
    row = connection.execute(_NEWEST, {"wanted": principal_id}).first()
    return None if row is None else Standing(row.expires_at_ms, row.revoked_at_ms is not None)


def newest(connection: sa.Connection, principal_id: str) -> tuple[bytes, bytes] | None:
    """Return a party's newest certificates for its signing key and its KEK, in DER; None if it has none."""
    pair = [
        connection.execute(_NEWEST_OF, {"wanted": principal_id, "purpose": use}).scalar()
        for use in (USE_SIGNING, USE_KEK)
    ]
    return None if pair[0] is None or pair[1] is None else (pair[0], pair[1])


def entries(connection: sa.Connection) -> list[CertificateEntry]:
    """Return every certificate that was issued, by party and time."""
    return [CertificateEntry(**row._mapping) for row in connection.execute(_ROWS)]  # noqa: SLF001 - its public name


def revoke(
    connection: sa.Connection,
    now_ms: int,
    reason: str,
    *,
    principal_id: str | None = None,
    serial: str | None = None,
) -> list[CertificateEntry]:
    """Revoke the valid certificates of a party, or one with the others for the same party's keys.

    Returns those revoked now; an empty list says that there was nothing to revoke. A party's certificates
    stand and fall together: a revoked KEK with a valid signing key would be of no use to anybody.
    """
    if serial is not None:
        found = connection.execute(
            sa.select(certificates.c.principal).where(certificates.c.serial == serial)
        ).scalar()
        principal_id = found
    if principal_id is None:
        return []
    live = (
        certificates.c.principal == principal_id,
        certificates.c.revoked_at_ms.is_(None),
        certificates.c.expires_at_ms > now_ms,
    )
    serials = list(connection.execute(sa.select(certificates.c.serial).where(*live)).scalars())
    connection.execute(certificates.update().where(*live).values(revoked_at_ms=now_ms, reason=reason))
    return [entry for entry in entries(connection) if entry.serial in serials]


def is_known(connection: sa.Connection, serial: str) -> bool:
    """Whether a certificate is on record."""
    return connection.execute(_KNOWN, {"serials": [serial]}).first() is not None


def mark_revoked(connection: sa.Connection, serials: Sequence[str], now_ms: int, reason: str) -> set[str]:
    """Note that others have revoked these certificates, each by itself; return whose they are.

    Serials that are not on record, or were marked before, are passed over. At most some hundred at a time.
    """
    found = connection.execute(_STANDING, {"serials": list(serials)}).all()
    if found:
        values = {"serials": [row.serial for row in found], "now_ms": now_ms, "why": reason}
        connection.execute(_MARK, values)
    return {row.principal for row in found}


def revoked(connection: sa.Connection, now_ms: int) -> list[Revoked]:
    """Return the revoked certificates that have not expired: the lines of the revocation list."""
    return [Revoked(*row) for row in connection.execute(_REVOKED, {"now_ms": now_ms})]
