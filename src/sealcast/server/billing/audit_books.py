"""Owns the audit of the books: invoices and statements as they were issued, and the ledger's balance."""

import datetime as dt
import hashlib

import sqlalchemy as sa

from sealcast.billing import store_invoices
from sealcast.billing.invoices import Head, LineRow, entry_of, read_invoice
from sealcast.billing.tables import invoices, statements
from sealcast.core.errors import LocalError, UsageError
from sealcast.ledger import reading
from sealcast.ledger import store as ledger_store
from sealcast.ledger.entries import INVOICE_PREFIX, Entry
from sealcast.ledger.tables import ledger_entries
from sealcast.messages.invoicing import Invoice, InvoiceLine, document_number
from sealcast.server.billing.audit import NUMBER_DIGITS_MAX, Audited, Check, Piece, number_in

DOCUMENTS_AT_ONCE = 50
"""Documents read and compared in one go: some 50 ms, or more where they are long."""

ENTRIES_AT_ONCE = 2_000
_STATEMENTS = (
    sa.select(statements.c.number, statements.c.document, statements.c.sha256)
    .where(statements.c.number > sa.bindparam("after"))
    .order_by(statements.c.number)
    .limit(DOCUMENTS_AT_ONCE)
)
_SHA256 = sa.select(invoices.c.document, invoices.c.sha256).where(invoices.c.number == sa.bindparam("wanted"))
_ENTRIES = (
    sa.select(ledger_entries.c.number, ledger_entries.c.id)
    .where(ledger_entries.c.number > sa.bindparam("after"))
    .order_by(ledger_entries.c.number)
    .limit(ENTRIES_AT_ONCE)
)
_KNOWN = sa.select(invoices.c.number).where(invoices.c.number.in_(sa.bindparam("numbers", expanding=True)))


def check_invoices(audited: Audited, place: str) -> Piece:
    """Check invoices and credit notes: as issued, without a gap, as in the tables and in the ledger."""
    before = number_in(place)
    heads = list(store_invoices.page(audited.connection, after=before, limit=DOCUMENTS_AT_ONCE))
    piece = Piece()
    piece.count("invoices", len(heads))
    for head in heads:
        subject = document_number(head.number)
        if head.number != before + 1:
            piece.find("invoice-gap", subject, f"the number before it is {before}")
        before = head.number
        for fault in _faults_of(audited.connection, head):
            piece.find("invoice", subject, fault)
    if len(heads) == DOCUMENTS_AT_ONCE:
        piece.next = str(before)
    return piece


def check_statements(audited: Audited, place: str) -> Piece:
    """Check the statements of broadcasters: as issued, without a gap."""
    before = number_in(place)
    rows = audited.connection.execute(_STATEMENTS, {"after": before}).all()
    piece = Piece()
    piece.count("statements", len(rows))
    for number, document, sha256 in rows:
        if number != before + 1:
            piece.find("statement-gap", str(number), f"the number before it is {before}")
        before = number
        if hashlib.sha256(document).digest() != sha256:
            piece.find("statement", str(number), "its SHA-256 is another")
    if len(rows) == DOCUMENTS_AT_ONCE:
        piece.next = str(before)
    return piece


def check_ledger(audited: Audited, place: str) -> Piece:
    """Check that each entry is balanced, so that the ledger always was, and that its invoice is on record."""
    rows = audited.connection.execute(_ENTRIES, {"after": number_in(place)}).all()
    piece = Piece()
    piece.count("ledger entries", len(rows))
    documents = {id_: int(id_.removeprefix(INVOICE_PREFIX)) for _, id_ in rows if _is_of_invoice(id_)}
    known = set(audited.connection.execute(_KNOWN, {"numbers": list(documents.values())}).scalars())
    last = rows[-1].number if rows else 0
    unbalanced = set(reading.unbalanced(audited.connection, number_in(place), last))
    for number, id_ in rows:
        if number in unbalanced:
            piece.find("ledger", id_, "postings of it are missing, or do not add up to nothing")
        if id_ in documents and documents[id_] not in known:
            piece.find("ledger-without-document", id_, "its invoice is not on record")
    if len(rows) == ENTRIES_AT_ONCE:
        piece.next = str(last)
    return piece


BOOK_CHECKS: dict[str, Check] = {
    "invoices": check_invoices,
    "statements": check_statements,
    "ledger": check_ledger,
}


def _faults_of(connection: sa.Connection, head: Head) -> list[str]:
    """Return what is wrong with an invoice."""
    document, sha256 = connection.execute(_SHA256, {"wanted": head.number}).one()
    if hashlib.sha256(document).digest() != sha256:
        return ["its SHA-256 is another"]
    try:
        invoice = read_invoice(document)
    except LocalError as error:
        return [str(error)]
    faults = _faults_in(invoice, head)
    rows = store_invoices.lines(connection, head.number)
    if [_told(each) for each in invoice.lines] != [_counted(each) for each in rows]:
        faults.append("its lines are not those that later bills count")
    entry = entry_of(invoice, head.issued_at_ms)
    if entry is not None and _kept(connection, entry.id) != entry:
        faults.append(f"the ledger's entry {entry.id} is missing or another")
    return faults


def _told(line: InvoiceLine) -> tuple[object, ...]:
    """Return what a document says of a line that its row says, too."""
    start_ms = round(dt.datetime.fromisoformat(line.period_start).timestamp() * 1_000)
    return line.line, line.device, line.channel, line.name, line.amount_minor, line.is_tax, start_ms


def _counted(row: LineRow) -> tuple[object, ...]:
    """Return the same of a row."""
    return row.line, row.device, row.channel, row.name, row.due_minor, row.is_tax, row.period_start_ms


def _kept(connection: sa.Connection, id_: str) -> Entry | None:
    """Return an entry as the ledger has it; None if there is none that could be one."""
    row = ledger_store.find(connection, id_)
    try:
        return None if row is None else ledger_store.entry_of(row)
    except UsageError:
        return None


def _is_of_invoice(id_: str) -> bool:
    digits = id_.removeprefix(INVOICE_PREFIX)
    return id_.startswith(INVOICE_PREFIX) and digits.isdecimal() and len(digits) <= NUMBER_DIGITS_MAX


def _faults_in(invoice: Invoice, head: Head) -> list[str]:
    """Return where a document contradicts itself, or its row."""
    faults = []
    told = (invoice.kind, invoice.customer, invoice.currency, invoice.total_minor, invoice.corrects)
    kept = (head.kind, head.customer, head.currency, head.total_minor, head.corrects)
    if (invoice.number, *told) != (head.number, *kept):
        faults.append("its document is another invoice's")
    if sum(each.amount_minor for each in invoice.lines) != invoice.total_minor:
        faults.append("its lines do not add up to its total")
    return faults
