"""Owns the way of commands on settlement to the key server: page by page, and what is typed as terms.

Imported by commands when they run, not for their help.
"""

import asyncio
import re
from fractions import Fraction

from sealcast.billing.pricelines import parse_rate
from sealcast.cli.acting import PAGES_MAX, Listing, Operator, client_of
from sealcast.cli.billing.documents import fetch
from sealcast.cli.billing.ledger_formats import amount_text
from sealcast.core.errors import RefusedError, UsageError
from sealcast.ledger.money import MICRO_PER_MAJOR, parse_amount
from sealcast.messages import operations_billing as operations
from sealcast.messages.bookkeeping import (
    SHARE_OF_MAX,
    ContractList,
    ContractRow,
    ContractTerms,
    StatementList,
    StatementRow,
)
from sealcast.messages.charging import ROWS_MAX

STALLS_MAX = 20
"""How often settling may find that something changed under it before it gives up: each takes its turn."""

_FRACTION = re.compile(r"([0-9]{1,7})/([0-9]{1,7})")
_HOW = "write for instance 33.3 or 1/3"


def parse_terms(
    broadcaster: str, channel: str, currency: str, *, share: str, price: str, minimum: str
) -> ContractTerms:
    """Return what was typed as the terms of a contract, empty texts for what it does not say.

    Raises UsageError for what cannot be read.
    """
    part = parse_share(share) if share else Fraction(0)
    quantity, step = parse_rate(price) if price else (None, None)
    return ContractTerms(
        broadcaster=broadcaster,
        channel=channel,
        currency=currency,
        share_parts=part.numerator,
        share_of=part.denominator,
        unit=None if quantity is None else quantity.value,
        unit_price_micro=0 if step is None else step.price_micro,
        unit_per=1 if step is None else step.per,
        minimum_micro=_parse_minimum(minimum) if minimum else 0,
    )


def parse_share(text: str) -> Fraction:
    """Read `33.3`, `33.3 %` or `1/3`; raises UsageError unless it lies above 0 and at 100 % at most."""
    found = _FRACTION.fullmatch(text.strip())
    if found is not None and int(found[2]):
        share = Fraction(int(found[1]), int(found[2]))
    elif found is None:
        try:
            percent_micro = parse_amount(text.removesuffix("%").strip())
        except UsageError as error:
            raise UsageError(f"not a share: {text[:40]!r}; {_HOW}") from error
        share = Fraction(percent_micro, 100 * MICRO_PER_MAJOR)
    else:
        raise UsageError(f"not a share: {text[:40]!r}; {_HOW}")
    if not 0 < share <= 1:
        raise UsageError(f"a share lies above 0 and at 100 % at most, not {text[:40]!r}")
    if share.denominator > SHARE_OF_MAX:
        raise UsageError(f"a share is in millionths at the finest, not {text[:40]!r}")
    return share


_CONTRACTS: Listing[ContractList, ContractRow] = Listing(
    operations.CONTRACT_LIST,
    ContractList,
    lambda page: (page.contracts, page.more),
    lambda row: row.number,
    ROWS_MAX,
)
_STATEMENTS: Listing[StatementList, StatementRow] = Listing(
    operations.STATEMENT_LIST,
    StatementList,
    lambda page: (page.statements, page.more),
    lambda row: row.number,
    ROWS_MAX,
)


def read_contracts(operator: Operator) -> list[ContractRow]:
    """Return all contracts; raises as `KeyServerClient.call`."""
    return _CONTRACTS.ask(operator, 0, PAGES_MAX * ROWS_MAX)[0]


def settle_all(operator: Operator) -> list[StatementRow]:
    """Issue all statements that are due and return them; raises as `KeyServerClient.call`.

    Raises RefusedError `busy` where contracts change again and again meanwhile. What was issued stands.
    """

    async def all_of_them() -> list[StatementRow]:
        issued: list[StatementRow] = []
        stalls = 0
        async with client_of(operator) as client:
            for _ in range(PAGES_MAX):
                answer = await client.expect(operations.SETTLE, StatementList)
                issued += answer.statements
                if not answer.more:
                    break
                stalls = 0 if answer.statements else stalls + 1
                if stalls == STALLS_MAX:
                    raise RefusedError("busy", "somebody else settles at the same time; type it again", 503)
        return issued

    return asyncio.run(all_of_them())


def read_statements(
    operator: Operator, broadcaster: str | None, after: int, limit: int
) -> tuple[list[StatementRow], bool]:
    """Return at most `limit` statements above a number, and whether there are more."""
    return _STATEMENTS.ask(operator, after, limit, broadcaster=broadcaster)


def statement(operator: Operator, number: int) -> bytes:
    """Return the bytes of a statement, as `documents.fetch`."""

    async def ask() -> bytes:
        async with client_of(operator) as client:
            return await fetch(client, operations.STATEMENT_SHOW, number)

    return asyncio.run(ask())


def totals(rows: list[StatementRow]) -> dict[str, str]:
    """Return what statements come to, in each currency."""
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.amount_micro
    return {code: amount_text(sums[code], code) for code in sorted(sums)}


def _parse_minimum(text: str) -> int:
    minimum = parse_amount(text)
    if minimum <= 0:
        raise UsageError(f"a minimum is above 0, not {text[:40]}")
    return minimum
