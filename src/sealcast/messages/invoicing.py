"""Owns what is said about invoices: the document itself, closing periods, lists, credit notes.

An invoice's document is `Invoice` in JSON with its fields in order and no spaces: those bytes are kept, are
what `sha256` is of, and every other form (CSV, HTML, PDF) is made from them.
"""

from typing import Annotated, Literal

import msgspec

from sealcast.messages.charging import ROWS_MAX, CycleKind, Instant, PageSize, RowNumber
from sealcast.messages.requests import Request

LINES_MAX = 5_000
"""Lines of one invoice: a customer with more gets several."""

REASON_CHARS_MAX = 500
CLOSE_MAX = 200
"""Customers that one request closes at most: a fraction of a second."""

DOCUMENT_BYTES_MAX = 1 << 30
"""No document comes near; a database keeps no larger one."""

DOCUMENT_CHUNK_BYTES = 128 * 1024
"""Of a document, in one answer: in base64 it stays below the size of a message."""


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line: what of a period was charged so far, what earlier bills asked for, what is asked for now.

    `units` so far, of `quantity` (None: a tax, or what a minimum or cap makes); `workings` says in words how
    they come to `so_far_minor`. A tax has its rate in millionths, `tax_ppm`. Periods are instants as
    the customer's clocks show them (ISO 8601).
    """

    line: int
    device: str
    channel: int
    channel_name: str
    period_start: str
    period_end: str | None
    tariff: str
    valid_from: str
    name: str
    quantity: str | None
    units: int
    workings: str
    so_far_minor: int
    billed_minor: int
    amount_minor: int
    is_tax: bool = False
    tax_ppm: int = 0


class ReportedEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What a device itself reported at the end of a reception: an explanation, never a charge."""

    device: str
    channel_name: str
    ended_at: str
    reason: str
    packets: int
    last_index: int | None


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice or credit note. Amounts are in minor units, `decimals` of them; lines add up to the total.

    `corrects` is the invoice that a credit note takes back, all or part of.
    """

    kind: Literal["invoice", "credit-note"]
    number: int
    operator: str
    customer: str
    customer_name: str
    currency: str
    decimals: int
    issued_at: str
    cycle: CycleKind
    zone: str
    lines: list[InvoiceLine]
    net_minor: int
    tax_minor: int
    total_minor: int
    corrects: int | None = None
    reason: str = ""
    reported: list[ReportedEnd] = msgspec.field(default_factory=list)


def document_number(number: int) -> str:
    """Return an invoice's number as people write it: `000123`."""
    return f"{number:06d}"


class CloseRequest(Request, frozen=True, kw_only=True):
    """Operator: issue the invoices of all periods that are over, customers by id, behind `after`.

    Done again it issues nothing twice.
    """

    customer: str | None = None
    after: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=CLOSE_MAX)] = 50


class WaitingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A customer whose period is over but not settled: `why` in words."""

    customer: str
    why: str


class InvoiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice in a list."""

    number: int
    kind: str
    customer: str
    currency: str
    decimals: int
    issued_at_ms: int
    total_minor: int
    corrects: int | None = None


class CloseAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was issued, who is to wait, and the customer to go on behind (None: all is done).

    `customers` says how many were looked at, `of` how many there are.
    """

    issued: list[InvoiceRow]
    waiting: list[WaitingRow]
    customers: int
    of: int
    next: str | None = None


class InvoiceListRequest(Request, frozen=True, kw_only=True):
    """Operator: invoices by number, above `after`; only a customer's, or those of a span, if given."""

    customer: str | None = None
    since_ms: Instant | None = None
    until_ms: Instant | None = None
    after: RowNumber = 0
    limit: PageSize = ROWS_MAX


class InvoiceList(msgspec.Struct, frozen=True, kw_only=True):
    """Invoices by number; `more` if there are others behind the last."""

    invoices: list[InvoiceRow]
    more: bool = False


class DocumentRequest(Request, frozen=True, kw_only=True):
    """Operator: an invoice's document, or a statement's, from its byte `offset` on."""

    number: RowNumber
    offset: Annotated[int, msgspec.Meta(ge=0, le=DOCUMENT_BYTES_MAX)] = 0


class DocumentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document (bytes, in base64), with the size and SHA-256 (hex) of all of it."""

    piece: bytes
    size: int
    sha256: str


class CreditRequest(Request, frozen=True, kw_only=True):
    """Operator: credit an invoice: all of it, or what is left of some `lines`, or `amount_minor` of one line.

    The tax on what is credited goes with it. `id` is the client's own: the same one is credited once. With
    `is_rebilled`, what was credited counts as not billed, and the next closing asks for whatever is right.
    """

    number: RowNumber
    id: str
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_CHARS_MAX)]
    lines: list[int] = msgspec.field(default_factory=list)
    amount_minor: Annotated[int, msgspec.Meta(gt=0)] | None = None
    is_rebilled: bool = False


class Credited(msgspec.Struct, frozen=True, kw_only=True):
    """The credit note; `is_new` is False if the same id was credited before."""

    note: InvoiceRow
    is_new: bool
