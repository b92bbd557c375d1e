"""Owns what `--role`, `--bus` and `--db` mean for a key server, together with the configuration."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING

from sealcast.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealcast.config.schema import ClusterSection
    from sealcast.server.settings import ClusterSettings


def cluster_settings(
    section: "ClusterSection", role: str | None, bus: "Sequence[str]"
) -> "ClusterSettings | None":
    """Return how a key server is one of several, None if it is the only one; raises UsageError.

    `role` and `bus` are as the command line has them; either may be left to the configuration.
    """
    from sealcast.config.schema import check_bus
    from sealcast.server.settings import ClusterSettings

    chosen = role or section.role
    parts = [part.strip() for text in bus for part in text.split(",")]
    addresses = tuple(check_bus(part) for part in parts if part) or tuple(section.bus)
    if chosen is None:
        if addresses:
            raise UsageError("a bus is for several key servers: give --role master or --role replica too")
        return None
    if chosen not in {"master", "replica"}:
        raise UsageError(f"no such role: {chosen!r}; it is master or replica")
    if not addresses:
        raise UsageError(f"a {chosen} needs a bus to the others: add --bus nats://HOST:4222")
    return ClusterSettings(
        role="master" if chosen == "master" else "replica",
        bus=addresses,
        bus_credentials=Path(section.bus_credentials) if section.bus_credentials else None,
        bus_ca=Path(section.bus_ca) if section.bus_ca else None,
        prefix=section.prefix,
        stale_after_ms=section.next_s * 1_000,
        lease_ms=section.lease_s * 1_000,
    )


def database_of(
    asked: str | None, configured: str | None, cluster: "ClusterSettings | None"
) -> Path | str | None:
    """Return the database of a key server, None for the one in its state; raises UsageError.

    A replica has a file of its own: what it granted must be on its own disk.
    """
    from sealcast.config.schema import is_address

    named = asked or configured
    if named is None:
        return None
    if not is_address(named):
        return Path.cwd() / named
    if cluster is not None and cluster.role == "replica":
        raise UsageError(
            "a replica has a database of its own: leave --db out, or name a file; PostgreSQL is the master's"
        )
    return named
