"""Owns the queries on registered devices and senders, and how their keys stand in the database.

Public keys stand as JSON; secrets of symmetric devices wrapped, each under a key of its own.
"""

from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from sealcast.core.secret import Secret
from sealcast.keyserver.calls import Principal
from sealcast.keyserver.tables import principals
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import RegisteredKeys
from sealcast.storage.wrapping import unwrap, wrap

LABEL_MAC = b"sealcast mac 1"
LABEL_KEK = b"sealcast kek 1"
SYMMETRIC, KEY_PAIR = "symmetric", "key-pair"

_BY_ID = sa.select(principals).where(principals.c.id == sa.bindparam("wanted"))
_ALL = sa.select(
    principals.c.id, principals.c.role, principals.c.kind, principals.c.registered_at_ms
).order_by(principals.c.role, principals.c.id)
_ROLE = sa.select(principals.c.role).where(principals.c.id == sa.bindparam("wanted"))


class _PublicKeys(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public part of a principal's keys, as stored."""

    signing: Jwk | None = None
    kek: Jwk | None = None


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """A registered device or sender, without its keys."""

    id: str
    role: str
    kind: str
    registered_at_ms: int


def add(connection: sa.Connection, entry: RegistryEntry, keys: RegisteredKeys, master: Secret) -> None:
    """Store a device or sender and its keys, secrets wrapped under `master`."""
    name = entry.id.encode()
    public = _PublicKeys(
        signing=None if keys.signing.is_secret else keys.signing, kek=None if keys.kek.is_secret else keys.kek
    )
    connection.execute(
        principals.insert(),
        {
            "id": entry.id,
            "role": entry.role,
            "kind": entry.kind,
            "public_keys": encode(public).decode(),
            "wrapped_signing": _wrapped(keys.signing, LABEL_MAC, name, master),
            "wrapped_kek": _wrapped(keys.kek, LABEL_KEK, name, master),
            "registered_at_ms": entry.registered_at_ms,
        },
    )


def find(connection: sa.Connection, principal_id: str, master: Secret) -> Principal | None:
    """Return a registered device or sender with its keys."""
    row = connection.execute(_BY_ID, {"wanted": principal_id}).one_or_none()
    if row is None:
        return None
    public = decode(row.public_keys, _PublicKeys)
    name = principal_id.encode()
    return Principal(
        id=row.id,
        role=row.role,
        signing=public.signing or _unwrapped(row.wrapped_signing, LABEL_MAC, name, master),
        kek=public.kek or _unwrapped(row.wrapped_kek, LABEL_KEK, name, master),
    )


def role_of(connection: sa.Connection, principal_id: str) -> str | None:
    """Return whether an id belongs to a device or a sender, None if to neither."""
    return connection.execute(_ROLE, {"wanted": principal_id}).scalar()


def entries(connection: sa.Connection) -> list[RegistryEntry]:
    """Return all registered devices and senders."""
    return [RegistryEntry(*row) for row in connection.execute(_ALL)]


def _wrapped(key: Jwk, label: bytes, name: bytes, master: Secret) -> bytes | None:
    if not key.is_secret:
        return None
    return wrap(master, label, name, Secret(b64url_decode(key.k or "")))


def _unwrapped(wrapped: bytes, label: bytes, name: bytes, master: Secret) -> Jwk:
    return Jwk(kty="oct", k=b64url_encode(unwrap(master, label, name, wrapped).reveal()))
