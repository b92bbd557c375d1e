"""Owns the record of statements to broadcasters, one gapless series, and what invoices of a month asked for.

Nothing here is ever changed or taken away.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.billing.settlement import Billed
from sealcast.billing.store_invoices import Piece
from sealcast.billing.tables import invoice_lines, invoices, statements
from sealcast.messages.bookkeeping import StatementRow

_HEAD = tuple(statements.c[name] for name in StatementRow.__struct_fields__)
_ADD = statements.insert()
_LAST = (
    sa.select(statements.c.number, statements.c.issued_at_ms).order_by(statements.c.number.desc()).limit(1)
)
_SETTLED = sa.select(
    statements.c.broadcaster, statements.c.currency, sa.func.max(statements.c.end_ms)
).group_by(statements.c.broadcaster, statements.c.currency)
_CLOSED = sa.select(sa.func.max(statements.c.end_ms))
_CLOSED_IN = _CLOSED.where(statements.c.currency == sa.bindparam("code"))
_PAGE = (
    sa.select(*_HEAD)
    .where(statements.c.number > sa.bindparam("after"))
    .order_by(statements.c.number)
    .limit(sa.bindparam("count"))
)
_PIECE = sa.select(
    sa.func.substr(statements.c.document, sa.bindparam("first"), sa.bindparam("count")),
    sa.func.length(statements.c.document),
    statements.c.sha256,
).where(statements.c.number == sa.bindparam("wanted"))
_BILLED = (
    sa.select(
        invoice_lines.c.channel,
        invoices.c.currency,
        invoice_lines.c.quantity,
        sa.func.sum(invoice_lines.c.units),
        sa.func.sum(invoice_lines.c.due_minor),
    )
    .join(invoices, invoices.c.number == invoice_lines.c.invoice)
    .where(
        invoices.c.issued_at_ms >= sa.bindparam("start_ms"),
        invoices.c.issued_at_ms < sa.bindparam("end_ms"),
        ~invoice_lines.c.is_tax,
    )
    .group_by(invoice_lines.c.channel, invoices.c.currency, invoice_lines.c.quantity)
)
_LAST_INVOICE = (
    sa.select(invoices.c.number)
    .where(invoices.c.issued_at_ms < sa.bindparam("end_ms"))
    .order_by(invoices.c.issued_at_ms.desc(), invoices.c.number.desc())
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Issued:
    """A statement as it is kept: what lists say of it, and the bytes of its document."""

    row: StatementRow
    document: bytes
    sha256: bytes


def billed(connection: sa.Connection, start_ms: int, end_ms: int) -> Iterator[Billed]:
    """Give what invoices and credit notes issued in a span asked for net of tax, summed up.

    Costs as much as they have lines.
    """
    for channel, currency, quantity, units, minor in connection.execute(
        _BILLED, {"start_ms": start_ms, "end_ms": end_ms}
    ):
        yield Billed(channel, currency, start_ms, quantity, units, minor)


def last_invoice(connection: sa.Connection, end_ms: int) -> int:
    """Return the number of the last invoice issued before an instant; 0 if there is none."""
    return connection.execute(_LAST_INVOICE, {"end_ms": end_ms}).scalar() or 0


def add(connection: sa.Connection, issued: Iterable[Issued]) -> None:
    """Keep statements; costs one statement of SQL, however many they are."""
    rows = []
    for each in issued:
        head = {name: getattr(each.row, name) for name in StatementRow.__struct_fields__}
        rows.append({**head, "document": each.document, "sha256": each.sha256})
    if rows:
        connection.execute(_ADD, rows)


def last(connection: sa.Connection) -> tuple[int, int]:
    """Return number and instant of the last statement; (0, 0) before the first."""
    row = connection.execute(_LAST).one_or_none()
    return (0, 0) if row is None else (row.number, row.issued_at_ms)


def settled(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """Return until when each (broadcaster, currency) has statements."""
    return {(name, code): until_ms for name, code, until_ms in connection.execute(_SETTLED)}


def closed_until(connection: sa.Connection, currency: str | None = None) -> int:
    """Return until when anybody has statements, in a currency or in any: no contract changes before that."""
    if currency is None:
        return connection.execute(_CLOSED).scalar() or 0
    return connection.execute(_CLOSED_IN, {"code": currency}).scalar() or 0


def page(
    connection: sa.Connection, *, after: int, count: int, broadcaster: str | None
) -> Iterator[StatementRow]:
    """Give at most `count` statements by number, above `after`; only a broadcaster's, if given."""
    query = _PAGE if broadcaster is None else _PAGE.where(statements.c.broadcaster == broadcaster)
    for row in connection.execute(query, {"after": after, "count": count}).mappings():
        yield StatementRow(**row)


def piece(connection: sa.Connection, number: int, offset: int, count: int) -> Piece | None:
    """Return at most `count` bytes of a statement's document from `offset` on."""
    row = connection.execute(_PIECE, {"wanted": number, "first": offset + 1, "count": count}).one_or_none()
    return None if row is None else Piece(row[0], row[1], row[2])
