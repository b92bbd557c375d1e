"""Owns the queries on devices whose person the operator knows."""

from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.keyserver.tables import identified_devices
from sealcast.storage.upsert import insert

_INSERT = insert(identified_devices)
_PUT = _INSERT.on_conflict_do_update(
    index_elements=[identified_devices.c.device],
    set_={name: _INSERT.excluded[name] for name in ("evidence", "identified_by", "identified_at_ms")},
)
_REMOVE = identified_devices.delete().where(identified_devices.c.device == sa.bindparam("wanted"))
_PAGE = (
    sa.select(identified_devices)
    .where(identified_devices.c.device > sa.bindparam("after"))
    .order_by(identified_devices.c.device)
    .limit(sa.bindparam("count"))
)
_ONE = sa.select(identified_devices).where(identified_devices.c.device == sa.bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class Identified:
    """A device whose person is known: by what, to which operator, since when."""

    device: str
    evidence: str
    identified_by: str
    identified_at_ms: int


def put(connection: sa.Connection, identified: Identified) -> None:
    """Note that a device is identified, over what was noted before."""
    connection.execute(
        _PUT,
        {
            "device": identified.device,
            "evidence": identified.evidence,
            "identified_by": identified.identified_by,
            "identified_at_ms": identified.identified_at_ms,
        },
    )


def remove(connection: sa.Connection, device: str) -> bool:
    """Note that a device is identified no more; whether it was."""
    return bool(connection.execute(_REMOVE, {"wanted": device}).rowcount)


def find(connection: sa.Connection, device: str) -> Identified | None:
    """Return what is known of a device, None if it is not identified."""
    row = connection.execute(_ONE, {"wanted": device}).first()
    return None if row is None else Identified(*row)


def page(connection: sa.Connection, after: str, count: int) -> list[Identified]:
    """Return at most `count` identified devices in the order of their ids, behind `after`."""
    return [Identified(*row) for row in connection.execute(_PAGE, {"after": after, "count": count})]
