"""Owns the long ways of invoices: closing periods page by page, lists, and writing many documents.

Imported by commands when they run, not for their help.
"""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sealcast.billing.documents import Form
from sealcast.cli.acting import PAGES_MAX, Listing, Operator, client_of
from sealcast.cli.billing.documents import fetch, write_into
from sealcast.cli.failures import say
from sealcast.cli.progress import progress_bar
from sealcast.client import KeyServerClient
from sealcast.core.errors import FormatError, SealcastError, UsageError
from sealcast.ledger.money import Currency, parse_amount
from sealcast.messages import operations_billing as operations
from sealcast.messages.charging import ROWS_MAX
from sealcast.messages.invoicing import (
    CloseAnswer,
    Credited,
    InvoiceList,
    InvoiceRow,
    WaitingRow,
    document_number,
)

CREDIT_ID_CHARS = 32
"""Of a digest in hex: two wishes never share one."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What closing came to: invoices in order, who waits and why, how many customers were looked at."""

    issued: list[InvoiceRow]
    waiting: list[WaitingRow]
    customers: int


@dataclass(frozen=True, slots=True)
class Span:
    """Which invoices are meant: above a number, of a customer, issued in a span of time."""

    after: int = 0
    customer: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def fields(self) -> dict[str, object]:
        """What a request for the list says of it, but for the number."""
        return {"customer": self.customer, "since_ms": self.since_ms, "until_ms": self.until_ms}


_INVOICES: Listing[InvoiceList, InvoiceRow] = Listing(
    operations.INVOICE_LIST,
    InvoiceList,
    lambda page: (page.invoices, page.more),
    lambda row: row.number,
    ROWS_MAX,
)


def close_all(operator: Operator, customer: str | None) -> Closed:
    """Close all periods that are over, or those of one customer; raises as `KeyServerClient.call`.

    Where that breaks off, a line on standard error says what was issued until then, which stands.
    """
    closed = Closed([], [], 0)
    try:
        return asyncio.run(_close_all(operator, customer, closed))
    except SealcastError:
        if closed.issued:
            count = len(closed.issued)
            say(f"{count} {'invoice was' if count == 1 else 'invoices were'} issued before; type it again")
        raise


async def _close_all(operator: Operator, customer: str | None, closed: Closed) -> Closed:
    after, customers = "", 0
    with progress_bar() as bar:
        task = bar.add_task("closing", total=None)
        async with client_of(operator) as client:
            for _ in range(PAGES_MAX):
                fields = {"customer": customer, "after": after}
                answer = await client.expect(operations.INVOICE_CLOSE, CloseAnswer, **fields)
                closed.issued.extend(answer.issued)
                closed.waiting.extend(answer.waiting)
                customers += answer.customers
                bar.update(task, total=answer.of, completed=customers)
                if answer.next is None:
                    break
                if answer.next <= after:
                    raise FormatError("the key server went back in its list of customers")
                after = answer.next
    return Closed(closed.issued, closed.waiting, customers)


def totals(rows: Iterable[InvoiceRow]) -> dict[str, str]:
    """Return what invoices come to, in each currency."""
    sums: dict[Currency, int] = {}
    for row in rows:
        coin = Currency(row.currency, row.decimals)
        sums[coin] = sums.get(coin, 0) + row.total_minor
    return {coin.code: coin.format_minor(sums[coin]) for coin in sorted(sums, key=lambda each: each.code)}


def amount(row: InvoiceRow) -> str:
    """Return an invoice's total as people write it."""
    return Currency(row.currency, row.decimals).format_minor(row.total_minor)


def pages(operator: Operator, span: Span, limit: int) -> tuple[list[InvoiceRow], bool]:
    """Return at most `limit` invoices of a span, by number, and whether there are more."""
    return _INVOICES.ask(operator, span.after, limit, **span.fields)


def document(operator: Operator, number: int) -> bytes:
    """Return the bytes of an invoice or credit note, as `documents.fetch`."""

    async def ask() -> bytes:
        async with client_of(operator) as client:
            return await fetch(client, operations.INVOICE_SHOW, number)

    return asyncio.run(ask())


def export(operator: Operator, span: Span, folder: Path, forms: list[Form]) -> tuple[int, int]:
    """Write all documents of a span into a folder; return how many, and how many files that is.

    Raises UsageError if the folder or a file cannot be written, and as `documents.fetch`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder}: {error.strerror or error}") from error
    return asyncio.run(_export(operator, span, folder, forms))


async def _export(operator: Operator, span: Span, folder: Path, forms: list[Form]) -> tuple[int, int]:
    files = 0
    with progress_bar() as bar:
        task = bar.add_task("writing", total=None)
        async with client_of(operator) as client:
            rows, _ = await _INVOICES.rows(client, span.after, PAGES_MAX * ROWS_MAX, **span.fields)
            bar.update(task, total=len(rows))
            for row in rows:
                data = await fetch(client, operations.INVOICE_SHOW, row.number)
                files += await asyncio.to_thread(write_into, folder, data, forms)
                bar.advance(task)
    return len(rows), files


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be credited of an invoice; `amount` in major units, as typed."""

    number: int
    reason: str
    lines: list[int]
    amount: str | None
    is_rebilled: bool

    def id(self) -> str:
        """Return an id that is the same whenever the same is asked for: typed twice it is one credit note."""
        said = (self.number, self.reason, sorted(self.lines), self.amount, self.is_rebilled)
        return "credit-" + hashlib.sha256(msgspec.json.encode(said)).hexdigest()[:CREDIT_ID_CHARS]


def credit(operator: Operator, wish: Wish, given_id: str | None) -> Credited:
    """Credit an invoice; raises UsageError for an amount that its currency does not have, else as `call`."""

    async def ask() -> Credited:
        async with client_of(operator) as client:
            amount_minor = None
            if wish.amount is not None:
                amount_minor = _minor(wish.amount, await _row(client, wish.number))
            return await client.expect(
                operations.INVOICE_CREDIT,
                Credited,
                number=wish.number,
                id=given_id or wish.id(),
                reason=wish.reason,
                lines=wish.lines,
                amount_minor=amount_minor,
                is_rebilled=wish.is_rebilled,
            )

    return asyncio.run(ask())


async def _row(client: KeyServerClient, number: int) -> InvoiceRow:
    rows, _ = await _INVOICES.rows(client, number - 1, 1)
    if not rows or rows[0].number != number:
        raise UsageError(f"no invoice has the number {document_number(number)}; see: billing invoice list")
    return rows[0]


def _minor(text: str, row: InvoiceRow) -> int:
    """Return an amount in the minor units of an invoice's currency; raises UsageError."""
    minor, rest = divmod(parse_amount(text), Currency(row.currency, row.decimals).micro_per_minor)
    if rest:
        raise UsageError(f"{text}: an amount in {row.currency} has at most {row.decimals} decimals")
    if minor <= 0:
        raise UsageError(f"{text}: an amount to credit is above 0")
    return minor
