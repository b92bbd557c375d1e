"""Owns telling the master of a replica's receptions: what changed goes into the journal every few seconds.

A trigger of the writer's own connection notes the numbers of rows that change; it lives as long as the
connection. So what the reception manager does here is the same as everywhere, and a start tells once more of
all that live or ended lately, because what was noted before it is gone.
"""

import asyncio
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_outbox
from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.messages.cluster import ReceptionRow
from sealcast.reception.tables import receptions
from sealcast.storage.unitofwork import UnitOfWork

EVERY_S = 5.0
"""As often as the reception manager stores what it heard."""

AT_ONCE_MAX = 500
"""Rows in one unit of work: some milliseconds, so that no key request waits for them."""

ENDED_LATELY_MS = 3_600_000
"""Receptions that ended within this before a start are told of again: a crash may have kept them back."""

SEEN_PER_HEARTBEAT = 1.5
"""While nothing changes but that a receiver is there still, it is told of after so many heartbeats: well
before three of them, after which it would be taken for gone."""

_MAKE = "CREATE TEMP TABLE IF NOT EXISTS noted_receptions (number INTEGER PRIMARY KEY)"
_ON_INSERT = """
    CREATE TEMP TRIGGER IF NOT EXISTS noted_begun AFTER INSERT ON main.receptions
    BEGIN INSERT OR IGNORE INTO noted_receptions VALUES (NEW.number); END
"""
_ON_UPDATE = """
    CREATE TEMP TRIGGER IF NOT EXISTS noted_changed AFTER UPDATE ON main.receptions
    WHEN NEW.ended_at_ms IS NOT OLD.ended_at_ms OR NEW.first_epoch IS NOT OLD.first_epoch
    OR NEW.last_epoch IS NOT OLD.last_epoch OR NEW.seen_ms / {span_ms} <> OLD.seen_ms / {span_ms}
    BEGIN INSERT OR IGNORE INTO noted_receptions VALUES (NEW.number); END
"""
_NOTE_ALL = sa.text("""
    INSERT OR IGNORE INTO noted_receptions SELECT number FROM receptions
    WHERE ended_at_ms IS NULL OR ended_at_ms > :since_ms
""")
_COLUMNS = tuple(receptions.c[name] for name in ReceptionRow.__struct_fields__)
_CHANGED = (
    sa.select(receptions.c.number, *_COLUMNS)
    .where(receptions.c.number.in_(sa.text("SELECT number FROM noted_receptions")))
    .order_by(receptions.c.number)
    .limit(AT_ONCE_MAX)
)
_FORGET = sa.text("DELETE FROM noted_receptions WHERE number <= :last")

log = structlog.get_logger("sealcast.server")


def watch(connection: sa.Connection, heartbeat_ms: int, wall_ms: int) -> None:
    """Begin to note receptions that change over this connection, and all that a master may not know."""
    connection.exec_driver_sql(_MAKE)
    connection.exec_driver_sql(_ON_INSERT)
    span_ms = max(1, int(SEEN_PER_HEARTBEAT * heartbeat_ms))
    connection.exec_driver_sql(_ON_UPDATE.format(span_ms=span_ms))
    connection.execute(_NOTE_ALL, {"since_ms": wall_ms - ENDED_LATELY_MS})


def collect(connection: sa.Connection) -> int:
    """Put receptions that changed into the journal, at most `AT_ONCE_MAX`; return how many."""
    changed = list(connection.execute(_CHANGED))
    for number, *fields in changed:
        _ = number
        row = ReceptionRow(**dict(zip(ReceptionRow.__struct_fields__, fields, strict=True)))
        store_outbox.add(connection, row)
    if changed:
        connection.execute(_FORGET, {"last": changed[-1].number})
    return len(changed)


class ReceptionJournal:
    """Collects from `start` until `close`."""

    def __init__(self, unit_of_work: UnitOfWork, clock: Clock) -> None:
        self._unit_of_work, self._clock = unit_of_work, clock

    async def start(self, heartbeat_ms: int) -> None:
        """Begin to note what changes."""
        wall_ms = self._clock.wall_ns() // NS_PER_MS
        await self._unit_of_work.run(partial(watch, heartbeat_ms=heartbeat_ms, wall_ms=wall_ms))

    async def run(self) -> None:
        """Put what changed into the journal every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.collect()
            except SealcastError as error:
                log.warning("receptions were not put into the journal", reason=str(error))

    async def close(self) -> None:
        """Put the last ones into the journal; those that the disk does not take are told of after a start."""
        try:
            await self.collect()
        except SealcastError as error:
            log.warning("receptions were not put into the journal", reason=str(error))

    async def collect(self) -> None:
        """Put all that changed into the journal now; a few rows at a time, so that others have a turn."""
        taken = AT_ONCE_MAX
        while taken == AT_ONCE_MAX:
            taken = await self._unit_of_work.run(collect)
