"""Owns the record of contracts with broadcasters: never taken away, and changed only by ending one."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from sealcast.billing.contracts import Contract
from sealcast.billing.tables import contracts
from sealcast.billing.tariffs import Quantity
from sealcast.storage.upsert import new_number

_ADD = contracts.insert()
_END = (
    contracts.update()
    .where(contracts.c.number == sa.bindparam("wanted"))
    .values(until_ms=sa.bindparam("end_ms"))
)
_FIND = sa.select(contracts).where(contracts.c.number == sa.bindparam("wanted"))
_ALL = sa.select(contracts).order_by(contracts.c.number)
_PAGE = _ALL.where(contracts.c.number > sa.bindparam("after")).limit(sa.bindparam("count"))
_OF_SUBJECT = _ALL.where(
    contracts.c.channel == sa.bindparam("wanted"), contracts.c.currency == sa.bindparam("code")
)
_MARK = sa.select(
    sa.func.count(),
    sa.func.count(contracts.c.until_ms),
    sa.func.coalesce(sa.func.sum(contracts.c.until_ms), 0),
)


def add(connection: sa.Connection, contract: Contract, now_ms: int) -> int:
    """Keep a contract and return its number."""
    values = {name: getattr(contract, name) for name in Contract.__slots__ if name != "number"}
    unit = None if contract.unit is None else contract.unit.value
    inserted = connection.execute(_ADD, {**values, "unit": unit, "added_at_ms": now_ms})
    return new_number(inserted)


def end(connection: sa.Connection, number: int, until_ms: int) -> None:
    """Have a contract end at an instant."""
    connection.execute(_END, {"wanted": number, "end_ms": until_ms})


def find(connection: sa.Connection, number: int) -> Contract | None:
    """Return a contract by its number."""
    row = connection.execute(_FIND, {"wanted": number}).one_or_none()
    return None if row is None else _contract(row)


def of_subject(connection: sa.Connection, channel: int, currency: str) -> tuple[Contract, ...]:
    """Return all contracts on a channel in a currency, by number."""
    rows = connection.execute(_OF_SUBJECT, {"wanted": channel, "code": currency})
    return tuple(_contract(row) for row in rows)


def everything(connection: sa.Connection) -> tuple[Contract, ...]:
    """Return all contracts, by number."""
    return tuple(_contract(row) for row in connection.execute(_ALL))


def page(connection: sa.Connection, after: int, count: int) -> Iterator[Contract]:
    """Give at most `count` contracts by number, above `after`."""
    for row in connection.execute(_PAGE, {"after": after, "count": count}):
        yield _contract(row)


def mark(connection: sa.Connection) -> tuple[int, int, int]:
    """Return what differs once a contract was added or ended: ends only come, and only move to the front."""
    count, ended, ends = connection.execute(_MARK).one()
    return count, ended, ends


def _contract(row: "sa.Row[*tuple[Any, ...]]") -> Contract:
    values = {name: getattr(row, name) for name in Contract.__slots__}
    return Contract(**{**values, "unit": None if row.unit is None else Quantity(row.unit)})
