"""Owns the record of invoices: one gapless series with credit notes, their lines, the periods closed.

Nothing here is ever changed or taken away; what a period was billed so far is the sum of its lines.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from sealcast.billing.invoices import Head, Issued, LineRow
from sealcast.billing.tables import billed_periods, invoice_lines, invoices

_HEAD = (
    invoices.c.number,
    invoices.c.kind,
    invoices.c.customer,
    invoices.c.currency,
    invoices.c.issued_at_ms,
    invoices.c.total_minor,
    invoices.c.corrects,
    invoices.c.request_id,
    invoices.c.request_sha256,
)
_LAST = sa.select(invoices.c.number, invoices.c.issued_at_ms).order_by(invoices.c.number.desc()).limit(1)
_LAST_OF = (
    sa.select(invoices.c.customer, sa.func.max(invoices.c.number))
    .where(invoices.c.customer.in_(sa.bindparam("wanted", expanding=True)))
    .group_by(invoices.c.customer)
)
_CLOSED_OF = (
    sa.select(billed_periods.c.customer, sa.func.count())
    .where(billed_periods.c.customer.in_(sa.bindparam("wanted", expanding=True)))
    .group_by(billed_periods.c.customer)
)
_ADD = invoices.insert()
_ADD_LINES = invoice_lines.insert()
_CLOSE = billed_periods.insert()
_FIND = sa.select(*_HEAD).where(invoices.c.number == sa.bindparam("wanted"))
_BY_REQUEST = sa.select(*_HEAD).where(invoices.c.request_id == sa.bindparam("wanted"))
_DOCUMENT = sa.select(invoices.c.document).where(invoices.c.number == sa.bindparam("wanted"))
_PIECE = sa.select(
    sa.func.substr(invoices.c.document, sa.bindparam("first"), sa.bindparam("count")),
    sa.func.length(invoices.c.document),
    invoices.c.sha256,
).where(invoices.c.number == sa.bindparam("wanted"))
_LINES = (
    sa.select(invoice_lines)
    .where(invoice_lines.c.invoice == sa.bindparam("wanted"))
    .order_by(invoice_lines.c.line)
)
_CORRECTED = sa.and_(
    invoices.c.corrects == sa.bindparam("wanted"), invoices.c.number == invoice_lines.c.invoice
)
_CREDITED = (
    sa.select(
        invoice_lines.c.line, sa.func.sum(invoice_lines.c.due_minor), sa.func.sum(invoice_lines.c.units)
    )
    .where(_CORRECTED)
    .group_by(invoice_lines.c.line)
)
_BILLED = (
    sa.select(
        invoice_lines.c.channel,
        invoice_lines.c.period_start_ms,
        invoices.c.currency,
        invoice_lines.c.version_from_ms,
        invoice_lines.c.name,
        sa.func.sum(invoice_lines.c.due_minor),
        sa.func.sum(invoice_lines.c.units),
    )
    .join(invoices, invoices.c.number == invoice_lines.c.invoice)
    .where(
        invoice_lines.c.device == sa.bindparam("wanted"),
        invoice_lines.c.period_start_ms >= sa.bindparam("since_ms"),
        invoice_lines.c.counts,
    )
    .group_by(
        invoice_lines.c.channel,
        invoice_lines.c.period_start_ms,
        invoices.c.currency,
        invoice_lines.c.version_from_ms,
        invoice_lines.c.name,
    )
)
_LAST_INVOICE = (
    sa.select(sa.func.max(invoices.c.number))
    .where(invoices.c.customer == sa.bindparam("wanted"), invoices.c.kind == "invoice")
    .scalar_subquery()
)
_INVOICED_AT = (
    sa.select(invoices.c.customer, sa.func.max(invoices.c.issued_at_ms))
    .where(invoices.c.customer.in_(sa.bindparam("wanted", expanding=True)), invoices.c.kind == "invoice")
    .group_by(invoices.c.customer)
)
_REBILLED = (
    sa.select(sa.func.min(invoice_lines.c.period_start_ms))
    .join(invoices, invoices.c.number == invoice_lines.c.invoice)
    .where(
        invoices.c.customer == sa.bindparam("wanted"),
        invoices.c.kind == "credit-note",
        invoices.c.number > _LAST_INVOICE,
        invoice_lines.c.counts,
    )
)
_CLOSED = (
    sa.select(
        billed_periods.c.customer,
        billed_periods.c.start_ms,
        billed_periods.c.end_ms,
        billed_periods.c.closed_at_ms,
    )
    .where(billed_periods.c.customer.in_(sa.bindparam("wanted", expanding=True)))
    .order_by(billed_periods.c.customer, billed_periods.c.start_ms)
)

Mark = tuple[int, int]
"""A customer's last invoice or credit note, and how many of its periods were closed."""


@dataclass(frozen=True, slots=True)
class BilledLine:
    """What bills so far asked for by one line of a period."""

    channel: int
    period_start_ms: int
    currency: str
    version_from_ms: int
    name: str
    minor: int
    units: int


