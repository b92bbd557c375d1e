"""Owns the queries on tariffs and their versions; a version that was added never changes."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from sealcast.billing.tables import tariff_versions
from sealcast.billing.tables import tariffs as tariff_table
from sealcast.billing.tariffs import Tariff, TariffVersion
from sealcast.billing.terms import decode_terms, encode_terms, terms_of, version_of

_VERSIONS = (
    sa.select(tariff_table.c.name, tariff_table.c.currency, tariff_versions)
    .join(tariff_versions, tariff_versions.c.tariff == tariff_table.c.name)
    .order_by(tariff_table.c.name, tariff_versions.c.valid_from_ms)
)
_NAMED = _VERSIONS.where(tariff_table.c.name.in_(sa.bindparam("names", expanding=True)))
_NAMES_BEHIND = (
    sa.select(tariff_table.c.name)
    .where(tariff_table.c.name > sa.bindparam("after"))
    .order_by(tariff_table.c.name)
    .limit(sa.bindparam("count"))
)


def tariffs(connection: sa.Connection, names: Iterable[str] | None = None) -> Mapping[str, Tariff]:
    """Return tariffs by name, all or those of `names` that there are."""
    wanted = None if names is None else {"names": sorted(set(names))}
    rows = connection.execute(_VERSIONS) if wanted is None else connection.execute(_NAMED, wanted)
    versions: dict[str, list[TariffVersion]] = {}
    for row in rows:
        terms = decode_terms(row.terms)
        version = version_of(row.currency, terms, row.valid_from_ms, row.valid_until_ms)
        versions.setdefault(row.name, []).append(version)
    return {name: Tariff(name, tuple(each)) for name, each in versions.items()}


def find(connection: sa.Connection, name: str) -> Tariff | None:
    """Return the tariff of that name."""
    return tariffs(connection, [name]).get(name)


def names_behind(connection: sa.Connection, after: str, count: int) -> list[str]:
    """Return the names of at most `count` tariffs behind `after`, in order."""
    return list(connection.execute(_NAMES_BEHIND, {"after": after, "count": count}).scalars())


def add(connection: sa.Connection, name: str, version: TariffVersion, now_ms: int) -> None:
    """Store a tariff that is new with its first version."""
    values = {"name": name, "currency": version.currency, "added_at_ms": now_ms}
    connection.execute(tariff_table.insert(), values)
    add_version(connection, name, version, now_ms)


def add_version(connection: sa.Connection, name: str, version: TariffVersion, now_ms: int) -> None:
    """Store another version of a tariff, in its currency; the versions have to fit (`Tariff`)."""
    values = {
        "tariff": name,
        "valid_from_ms": version.valid_from_ms,
        "valid_until_ms": version.valid_until_ms,
        "terms": encode_terms(terms_of(version)),
        "added_at_ms": now_ms,
    }
    connection.execute(tariff_versions.insert(), values)
