"""Owns the queries on registered parties, and how their keys stand in the database.

Public keys stand as JSON; secrets of symmetric devices wrapped, each under a key of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from sealcast.core.secret import Secret
from sealcast.keyserver import store_certificates
from sealcast.keyserver.calls import Principal
from sealcast.keyserver.tables import principals
from sealcast.messages.encoding import b64url_decode, b64url_encode, decode, encode
from sealcast.messages.jwk import Jwk
from sealcast.messages.requests import RegisteredKeys
from sealcast.storage.upsert import insert
from sealcast.storage.wrapping import unwrap, wrap

LABEL_MAC = b"sealcast mac 1"
LABEL_KEK = b"sealcast kek 1"
SYMMETRIC, KEY_PAIR, CERTIFICATE = "symmetric", "key-pair", "certificate"
"""The kinds of parties, by what they are known under."""

_LIVE = principals.c.removed_at_ms.is_(None)
_AMONG = (
    sa.select(principals)
    .where(principals.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(principals.c.id)
)
_BY_ID = sa.select(principals).where(principals.c.id == sa.bindparam("wanted"), _LIVE)
_ALL = (
    sa.select(principals.c.id, principals.c.role, principals.c.kind, principals.c.registered_at_ms)
    .where(_LIVE)
    .order_by(principals.c.role, principals.c.id)
)
_ROLE = sa.select(principals.c.role).where(principals.c.id == sa.bindparam("wanted"), _LIVE)
_SINCE = sa.select(principals.c.registered_at_ms).where(principals.c.id == sa.bindparam("wanted"), _LIVE)
_DEVICES_AMONG = sa.select(principals.c.id).where(
    principals.c.id.in_(sa.bindparam("ids", expanding=True)), principals.c.role == "device", _LIVE
)
_INSERT = insert(principals)
_ADD = _INSERT.on_conflict_do_update(
    index_elements=[principals.c.id],
    set_={column.name: _INSERT.excluded[column.name] for column in principals.c if column.name != "id"},
    where=principals.c.removed_at_ms.is_not(None),
)
_REMOVE = (
    principals.update()
    .where(principals.c.id == sa.bindparam("wanted"), _LIVE)
    .values(
        public_keys=None,
        wrapped_signing=None,
        wrapped_kek=None,
        removed_at_ms=sa.bindparam("now_ms"),
    )
)


class _PublicKeys(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public part of a principal's keys, as stored."""

    signing: Jwk | None = None
    kek: Jwk | None = None


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """A registered party, without its keys."""

    id: str
    role: str
    kind: str
    registered_at_ms: int


@dataclass(frozen=True, slots=True)
class Registered:
    """A party that is or was registered, with its keys; None once it was removed."""

    entry: RegistryEntry
    removed_at_ms: int | None
    keys: RegisteredKeys | None


def add(connection: sa.Connection, entry: RegistryEntry, keys: RegisteredKeys, master: Secret) -> None:
    """Store a party and its keys, secrets wrapped under `master`; the id is free, or that of one removed."""
    name = entry.id.encode()
    public = _PublicKeys(
        signing=None if keys.signing.is_secret else keys.signing, kek=None if keys.kek.is_secret else keys.kek
    )
    connection.execute(
        _ADD,
        {
            "id": entry.id,
            "role": entry.role,
            "kind": entry.kind,
            "public_keys": encode(public).decode(),
            "wrapped_signing": _wrapped(keys.signing, LABEL_MAC, name, master),
            "wrapped_kek": _wrapped(keys.kek, LABEL_KEK, name, master),
            "registered_at_ms": entry.registered_at_ms,
            "removed_at_ms": None,
        },
    )


def remove(connection: sa.Connection, principal_id: str, now_ms: int) -> None:
    """Erase a party's keys and note that it is gone; its row stays, for what refers to it."""
    connection.execute(_REMOVE, {"wanted": principal_id, "now_ms": now_ms})


def find(connection: sa.Connection, principal_id: str, master: Secret) -> Principal | None:
    """Return a registered party with its keys, and how it stands if it is certified."""
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
        standing=store_certificates.standing(connection, row.id) if row.kind == CERTIFICATE else None,
    )


def among(connection: sa.Connection, ids: Sequence[str], master: Secret) -> list[Registered]:
    """Return the parties of these ids, also removed ones, by id; unknown ids are left out."""
    return [_registered(row, master) for row in connection.execute(_AMONG, {"ids": ids})]


def role_of(connection: sa.Connection, principal_id: str) -> str | None:
    """Return the role of the party of that id, None if there is none."""
    return connection.execute(_ROLE, {"wanted": principal_id}).scalar()


def registered_at_ms(connection: sa.Connection, principal_id: str) -> int:
    """Return since when the party of that id has its keys; 0 if there is none."""
    return int(connection.execute(_SINCE, {"wanted": principal_id}).scalar() or 0)


def devices_among(connection: sa.Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these ids are those of registered devices."""
    return set(connection.execute(_DEVICES_AMONG, {"ids": ids}).scalars())


def entries(connection: sa.Connection) -> list[RegistryEntry]:
    """Return all registered parties."""
    return [RegistryEntry(*row) for row in connection.execute(_ALL)]


def _registered(row: sa.Row[Any], master: Secret) -> Registered:
    entry = RegistryEntry(row.id, row.role, row.kind, row.registered_at_ms)
    if row.removed_at_ms is not None or row.public_keys is None:
        return Registered(entry, row.removed_at_ms, None)
    public, name = decode(row.public_keys, _PublicKeys), row.id.encode()
    keys = RegisteredKeys(
        signing=public.signing or _unwrapped(row.wrapped_signing, LABEL_MAC, name, master),
        kek=public.kek or _unwrapped(row.wrapped_kek, LABEL_KEK, name, master),
    )
    return Registered(entry, None, keys)


def _wrapped(key: Jwk, label: bytes, name: bytes, master: Secret) -> bytes | None:
    if not key.is_secret:
        return None
    return wrap(master, label, name, Secret(b64url_decode(key.k or "")))


def _unwrapped(wrapped: bytes, label: bytes, name: bytes, master: Secret) -> Jwk:
    return Jwk(kty="oct", k=b64url_encode(unwrap(master, label, name, wrapped).reveal()))