@dataclass(frozen=True, slots=True)
class ClosedPeriod:
    """A period of a customer that was closed."""

    customer: str
    start_ms: int
    end_ms: int
    closed_at_ms: int


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document, with the size and SHA-256 of all of it."""

    data: bytes
    size: int
    sha256: bytes


def last(connection: sa.Connection) -> tuple[int, int]:
    """Return number and instant of the last invoice; (0, 0) before the first."""
    row = connection.execute(_LAST).one_or_none()
    return (0, 0) if row is None else (row.number, row.issued_at_ms)


def marks(connection: sa.Connection, customers: Sequence[str]) -> dict[str, Mark]:
    """Return what tells, when it is asked again, whether customers were billed since."""
    numbers = {row[0]: row[1] for row in connection.execute(_LAST_OF, {"wanted": customers})}
    closed = {row[0]: row[1] for row in connection.execute(_CLOSED_OF, {"wanted": customers})}
    return {customer: (numbers.get(customer, 0), closed.get(customer, 0)) for customer in customers}


def add(connection: sa.Connection, issued: Iterable[Issued]) -> None:
    """Keep invoices with their lines; costs two statements, however many they are."""
    heads: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for each in issued:
        heads.append({**_fields(each.head), "document": each.document, "sha256": each.sha256})
        lines += ({**_fields(line), "invoice": each.head.number} for line in each.lines)
    if heads:
        connection.execute(_ADD, heads)
    if lines:
        connection.execute(_ADD_LINES, lines)


def close_periods(connection: sa.Connection, periods: Sequence[ClosedPeriod]) -> None:
    """Note periods as closed."""
    if periods:
        connection.execute(_CLOSE, [_fields(period) for period in periods])


def find(connection: sa.Connection, number: int) -> Head | None:
    """Return an invoice by its number."""
    return _head(connection.execute(_FIND, {"wanted": number}).one_or_none())


def find_by_request(connection: sa.Connection, request_id: str) -> Head | None:
    """Return the credit note that a client asked for under an id of its own."""
    return _head(connection.execute(_BY_REQUEST, {"wanted": request_id}).one_or_none())


def document(connection: sa.Connection, number: int) -> bytes | None:
    """Return an invoice's document, the bytes that were issued."""
    found: bytes | None = connection.execute(_DOCUMENT, {"wanted": number}).scalar()
    return found


def piece(connection: sa.Connection, number: int, offset: int, count: int) -> Piece | None:
    """Return at most `count` bytes of a document from `offset` on."""
    row = connection.execute(_PIECE, {"wanted": number, "first": offset + 1, "count": count}).one_or_none()
    return None if row is None else Piece(row[0], row[1], row[2])


def lines(connection: sa.Connection, number: int) -> tuple[LineRow, ...]:
    """Return an invoice's lines in order."""
    fields = LineRow.__slots__
    rows = connection.execute(_LINES, {"wanted": number})
    return tuple(LineRow(**{name: getattr(row, name) for name in fields}) for row in rows)


def credited(connection: sa.Connection, number: int) -> dict[int, tuple[int, int]]:
    """Return by line what credit notes add to an invoice so far: minor units of money and units, below 0."""
    return {row[0]: (row[1], row[2]) for row in connection.execute(_CREDITED, {"wanted": number})}


def billed(connection: sa.Connection, device: str, since_ms: int) -> Iterator[BilledLine]:
    """Give what was billed of a device's periods that begin at `since_ms` or later, line by line."""
    for row in connection.execute(_BILLED, {"wanted": device, "since_ms": since_ms}):
        yield BilledLine(*row)


def invoiced_at(connection: sa.Connection, customers: Sequence[str]) -> dict[str, int]:
    """Return when the last invoice of each customer was issued, of those that have one."""
    return {row[0]: row[1] for row in connection.execute(_INVOICED_AT, {"wanted": customers})}


def rebilled_from(connection: sa.Connection, customer: str) -> int | None:
    """Return the first period credited since a customer's last invoice that is to be billed again."""
    found: int | None = connection.execute(_REBILLED, {"wanted": customer}).scalar()
    return found


def closed_periods(
    connection: sa.Connection, customers: Sequence[str]
) -> dict[str, tuple[ClosedPeriod, ...]]:
    """Return the closed periods of each customer, in order of time."""
    found: dict[str, list[ClosedPeriod]] = {customer: [] for customer in customers}
    for row in connection.execute(_CLOSED, {"wanted": customers}):
        found[row.customer].append(ClosedPeriod(*row))
    return {customer: tuple(periods) for customer, periods in found.items()}


def page(
    connection: sa.Connection,
    *,
    after: int,
    limit: int,
    customer: str | None = None,
    since_ms: int | None = None,
    until_ms: int | None = None,
) -> Iterator[Head]:
    """Give invoices by number, above `after`; only a customer's, or those issued in a span, if given.

    Instants never fall from one number to the next, so a span is a range of numbers.
    """
    query = sa.select(*_HEAD).where(invoices.c.number > after).order_by(invoices.c.number).limit(limit)
    if customer is not None:
        query = query.where(invoices.c.customer == customer)
    if since_ms is not None:
        query = query.where(invoices.c.number >= _first_since(since_ms))
    if until_ms is not None:
        query = query.where(
            sa.or_(_first_since(until_ms).is_(None), invoices.c.number < _first_since(until_ms))
        )
    for row in connection.execute(query):
        yield Head(*row)


def _first_since(instant_ms: int) -> "sa.ScalarSelect[int]":
    """Return the first number issued at an instant or later, as a query."""
    later = sa.select(invoices.c.number).where(invoices.c.issued_at_ms >= instant_ms)
    return later.order_by(invoices.c.issued_at_ms, invoices.c.number).limit(1).scalar_subquery()


def _fields(value: Head | LineRow | ClosedPeriod) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _head(row: "sa.Row[*tuple[Any, ...]] | None") -> Head | None:
    return None if row is None else Head(*row)
