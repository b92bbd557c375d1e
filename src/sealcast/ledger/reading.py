"""Owns long reads of the ledger: pages of entries, and balances that cost a walk over all postings.

They are for connections beside the writer's (`storage.reading`); only `balance` is short.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.ledger.entries import ACCOUNT_CHARS_MAX
from sealcast.ledger.store import read_entry
from sealcast.ledger.tables import ledger_entries, ledger_postings
from sealcast.messages.bookkeeping import EntryRow

BEFORE_ALL, BEHIND_ALL = " ", "\x7f"
"""Come before and after every character of an account's name."""

HALF_MICRO = 1_000_000
"""Sums are made of two halves: SQLite adds up to 2^63 only, ten of our largest amounts."""

_amount = ledger_postings.c.amount_micro
_HALVES = (
    sa.func.sum(_amount.op("/", return_type=sa.BigInteger)(HALF_MICRO)),
    sa.func.sum(_amount.op("%", return_type=sa.BigInteger)(HALF_MICRO)),
)
_JOINED = ledger_postings.join(ledger_entries, ledger_entries.c.number == ledger_postings.c.entry)
_BALANCES = (
    sa.select(ledger_postings.c.account, ledger_entries.c.currency, *_HALVES)
    .select_from(_JOINED)
    .where(ledger_postings.c.account.between(sa.bindparam("first"), sa.bindparam("last")))
    .group_by(ledger_postings.c.account, ledger_entries.c.currency)
    .order_by(ledger_postings.c.account, ledger_entries.c.currency)
)
_BALANCES_THEN = _BALANCES.where(ledger_entries.c.effective_ms < sa.bindparam("until_ms"))
_BALANCE = (
    sa.select(*_HALVES)
    .select_from(_JOINED)
    .where(
        ledger_postings.c.account == sa.bindparam("of_account"),
        ledger_entries.c.currency == sa.bindparam("in_currency"),
    )
)
_NEXT_ACCOUNTS = sa.text(
    "WITH RECURSIVE named(name) AS ("
    " SELECT min(account) FROM ledger_postings WHERE account >= :first"
    " UNION ALL SELECT (SELECT min(account) FROM ledger_postings WHERE account > named.name)"
    " FROM named WHERE named.name < :behind)"
    " SELECT name FROM named WHERE name < :behind LIMIT :count"
)
"""From account to account by the index: a thousand of them cost no more, however many postings they have."""

_PAGE = (
    sa.select(ledger_entries)
    .where(ledger_entries.c.number > sa.bindparam("after"))
    .order_by(ledger_entries.c.number)
    .limit(sa.bindparam("count"))
)
_ON_ACCOUNT = ledger_entries.c.number.in_(
    sa.select(ledger_postings.c.entry)
    .where(
        ledger_postings.c.account == sa.bindparam("on_account"),
        ledger_postings.c.entry > sa.bindparam("after"),
    )
    .distinct()
    .order_by(ledger_postings.c.entry)
    .limit(sa.bindparam("count"))
)
_PAGE_OF = _PAGE.where(_ON_ACCOUNT)

_UNBALANCED = (
    sa.select(ledger_entries.c.number)
    .outerjoin(ledger_postings, ledger_postings.c.entry == ledger_entries.c.number)
    .where(ledger_entries.c.number > sa.bindparam("after"), ledger_entries.c.number <= sa.bindparam("last"))
    .group_by(ledger_entries.c.number)
    .having(
        sa.or_(
            sa.func.count(_amount) != ledger_entries.c.postings,
            sa.func.coalesce(sa.func.sum(_amount), 0) != 0,
        )
    )
)


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has in one currency."""

    account: str
    currency: str
    balance_micro: int


def page(connection: sa.Connection, account: str | None, after: int, count: int) -> Iterator[EntryRow]:
    """Give at most `count` entries above the number `after`, only those on an account if one is given."""
    entries = _PAGE if account is None else _PAGE_OF
    values = {"after": after, "count": count, "on_account": account}
    for row in connection.execute(entries, values).all():
        yield read_entry(connection, row)


def accounts(connection: sa.Connection, prefix: str, after: str, count: int) -> list[str]:
    """Return the names of at most `count` accounts that begin with `prefix`, by name, behind `after`."""
    if len(prefix) > ACCOUNT_CHARS_MAX:
        return []
    first = after + BEFORE_ALL if after >= prefix else prefix
    values = {"first": first, "behind": prefix + BEHIND_ALL, "count": count}
    return list(connection.execute(_NEXT_ACCOUNTS, values).scalars())


def balances(connection: sa.Connection, first: str, last: str, until_ms: int | None = None) -> list[Balance]:
    """Return the balances of the accounts from `first` to `last`, by name and currency.

    `until_ms`: as of the entries effective before it. Costs a microsecond for each posting on them.
    """
    query = _BALANCES if until_ms is None else _BALANCES_THEN
    values = {"first": first, "last": last, "until_ms": until_ms}
    return [
        Balance(account, currency, major * HALF_MICRO + minor)
        for account, currency, major, minor in connection.execute(query, values)
    ]


def balance(connection: sa.Connection, account: str, currency: str) -> int:
    """Return what one account has in one currency, in micro-units: a microsecond for each posting on it."""
    major, minor = connection.execute(_BALANCE, {"of_account": account, "in_currency": currency}).one()
    return (major or 0) * HALF_MICRO + (minor or 0)


def unbalanced(connection: sa.Connection, after: int, last: int) -> list[int]:
    """Return the numbers of entries above `after` up to `last` that lack postings or do not add up.

    The database takes none that does not: only a file that was tampered with has any.
    """
    return list(connection.execute(_UNBALANCED, {"after": after, "last": last}).scalars())
