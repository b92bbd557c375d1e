"""Owns what an invoice is made of: its canonical bytes, its lines as later bills need them, its ledger entry.

```
invoice 000123   subscriber:TV-0001  + total      credit note 000124   all the other way round
                 operator:income     - net
                 tax:190000          - tax        one account for each rate, in millionths
```
"""

import datetime as dt
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import msgspec

from sealcast.billing.periods import zone_of
from sealcast.core.errors import LocalError
from sealcast.ledger.entries import INVOICE_PREFIX, Entry, Posting, account
from sealcast.ledger.money import currency
from sealcast.messages.invoicing import Invoice, InvoiceLine, document_number

Kind = Literal["invoice", "credit-note"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MS = dt.timedelta(milliseconds=1)
_MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asked for a credit note: the client's own id, and a digest of what it asked for."""

    id: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """What an invoice or credit note is, without its lines; `request_*` are of a credit note's `Asked`."""

    number: int
    kind: str
    customer: str
    currency: str
    issued_at_ms: int
    total_minor: int
    corrects: int | None = None
    request_id: str | None = None
    request_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line as later bills need it; those of a credit note have the numbers of the lines they correct.

    `units` are what it adds to the units billed before. What does not count was not billed, for later bills.
    """

    line: int
    device: str
    channel: int
    period_start_ms: int
    version_from_ms: int
    name: str
    quantity: str | None
    units: int
    due_minor: int
    is_tax: bool
    counts: bool


@dataclass(frozen=True, slots=True)
class Issued:
    """An invoice as it is kept: `document` is the canonical bytes, `entry` None where no money moves."""

    head: Head
    lines: tuple[LineRow, ...]
    document: bytes
    sha256: bytes
    entry: Entry | None


def issue(
    invoice: Invoice, lines: tuple[LineRow, ...], issued_at_ms: int, asked: Asked | None = None
) -> Issued:
    """Return an invoice as it is kept; raises LocalError if it does not add up."""
    check_sums(invoice)
    document = canonical(invoice)
    head = Head(
        number=invoice.number,
        kind=invoice.kind,
        customer=invoice.customer,
        currency=invoice.currency,
        issued_at_ms=issued_at_ms,
        total_minor=invoice.total_minor,
        corrects=invoice.corrects,
        request_id=None if asked is None else asked.id,
        request_sha256=None if asked is None else asked.sha256,
    )
    entry = entry_of(invoice, issued_at_ms)
    return Issued(head, lines, document, hashlib.sha256(document).digest(), entry)


def canonical(invoice: Invoice) -> bytes:
    """Return the bytes of an invoice that are kept: JSON, fields in order, no spaces."""
    return msgspec.json.encode(invoice)


def read_invoice(document: bytes) -> Invoice:
    """Return the invoice of a document of our own; raises LocalError if it is none."""
    try:
        return msgspec.json.decode(document, type=Invoice)
    except msgspec.MsgspecError as error:
        raise LocalError(f"the document of an invoice is damaged: {error}") from error


def entry_of(invoice: Invoice, issued_at_ms: int) -> Entry | None:
    """Return the ledger's entry of an invoice or credit note; None if no amount of it is above or below 0."""
    micro = currency(invoice.currency).micro_per_minor
    amounts = {account("subscriber", invoice.customer): invoice.total_minor}
    amounts["operator:income"] = -invoice.net_minor
    for line in invoice.lines:
        if line.is_tax:
            name = account("tax", str(line.tax_ppm))
            amounts[name] = amounts.get(name, 0) - line.amount_minor
    postings = tuple(Posting(name, minor * micro) for name, minor in amounts.items() if minor)
    if not postings:
        return None
    return Entry(
        id=f"{INVOICE_PREFIX}{document_number(invoice.number)}",
        currency=invoice.currency,
        effective_ms=issued_at_ms,
        postings=postings,
        memo=memo_of(invoice),
    )


def memo_of(invoice: Invoice) -> str:
    """Return what the ledger says of an invoice."""
    if invoice.corrects is None:
        return f"invoice {document_number(invoice.number)}"
    return f"credit note {document_number(invoice.number)} on invoice {document_number(invoice.corrects)}"


def sums(lines: list[InvoiceLine]) -> tuple[int, int]:
    """Return net and tax of lines, in minor units."""
    tax = sum(line.amount_minor for line in lines if line.is_tax)
    return sum(line.amount_minor for line in lines) - tax, tax


def check_sums(invoice: Invoice) -> None:
    """Raise LocalError unless every line is what it says, and all lines add up to the total."""
    for line in invoice.lines:
        if line.so_far_minor - line.billed_minor != line.amount_minor:
            raise LocalError(f"line {line.line} of invoice {invoice.number} does not add up")
    net, tax = sums(invoice.lines)
    if (net, tax, net + tax) != (invoice.net_minor, invoice.tax_minor, invoice.total_minor):
        raise LocalError(f"the lines of invoice {invoice.number} do not add up to its total")


@lru_cache(maxsize=1_024)
def local_time(instant_ms: int, zone: str) -> str:
    """Return an instant as clocks of a zone show it: `2026-03-01T00:00:00+01:00`, ms unless they are 0."""
    shown = (_EPOCH + instant_ms * _MS).astimezone(zone_of(zone))
    return shown.isoformat(timespec="milliseconds" if instant_ms % _MS_PER_S else "seconds")
