"""Owns what operators do with invoices that were issued: list, show the very bytes again, credit."""

import sqlalchemy as sa

from sealcast.billing import store_invoices, store_statements
from sealcast.billing.credits import Wish, credit_note, left_of
from sealcast.billing.invoices import Head, read_invoice
from sealcast.core.errors import LocalError, RefusedError
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger import store as ledger_store
from sealcast.ledger.money import currency
from sealcast.messages import operations_billing
from sealcast.messages.invoicing import (
    DOCUMENT_CHUNK_BYTES,
    Credited,
    CreditRequest,
    DocumentAnswer,
    DocumentRequest,
    InvoiceList,
    InvoiceListRequest,
    InvoiceRow,
    document_number,
)
from sealcast.server.billing.shared import BillingShared
from sealcast.server.paging import fill

ID_CHARS_MAX = 128
"""A client's id of a credit note: as long as that of an entry in the ledger."""


class InvoiceDesk:
    """Carries out what operators ask about invoices."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    async def read_list(self, _: Principal, request: InvoiceListRequest) -> InvoiceList:
        """Read a page of invoices beside the writer."""

        def read(connection: sa.Connection) -> InvoiceList:
            rows = store_invoices.page(
                connection,
                after=request.after,
                limit=request.limit + 1,
                customer=request.customer,
                since_ms=request.since_ms,
                until_ms=request.until_ms,
            )
            page, has_more = fill((invoice_row(head) for head in rows), request.limit)
            return InvoiceList(invoices=page, more=has_more)

        return await self._shared.reader.read(read)

    def list(self, call: Call, request: InvoiceListRequest) -> Reply:
        """Hand on the page."""
        _ = request
        if call.ahead is None:
            raise LocalError("no invoices were read for this request")
        return Reply(call.ahead)

    def show(self, call: Call, request: DocumentRequest) -> Reply:
        """Return a piece of an invoice's document, as it was issued."""
        piece = store_invoices.piece(call.connection, request.number, request.offset, DOCUMENT_CHUNK_BYTES)
        if piece is None:
            raise _unknown(request.number)
        return Reply(DocumentAnswer(piece=piece.data, size=piece.size, sha256=piece.sha256.hex()))

    def credit(self, call: Call, request: CreditRequest) -> Reply:
        """Issue a credit note; one that was asked for under the same id before is found again."""
        wish = _wish(request)
        digest = wish.digest(request.number)
        earlier = store_invoices.find_by_request(call.connection, request.id)
        if earlier is not None:
            if earlier.request_sha256 != digest:
                raise refusal("exists", f"another credit note has the id {request.id[:80]!r}; take a new one")
            return Reply(Credited(note=invoice_row(earlier), is_new=False))
        return Reply(Credited(note=self._credit(call, request.number, wish), is_new=True))

    def _credit(self, call: Call, number: int, wish: Wish) -> InvoiceRow:
        connection = call.connection
        document = store_invoices.document(connection, number)
        if document is None:
            raise _unknown(number)
        invoice = read_invoice(document)
        if invoice.corrects is not None:
            name = document_number(invoice.corrects)
            raise refusal(
                "bad-request", f"{document_number(number)} is itself a credit note, on invoice {name}"
            )
        left = left_of(store_invoices.lines(connection, number), store_invoices.credited(connection, number))
        note_number, issued_at_ms = next_invoice(connection, call.wall_ms)
        note = credit_note(invoice, left, wish, note_number, issued_at_ms)
        store_invoices.add(connection, [note])
        ledger_store.record_new(connection, [] if note.entry is None else [note.entry], call.wall_ms)
        call.record("invoice-credit", f"{document_number(note_number)} on {document_number(number)}")
        return invoice_row(note.head)


def next_invoice(connection: sa.Connection, wall_ms: int) -> tuple[int, int]:
    """Return the next number, and its instant: none of closed books, or of a settled month.

    None before the last invoice's either: the series is in order of time, also if the clock was set back.
    """
    number, last_ms = store_invoices.last(connection)
    earliest_ms = max(last_ms, store_statements.closed_until(connection))
    return number + 1, ledger_store.open_at(connection, max(wall_ms, earliest_ms))


def invoice_row(head: Head) -> InvoiceRow:
    """Return an invoice as lists show it."""
    return InvoiceRow(
        number=head.number,
        kind=head.kind,
        customer=head.customer,
        currency=head.currency,
        decimals=currency(head.currency).decimals,
        issued_at_ms=head.issued_at_ms,
        total_minor=head.total_minor,
        corrects=head.corrects,
    )


def _wish(request: CreditRequest) -> Wish:
    """Read what is to be credited; raises a refusal for what cannot be meant."""
    if not 0 < len(request.id) <= ID_CHARS_MAX or not request.id.isprintable():
        raise refusal("bad-request", f"a credit note's id has 1 to {ID_CHARS_MAX} printable characters")
    if not request.reason.isprintable():
        raise refusal("bad-request", "the reason of a credit note is one line of text")
    if len(set(request.lines)) != len(request.lines):
        raise refusal("bad-request", "a line is named twice")
    return Wish(
        request_id=request.id,
        reason=request.reason,
        lines=tuple(request.lines),
        amount_minor=request.amount_minor,
        is_rebilled=request.is_rebilled,
    )


def _unknown(number: int) -> RefusedError:
    return refusal(
        "unknown-invoice", f"no invoice has the number {document_number(number)}; see: billing invoice list"
    )


def invoice_handlers(desk: InvoiceDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on invoices that were issued."""
    return (
        Handler(operations_billing.INVOICE_LIST, desk.list, ahead=desk.read_list),
        Handler(operations_billing.INVOICE_SHOW, desk.show),
        Handler(operations_billing.INVOICE_CREDIT, desk.credit),
    )
