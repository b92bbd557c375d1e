"""Owns settlement with broadcasters: statements of months that are over, each once, and payouts.

```
SETTLE   ahead, on a snapshot: months ─► what was billed ─► drafts, and a mark of what they rest on
         unit of work:         mark as it was? ─► number, document, entry of the ledger: all of it or nothing
```
Invoices are never dated back, so a month that is over has all that it will ever have. The mark is for what
was still being written when the snapshot was taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice, pairwise

import msgspec
import sqlalchemy as sa

from sealcast.billing import store_contracts, store_statements
from sealcast.billing.contracts import Contract
from sealcast.billing.invoices import local_time
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.settlement import Billed, Due, Month, cuts, months, settle
from sealcast.billing.store_statements import Issued
from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger import store as ledger
from sealcast.ledger.entries import STATEMENT_PREFIX, Entry, Posting, account
from sealcast.ledger.money import currency
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import (
    SettleRequest,
    Statement,
    StatementLine,
    StatementList,
    StatementListRequest,
    StatementRow,
)
from sealcast.messages.encoding import encode
from sealcast.messages.invoicing import (
    DOCUMENT_CHUNK_BYTES,
    DocumentAnswer,
    DocumentRequest,
    document_number,
)
from sealcast.server.billing.contracts import channel_names
from sealcast.server.billing.shared import BillingShared
from sealcast.server.paging import fill

INCOME = "operator:income"


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement without a number: what one broadcaster is owed of a month in one currency."""

    broadcaster: str
    currency: str
    month: Month
    lines: tuple[StatementLine, ...]
    last_invoice: int

    @property
    def amount_micro(self) -> int:
        """All lines together."""
        return sum(line.amount_micro for line in self.lines)


class Drafted(msgspec.Struct, frozen=True):
    """What was worked out ahead; `mark` is that of the contracts, `more` if there are others to issue."""

    drafts: tuple[Draft, ...]
    mark: tuple[int, int, int]
    more: bool


class SettlementDesk:
    """Issues, lists and shows statements."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    async def draft(self, _: Principal, request: SettleRequest) -> Drafted:
        """Work out the statements that are due, oldest months first, beside the writer."""
        now_ms = self._shared.clock.wall_ns() // NS_PER_MS
        cycle = BillingCycle(PeriodKind.MONTHLY, self._shared.settings.zone)
        return await self._shared.reader.read(
            lambda connection: drafts_due(connection, cycle, now_ms, request.limit)
        )

    def issue(self, call: Call, _: SettleRequest) -> Reply:
        """Issue what was worked out, up to where something that it rests on changed since."""
        drafted = call.ahead
        if not isinstance(drafted, Drafted):
            raise LocalError("no statement was drafted")
        is_same = store_contracts.mark(call.connection) == drafted.mark
        standing = _standing(call.connection, drafted.drafts) if is_same else []
        issued = self._issue(call, standing) if standing else []
        more = drafted.more or len(issued) < len(drafted.drafts)
        return Reply(StatementList(statements=[*issued], more=more))

    def list(self, call: Call, request: StatementListRequest) -> Reply:
        """Return a page of statements."""
        found = store_statements.page(
            call.connection, after=request.after, count=request.limit + 1, broadcaster=request.broadcaster
        )
        page, has_more = fill(found, request.limit)
        return Reply(StatementList(statements=page, more=has_more))

    def show(self, call: Call, request: DocumentRequest) -> Reply:
        """Return a piece of a statement's document."""
        piece = store_statements.piece(call.connection, request.number, request.offset, DOCUMENT_CHUNK_BYTES)
        if piece is None:
            no = f"no statement has the number {request.number}; see: billing settle list"
            raise refusal("unknown-invoice", no)
        return Reply(DocumentAnswer(piece=piece.data, size=piece.size, sha256=piece.sha256.hex()))

    def _issue(self, call: Call, drafts: Sequence[Draft]) -> Sequence[StatementRow]:
        """Give drafts their numbers, and record them with their entries of the ledger."""
        number, last_ms = store_statements.last(call.connection)
        issued_at_ms = max(call.wall_ms, last_ms, drafts[-1].month.end_ms)
        rows = [_row(draft, number + place, issued_at_ms) for place, draft in enumerate(drafts, 1)]
        issued = []
        for row, draft in zip(rows, drafts, strict=True):
            document = encode(self._document(row, draft))
            issued.append(Issued(row, document, sha256(document).digest()))
        store_statements.add(call.connection, issued)
        effective_ms = ledger.open_at(call.connection, issued_at_ms)
        entries = [entry_of(row, effective_ms) for row in rows if row.amount_micro]
        if entries:
            ledger.record_new(call.connection, entries, call.wall_ms)
        first, last = document_number(rows[0].number), document_number(rows[-1].number)
        call.record("statement-issue", first if len(rows) == 1 else f"{first} to {last}")
        return rows

    def _document(self, row: StatementRow, draft: Draft) -> Statement:
        zone = self._shared.settings.zone
        return Statement(
            number=row.number,
            operator=self._shared.operator,
            broadcaster=row.broadcaster,
            currency=row.currency,
            decimals=currency(row.currency).decimals,
            period_start=local_time(row.start_ms, zone),
            period_end=local_time(row.end_ms, zone),
            issued_at=local_time(row.issued_at_ms, zone),
            lines=list(draft.lines),
            amount_micro=row.amount_micro,
        )


