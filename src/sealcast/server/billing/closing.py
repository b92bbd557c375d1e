"""Owns closing: the bills of all periods that are over, a page of customers in one unit of work.

```
record what was on air ─► snapshot: facts ─► drafts ─┐   beside the writer
  ┌──────────────── one unit of work ◄───────────────┘
  └─ billed since? ─ no ─► number, document, lines, ledger entry, periods closed
                   └ yes ─► nothing of that customer: closing again bills what is left, if anything
```
Killed at any moment, a customer has all of its bills or none; what a bill says follows from the facts alone.
"""

import logging
from collections.abc import Iterator
from functools import partial

import msgspec
import sqlalchemy as sa

from sealcast.billing import store_customers, store_invoices
from sealcast.billing.closing import Draft, draft
from sealcast.billing.invoices import Issued
from sealcast.billing.issuing import Bill, bills, check_amounts, issue_bill
from sealcast.billing.periods import Period
from sealcast.billing.store_invoices import ClosedPeriod
from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger.store import record_new
from sealcast.messages import operations_billing
from sealcast.messages.invoicing import CloseAnswer, CloseRequest, WaitingRow, document_number
from sealcast.server.billing.air import record_air
from sealcast.server.billing.airlogs import AirLogs
from sealcast.server.billing.facts import FactsReader, Known
from sealcast.server.billing.invoices import invoice_row, next_invoice
from sealcast.server.billing.payers import Payer, count_payers, payers, payers_behind
from sealcast.server.billing.reported import reported_ends
from sealcast.server.billing.shared import BillingShared
from sealcast.server.billing.source import spans_of

PAGE_NS = NS_PER_S
"""How long one page may gather: its caller sees progress, and other reads get their turn."""

PAGE_LINES_MAX = 400
"""Lines of one page, unless one customer has more: whoever else writes waits some ten ms for them."""

RECORDINGS_MAX = 10_000
"""Units of work that record what was on air before one page; each takes many epochs."""

COUNTED_NS = 10 * NS_PER_S
"""How long a count of customers stands: it only shows how far closing is."""

_MEANWHILE = "it was billed or changed at the same moment; close again"
_log = logging.getLogger(__name__)


class Prepared(msgspec.Struct, frozen=True):
    """A customer's bills as worked out on a snapshot, and the periods that they close."""

    known: Known
    bills: tuple[Bill, ...]
    closes: tuple[Period, ...]


class Page(msgspec.Struct, frozen=True):
    """The bills of a page of customers, and the customer to go on behind."""

    prepared: tuple[Prepared, ...]
    waiting: tuple[WaitingRow, ...]
    customers: int
    of: int
    next: str | None


