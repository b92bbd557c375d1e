"""Owns what operators do with the ledger: post, take back, list, see balances, close the books.

Invoices, credit notes and statements post by themselves, under ids that are theirs alone; an operator may
post to any account, under any other id.
"""

from collections.abc import Iterable
from functools import partial
from itertools import groupby

import msgspec
import sqlalchemy as sa

from sealcast.core.errors import LocalError, UsageError
from sealcast.keyserver.calls import Call, Handler, Principal, Reply
from sealcast.keyserver.values import refusal
from sealcast.ledger import reading, store
from sealcast.ledger.entries import (
    INVOICE_PREFIX,
    STATEMENT_PREFIX,
    Entry,
    Posting,
    check_account,
    is_cash,
    reverse,
)
from sealcast.ledger.money import currency
from sealcast.ledger.reading import Balance
from sealcast.ledger.store import Recorded
from sealcast.messages import operations_billing
from sealcast.messages.answers import Done
from sealcast.messages.bookkeeping import (
    BalanceRow,
    Balances,
    BalancesRequest,
    LedgerCloseRequest,
    LedgerList,
    LedgerListRequest,
    LedgerPosted,
    LedgerPostRequest,
    LedgerReverseRequest,
)
from sealcast.messages.encoding import encode
from sealcast.server.billing.shared import BillingShared
from sealcast.server.paging import PAGE_BYTES_MAX, fill

AHEAD_MS_MAX = 366 * 24 * 3_600_000
"""How far ahead an entry may be dated: who means more has mistyped the year."""

RESERVED = (INVOICE_PREFIX, STATEMENT_PREFIX)


class LedgerDesk:
    """Carries out what operators ask of the ledger."""

    def __init__(self, shared: BillingShared) -> None:
        self._shared = shared

    def post(self, call: Call, request: LedgerPostRequest) -> Reply:
        """Record an entry; without an instant it is of now, or of when it was first told."""
        check_id(request.id)
        effective_ms = request.effective_ms
        if effective_ms is None:
            effective_ms = _effective_ms(call, request.id)
        if effective_ms > call.wall_ms + AHEAD_MS_MAX:
            raise refusal("bad-request", "an entry is dated a year ahead at most")
        postings = tuple(Posting(each.account, each.amount_micro) for each in request.postings)
        entry = Entry(request.id, request.currency, effective_ms, postings, request.memo)
        _check_coins(entry)
        return _posted(call, store.record(call.connection, entry, call.wall_ms), "ledger-post")

    def reverse(self, call: Call, request: LedgerReverseRequest) -> Reply:
        """Take an entry back as of now, unless it belongs to a document."""
        check_id(request.id)
        if request.corrects.startswith(INVOICE_PREFIX):
            raise refusal(
                "bad-request",
                f"entry {request.corrects} belongs to an invoice; write a credit note:"
                " sealcast billing invoice credit",
            )
        if request.corrects.startswith(STATEMENT_PREFIX):
            raise refusal(
                "bad-request",
                f"entry {request.corrects} belongs to a statement, which stands; post the difference",
            )
        wrong = store.find(call.connection, request.corrects)
        if wrong is None:
            raise refusal("unknown-entry", f"no entry has the id {request.corrects[:80]!r}")
        entry = reverse(store.entry_of(wrong), request.id, _effective_ms(call, request.id), request.memo)
        return _posted(call, store.record(call.connection, entry, call.wall_ms), "ledger-reverse")

    def close(self, call: Call, request: LedgerCloseRequest) -> Reply:
        """Close the books until an instant that is past; they are never opened again."""
        if store.close(call.connection, request.until_ms, call.wall_ms):
            call.record("ledger-close", str(request.until_ms))
        return Reply(Done(jti=request.jti))

    async def read_page(self, _: Principal, request: LedgerListRequest) -> LedgerList:
        """Read a page of entries beside the writer."""
        if request.account is not None:
            try:
                check_account(request.account)
            except UsageError as error:
                raise refusal("bad-request", str(error)) from error
        return await self._shared.reader.read(partial(_page, request))

    async def read_balances(self, _: Principal, request: BalancesRequest) -> Balances:
        """Read a page of balances beside the writer."""
        return await self._shared.reader.read(partial(_balances, request))


def ledger_handlers(shared: BillingShared) -> tuple[Handler, ...]:
    """Return the handlers of the operations on the ledger."""
    desk = LedgerDesk(shared)
    return (
        Handler(operations_billing.LEDGER_POST, desk.post),
        Handler(operations_billing.LEDGER_REVERSE, desk.reverse),
        Handler(operations_billing.LEDGER_LIST, _brought, ahead=desk.read_page),
        Handler(operations_billing.LEDGER_BALANCES, _brought, ahead=desk.read_balances),
        Handler(operations_billing.LEDGER_CLOSE, desk.close),
    )


def check_id(id_: str) -> None:
    """Raise a refusal for an id that only the program's own entries have."""
    if id_.startswith(RESERVED):
        raise refusal(
            "bad-request", f"ids of entries of documents begin with {' or '.join(RESERVED)}; take another"
        )


def _check_coins(entry: Entry) -> None:
    """Raise a refusal for cash in less than coins."""
    coin_micro = currency(entry.currency).micro_per_minor
    for posting in entry.postings:
        if posting.amount_micro % coin_micro and is_cash(posting.account):
            raise refusal("bad-request", f"cash in {entry.currency} is paid in whole coins")


def _effective_ms(call: Call, id_: str) -> int:
    """Return the instant of an entry that is told without one."""
    earlier = store.find(call.connection, id_)
    return earlier.effective_ms if earlier else store.open_at(call.connection, call.wall_ms)


def _posted(call: Call, recorded: Recorded, what: str) -> Reply:
    if recorded.is_new:
        call.record(what, recorded.row.id)
    return Reply(LedgerPosted(entry=recorded.row, is_new=recorded.is_new))


def _brought(call: Call, _: object) -> Reply:
    """Hand on what was read ahead."""
    if not isinstance(call.ahead, msgspec.Struct):
        raise LocalError("nothing was read ahead")
    return Reply(call.ahead)


def _page(request: LedgerListRequest, connection: sa.Connection) -> LedgerList:
    rows = reading.page(connection, request.account, request.after, request.limit + 1)
    entries, has_more = fill(rows, request.limit)
    return LedgerList(entries=entries, more=has_more)


def _balances(request: BalancesRequest, connection: sa.Connection) -> Balances:
    closed_ms = store.closed_until(connection)
    names = reading.accounts(connection, request.prefix, request.after, request.limit + 1)
    wanted = names[: request.limit]
    if not wanted:
        return Balances(balances=[], closed_until_ms=closed_ms)
    found = reading.balances(connection, wanted[0], wanted[-1], request.until_ms)
    rows, is_cut = _whole_accounts(found)
    last = rows[-1].account if is_cut else wanted[-1]
    has_more = is_cut or len(names) > len(wanted)
    return Balances(balances=rows, closed_until_ms=closed_ms, next=last if has_more else None)


def _whole_accounts(found: Iterable[Balance]) -> tuple[list[BalanceRow], bool]:
    """Return the balances of as many accounts as an answer holds, and whether any were left out."""
    page: list[BalanceRow] = []
    size = 0
    for _, of_account in groupby(found, key=lambda each: each.account):
        rows = [
            BalanceRow(account=each.account, currency=each.currency, balance_micro=each.balance_micro)
            for each in of_account
        ]
        size += sum(len(encode(row)) + 1 for row in rows)
        if page and size > PAGE_BYTES_MAX:
            return page, True
        page += rows
    return page, False