def settlement_handlers(desk: SettlementDesk) -> tuple[Handler, ...]:
    """Return the handlers of the operations on statements."""
    return (
        Handler(operations.SETTLE, desk.issue, ahead=desk.draft),
        Handler(operations.STATEMENT_LIST, desk.list),
        Handler(operations.STATEMENT_SHOW, desk.show),
    )


def entry_of(row: StatementRow, effective_ms: int) -> Entry:
    """Return the ledger's entry of a statement that does not come to 0."""
    postings = (
        Posting(INCOME, row.amount_micro),
        Posting(account("broadcaster", row.broadcaster), -row.amount_micro),
    )
    return Entry(f"{STATEMENT_PREFIX}{document_number(row.number)}", row.currency, effective_ms, postings)


def drafts_due(connection: sa.Connection, cycle: BillingCycle, now_ms: int, limit: int) -> Drafted:
    """Work out at most `limit` statements that are due, over any connection that reads.

    Costs the lines of all invoices of each month in it.
    """
    mark, contracts = store_contracts.mark(connection), store_contracts.everything(connection)
    due = list(islice(_months_due(connection, contracts, cycle, now_ms), limit + 1))
    names = channel_names(connection, [each.channel for each in contracts])
    worked_out: dict[Month, tuple[int, tuple[Due, ...]]] = {}
    drafts = []
    for month, broadcaster, code in due[:limit]:
        if month not in worked_out:
            billed = tuple(_billed(connection, contracts, month))
            last = store_statements.last_invoice(connection, month.end_ms)
            worked_out[month] = last, settle(contracts, billed, month)
        last_invoice, dues = worked_out[month]
        lines = tuple(
            _line(each, names[each.contract.channel])
            for each in dues
            if (each.contract.broadcaster, each.contract.currency) == (broadcaster, code)
        )
        drafts.append(Draft(broadcaster, code, month, lines, last_invoice))
    return Drafted(tuple(drafts), mark, len(due) > limit)


def _months_due(
    connection: sa.Connection, contracts: tuple[Contract, ...], cycle: BillingCycle, now_ms: int
) -> Iterator[tuple[Month, str, str]]:
    """Give (month, broadcaster, currency) of all statements that are due, in order of time."""
    settled = store_statements.settled(connection)
    groups: dict[tuple[str, str], list[Contract]] = {}
    for each in contracts:
        groups.setdefault((each.broadcaster, each.currency), []).append(each)
    found = [
        (month.start_ms, broadcaster, code, month)
        for (broadcaster, code), group in groups.items()
        for month in months(group, settled.get((broadcaster, code), 0), now_ms, cycle)
    ]
    for _, broadcaster, code, month in sorted(found, key=lambda each: each[:3]):
        yield month, broadcaster, code


def _billed(connection: sa.Connection, contracts: tuple[Contract, ...], month: Month) -> Iterator[Billed]:
    """Give what was billed in each piece of a month."""
    for start_ms, end_ms in pairwise((*cuts(contracts, month), month.end_ms)):
        yield from store_statements.billed(connection, start_ms, end_ms)


def _standing(connection: sa.Connection, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Return the drafts before the first whose month is settled, or has an invoice that it does not know."""
    settled = store_statements.settled(connection)
    ends = {draft.month.end_ms for draft in drafts}
    last_invoice = {end_ms: store_statements.last_invoice(connection, end_ms) for end_ms in ends}
    standing = []
    for draft in drafts:
        owner, month = (draft.broadcaster, draft.currency), draft.month
        if settled.get(owner, 0) > month.start_ms or last_invoice[month.end_ms] != draft.last_invoice:
            break
        settled[owner] = month.end_ms
        standing.append(draft)
    return standing


def _row(draft: Draft, number: int, issued_at_ms: int) -> StatementRow:
    return StatementRow(
        number=number,
        broadcaster=draft.broadcaster,
        currency=draft.currency,
        start_ms=draft.month.start_ms,
        end_ms=draft.month.end_ms,
        issued_at_ms=issued_at_ms,
        amount_micro=draft.amount_micro,
    )


def _line(due: Due, channel_name: str) -> StatementLine:
    return StatementLine(
        contract=due.contract.number,
        channel=due.contract.channel,
        channel_name=channel_name,
        billed_micro=due.billed_micro,
        share_micro=due.share_micro,
        units=due.units,
        units_micro=due.units_micro,
        minimum_micro=due.minimum_micro,
        amount_micro=due.amount_micro,
        workings=due.workings,
    )
