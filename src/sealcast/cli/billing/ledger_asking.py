"""Owns the way of commands on the ledger to the key server: page by page, and a payment with what it leaves.

Imported by commands when they run, not for their help.
"""

import asyncio
from collections.abc import Callable

from sealcast.cli.acting import PAGES_MAX, Operator, ask, client_of, read_pages
from sealcast.core.errors import UsageError
from sealcast.ledger.entries import check_account
from sealcast.ledger.money import parse_amount
from sealcast.messages import operations_billing
from sealcast.messages.bookkeeping import (
    BalanceRow,
    Balances,
    EntryRow,
    LedgerList,
    LedgerPosted,
    PostingRow,
)
from sealcast.messages.charging import ROWS_MAX


def read_entries(
    operator: Operator,
    take: Callable[[list[EntryRow]], None],
    *,
    account: str | None = None,
    after: int = 0,
    limit: int | None = None,
) -> bool:
    """Hand entries to `take` page by page, at most `limit`; return whether there are more.

    Memory is that of a page. Raises as `KeyServerClient.call`.
    """

    async def all_pages() -> bool:
        behind, left = after, limit
        async with client_of(operator) as client:
            for _ in range(PAGES_MAX):
                fields = {"account": account, "after": behind, "limit": min(ROWS_MAX, left or ROWS_MAX)}
                page = await client.expect(operations_billing.LEDGER_LIST, LedgerList, **fields)
                take(page.entries)
                left = None if left is None else left - len(page.entries)
                if not page.more or not page.entries or left == 0:
                    return page.more
                behind = page.entries[-1].number
        return True

    return asyncio.run(all_pages())


def read_balances(
    operator: Operator, prefix: str, until_ms: int | None
) -> tuple[list[BalanceRow], int | None]:
    """Return all balances of accounts that begin with `prefix`, and until when the books are closed."""
    found: list[BalanceRow] = []
    closed_ms: int | None = None

    def take(page: Balances) -> str | None:
        nonlocal closed_ms
        found.extend(page.balances)
        closed_ms = page.closed_until_ms
        return page.next

    fields = {"prefix": prefix, "until_ms": until_ms}
    read_pages(operator, operations_billing.LEDGER_BALANCES, Balances, take, **fields)
    return found, closed_ms


def post(
    operator: Operator,
    id_: str,
    currency: str,
    postings: list[tuple[str, int]],
    *,
    memo: str,
    effective_ms: int | None,
) -> LedgerPosted:
    """Have an entry recorded, amounts in micro-units; raises UsageError for what is no account."""
    for account, _ in postings:
        check_account(account)
    rows = [PostingRow(account=account, amount_micro=amount) for account, amount in postings]
    fields = {"id": id_, "currency": currency, "postings": rows, "memo": memo, "effective_ms": effective_ms}
    return ask(operator, operations_billing.LEDGER_POST, LedgerPosted, **fields)


def parse_posting(text: str) -> tuple[str, int]:
    """Read `ACCOUNT=AMOUNT`; return the account and micro-units. Raises UsageError."""
    account, equals, amount = text.rpartition("=")
    if not equals:
        raise UsageError(f"not a posting: {text[:80]!r}; write for instance operator:cash=9.99")
    return account, parse_amount(amount)


def parse_positive(text: str) -> int:
    """Read an amount above 0, in micro-units; raises UsageError."""
    amount = parse_amount(text)
    if amount <= 0:
        raise UsageError(f"an amount here is above 0, not {text[:40]}")
    return amount
