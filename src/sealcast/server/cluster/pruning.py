"""Owns what a replica forgets: the master has it all, and a replica's disk need not grow with the years."""

import asyncio
from functools import partial

import sqlalchemy as sa
import structlog

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock
from sealcast.keys.table import KeyState
from sealcast.keyserver.tables import epochs, grants
from sealcast.reception.tables import receptions
from sealcast.storage.unitofwork import UnitOfWork

KEPT_MS = 8 * 86_400_000
"""A grant of a chain counts as long as the chain lives, which is a week at most (`messages.channels`)."""

AT_ONCE_MAX = 500
"""Rows of each kind forgotten in one unit of work: a few milliseconds."""

EVERY_S = 30.0

_OLD_GRANTS = (
    sa.select(grants.c.device, grants.c.channel, grants.c.epoch)
    .join(epochs, sa.and_(epochs.c.channel == grants.c.channel, epochs.c.epoch == grants.c.epoch))
    .where(epochs.c.state == KeyState.RETIRED.name, epochs.c.retired_at_ms < sa.bindparam("before_ms"))
    .limit(AT_ONCE_MAX)
)
_FORGET_GRANTS = grants.delete().where(
    sa.tuple_(grants.c.device, grants.c.channel, grants.c.epoch).in_(_OLD_GRANTS)
)
_IS_GRANTED = (
    sa.select(sa.literal(1))
    .where(grants.c.channel == epochs.c.channel, grants.c.epoch == epochs.c.epoch)
    .exists()
)
_OLD_EPOCHS = (
    sa.select(epochs.c.channel, epochs.c.epoch)
    .where(
        epochs.c.state == KeyState.RETIRED.name,
        epochs.c.retired_at_ms < sa.bindparam("before_ms"),
        ~_IS_GRANTED,
    )
    .limit(AT_ONCE_MAX)
)
_FORGET_EPOCHS = epochs.delete().where(sa.tuple_(epochs.c.channel, epochs.c.epoch).in_(_OLD_EPOCHS))
_OLD_RECEPTIONS = (
    sa.select(receptions.c.number)
    .where(receptions.c.ended_at_ms < sa.bindparam("before_ms"))
    .limit(AT_ONCE_MAX)
)
_FORGET_RECEPTIONS = receptions.delete().where(receptions.c.number.in_(_OLD_RECEPTIONS))

log = structlog.get_logger("sealcast.server")


def prune(connection: sa.Connection, before_ms: int) -> int:
    """Forget a bounded number of what was over before `before_ms`; return how many rows."""
    forgetting = (_FORGET_GRANTS, _FORGET_EPOCHS, _FORGET_RECEPTIONS)
    return sum(connection.execute(each, {"before_ms": before_ms}).rowcount for each in forgetting)


async def prune_for_ever(unit_of_work: UnitOfWork, clock: Clock) -> None:
    """Forget what is old, now and then, until cancelled."""
    while True:
        await asyncio.sleep(EVERY_S)
        before_ms = clock.wall_ns() // NS_PER_MS - KEPT_MS
        try:
            await unit_of_work.run(partial(prune, before_ms=before_ms))
        except SealcastError as error:
            log.warning("old rows were not forgotten", reason=str(error))