class ClosingDesk:
    """Closes periods for operators."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared
        self._logs = AirLogs()
        self._counted: tuple[int, int] | None = None

    async def prepare(self, _: Principal, request: CloseRequest) -> Page:
        """Work out the bills of a page of customers; raises a refusal for a customer that is not known."""
        for _attempt in range(RECORDINGS_MAX):
            if not await self._shared.write(self._record_air):
                break
        page = await self._shared.reader.read(partial(self._gather, request))
        if page.next is None:
            self._logs.forget()
        return page

    def close(self, call: Call, request: CloseRequest) -> Reply:
        """Issue the bills that were worked out, unless something of their customers has changed since."""
        _ = request
        page = call.ahead
        if not isinstance(page, Page):
            raise LocalError("no bills were worked out for this request")
        fresh, stale = self._sort(call.connection, page)
        issued = self._issue(call, fresh)
        self._keep(call, fresh, issued)
        if fresh:
            call.record("invoice-close", _said(issued, len(fresh)))
        waiting = [*page.waiting, *(WaitingRow(customer=each, why=_MEANWHILE) for each in stale)]
        return Reply(
            CloseAnswer(
                issued=[invoice_row(each.head) for each in issued],
                waiting=sorted(waiting, key=lambda row: row.customer),
                customers=page.customers,
                of=page.of,
                next=page.next,
            )
        )

    def _record_air(self, connection: sa.Connection) -> int:
        return record_air(connection, self._now_ms(), self._shared.settings.settle_ms)

    def _gather(self, request: CloseRequest, connection: sa.Connection) -> Page:
        """Work out bills until the page is full, or takes too long; the first customer always."""
        began_ns, now_ms = self._shared.clock.monotonic_ns(), self._now_ms()
        wanted, has_more = self._payers(connection, request)
        prepared: list[Prepared] = []
        waiting: list[WaitingRow] = []
        last, looked, size = "", 0, 0
        for known in FactsReader(connection, wanted, self._logs, now_ms).known():
            found, why = self._draft(known, now_ms)
            if found.invoices or found.closes:
                prepared.append(self._prepared(connection, known, found, now_ms))
                size += sum(len(each.lines) for each in found.invoices)
            if why is not None:
                waiting.append(WaitingRow(customer=known.account.customer, why=why))
            last, looked = known.account.customer, looked + 1
            if size >= PAGE_LINES_MAX or self._shared.clock.monotonic_ns() - began_ns >= PAGE_NS:
                break
        is_all = not has_more and looked == len(wanted)
        of = len(wanted) if request.customer is not None else self._count(connection)
        return Page(tuple(prepared), tuple(waiting), looked, of, None if is_all else last)

    def _prepared(self, connection: sa.Connection, known: Known, found: Draft, now_ms: int) -> Prepared:
        """Make all of a customer's invoices that does not depend on their numbers."""
        made: list[Bill] = []
        for each in found.invoices:
            ends = () if made else reported_ends(connection, known, now_ms)
            made += bills(known.account, each, self._shared.operator, ends)
        return Prepared(known, tuple(made), found.closes)

    def _payers(self, connection: sa.Connection, request: CloseRequest) -> tuple[tuple[Payer, ...], bool]:
        settings = self._shared.settings
        if request.customer is None:
            return payers_behind(connection, settings, request.after, request.limit)
        found = payers(connection, settings, [request.customer])
        if not found[0].is_kept and not spans_of(connection, found[0].devices):
            raise refusal("unknown-customer", f"no customer and no subscriber {request.customer[:80]!r}")
        return found, False

    def _draft(self, known: Known, now_ms: int) -> tuple[Draft, str | None]:
        """Return a customer's bills, and why it is to wait; facts that cannot be billed stop no other."""
        settings = self._shared.settings
        try:
            found = draft(known.account, now_ms, settings.settle_ms, settings.wait_ms)
            check_amounts(found)
        except LocalError as error:
            _log.error("customer %s cannot be billed: %s", known.account.customer, error)
            return Draft(), f"it cannot be billed: {error}"
        return found, found.waiting

    def _sort(self, connection: sa.Connection, page: Page) -> tuple[list[Prepared], list[str]]:
        """Tell customers of whom all is as it was on the snapshot from those that were billed or changed."""
        ids = [each.known.account.customer for each in page.prepared]
        marks = store_invoices.marks(connection, ids)
        now = {each.customer.id: each for each in payers(connection, self._shared.settings, ids)}
        fresh: list[Prepared] = []
        stale: list[str] = []
        for each, id_ in zip(page.prepared, ids, strict=True):
            if marks[id_] == each.known.mark and now[id_] == each.known.payer:
                fresh.append(each)
            else:
                stale.append(id_)
        return fresh, stale

    def _issue(self, call: Call, fresh: list[Prepared]) -> list[Issued]:
        number, issued_at_ms = next_invoice(call.connection, call.wall_ms)
        found = [bill for each in fresh for bill in each.bills]
        return [issue_bill(bill, number + place, issued_at_ms) for place, bill in enumerate(found)]

    def _keep(self, call: Call, fresh: list[Prepared], issued: list[Issued]) -> None:
        new = [each.known.payer.customer for each in fresh if not each.known.payer.is_kept]
        store_customers.keep_all(call.connection, new, call.wall_ms)
        store_invoices.add(call.connection, issued)
        store_invoices.close_periods(call.connection, list(_closed(fresh, call.wall_ms)))
        entries = [each.entry for each in issued if each.entry is not None]
        record_new(call.connection, entries, call.wall_ms)

    def _count(self, connection: sa.Connection) -> int:
        now_ns = self._shared.clock.monotonic_ns()
        if self._counted is None or not 0 <= now_ns - self._counted[0] < COUNTED_NS:
            self._counted = now_ns, count_payers(connection)
        return self._counted[1]

    def _now_ms(self) -> int:
        return self._shared.clock.wall_ns() // NS_PER_MS


def _closed(fresh: list[Prepared], now_ms: int) -> Iterator[ClosedPeriod]:
    for each in fresh:
        for period in each.closes:
            if period.end_ms is not None:
                yield ClosedPeriod(each.known.account.customer, period.start_ms, period.end_ms, now_ms)


def _said(issued: list[Issued], customers: int) -> str:
    if not issued:
        return f"no invoices, {customers} customers"
    first, last = issued[0].head.number, issued[-1].head.number
    return f"{document_number(first)} to {document_number(last)}, {customers} customers"


def closing_handlers(desk: ClosingDesk) -> tuple[Handler, ...]:
    """Return the handlers of closing."""
    return (Handler(operations_billing.INVOICE_CLOSE, desk.close, ahead=desk.prepare),)
