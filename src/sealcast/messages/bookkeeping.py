"""Owns what is said about the ledger, and about what broadcasters are owed.

Amounts are micro-units, millionths of a currency's major unit; instants are milliseconds since 1970.
"""

from typing import Annotated

import msgspec

from sealcast.messages.charging import ROWS_MAX, Instant, PageSize, QuantityName, RowNumber
from sealcast.messages.requests import Request

SHARE_OF_MAX = 1_000_000
"""A share is a fraction, of a millionth at the finest: a third is 1 of 3, and no more and no less."""

SETTLE_MAX = 100
"""Statements that one request issues at most: some 50 ms of the thread that writes."""

EntryId = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


# The ledger


class PostingRow(msgspec.Struct, frozen=True, kw_only=True):
    """An amount on an account, such as `subscriber:TV-0001`: above 0 what it owes or has."""

    account: str
    amount_micro: int


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger as it stands there, `number` in the order of recording."""

    number: int
    id: str
    currency: str
    effective_ms: int
    recorded_at_ms: int
    memo: str
    corrects: str | None
    postings: list[PostingRow]


class LedgerPostRequest(Request, frozen=True, kw_only=True):
    """Operator: an entry of its own making, such as a payment; `id` is the client's: told twice it is one."""

    id: EntryId
    currency: str
    postings: list[PostingRow]
    memo: str = ""
    effective_ms: Instant | None = None


class LedgerReverseRequest(Request, frozen=True, kw_only=True):
    """Operator: take an entry back by another one, whose id is `id`."""

    id: EntryId
    corrects: EntryId
    memo: str = ""


class LedgerPosted(msgspec.Struct, frozen=True, kw_only=True):
    """The entry; `is_new` is False if it had been recorded before."""

    entry: EntryRow
    is_new: bool


class LedgerListRequest(Request, frozen=True, kw_only=True):
    """Operator: entries in the order of recording, above `after`; only those on an account, if given."""

    account: str | None = None
    after: RowNumber = 0
    limit: PageSize = ROWS_MAX


class LedgerList(msgspec.Struct, frozen=True, kw_only=True):
    """Entries; `more` if there are others behind the last."""

    entries: list[EntryRow]
    more: bool = False


class BalancesRequest(Request, frozen=True, kw_only=True):
    """Operator: the balances of `limit` accounts by name, behind `after`; of those that begin with `prefix`.

    `until_ms`: as of the entries effective before that instant.
    """

    prefix: str = ""
    until_ms: Instant | None = None
    after: str = ""
    limit: PageSize = ROWS_MAX


class BalanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has in one currency."""

    account: str
    currency: str
    balance_micro: int


class Balances(msgspec.Struct, frozen=True, kw_only=True):
    """Balances by account and currency; `next` is what to ask behind for more, None if all are told."""

    balances: list[BalanceRow]
    closed_until_ms: int | None
    next: str | None = None


class LedgerCloseRequest(Request, frozen=True, kw_only=True):
    """Operator: take no more entries of an instant before `until_ms`, which is past."""

    until_ms: Instant


# Settlement with broadcasters


class ContractTerms(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What a broadcaster gets of a channel: a share of what was billed net of tax, a price per unit billed.

    The share is `share_parts` of `share_of`; `unit_price_micro` for each `unit_per` of `unit`; at least
    `minimum_micro` for each month, by the part of it in which the contract is in force.
    """

    broadcaster: str
    channel: str
    currency: str
    share_parts: Annotated[int, msgspec.Meta(ge=0, le=SHARE_OF_MAX)] = 0
    share_of: Annotated[int, msgspec.Meta(ge=1, le=SHARE_OF_MAX)] = 100
    unit: QuantityName | None = None
    unit_price_micro: Annotated[int, msgspec.Meta(ge=0)] = 0
    unit_per: Annotated[int, msgspec.Meta(ge=1)] = 1
    minimum_micro: Annotated[int, msgspec.Meta(ge=0)] = 0


class ContractAddRequest(Request, frozen=True, kw_only=True):
    """Operator: a contract from `from_ms` on (None: now), to `until_ms`; one of the same ends then."""

    terms: ContractTerms
    from_ms: Instant | None = None
    until_ms: Instant | None = None


class ContractEndRequest(Request, frozen=True, kw_only=True):
    """Operator: end a contract at `until_ms` (None: now), and not before a month that was settled."""

    number: RowNumber
    until_ms: Instant | None = None


class ContractRow(msgspec.Struct, frozen=True, kw_only=True):
    """A contract on record; `channel` in its terms is the channel's name."""

    number: int
    terms: ContractTerms
    from_ms: int
    until_ms: int | None


class ContractListRequest(Request, frozen=True, kw_only=True):
    """Operator: contracts by number, above `after`."""

    after: RowNumber = 0
    limit: PageSize = ROWS_MAX


class ContractList(msgspec.Struct, frozen=True, kw_only=True):
    """Contracts; `more` if there are others behind the last."""

    contracts: list[ContractRow]
    more: bool = False


class SettleRequest(Request, frozen=True, kw_only=True):
    """Operator: issue the statements of all months that are over; done again it issues nothing twice."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=SETTLE_MAX)] = SETTLE_MAX


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """What one contract comes to in a month: from its share, from units, and what its minimum adds to them.

    `billed_micro` is what invoices less credit notes asked for net of tax; only the minimum is never below 0.
    """

    contract: int
    channel: int
    channel_name: str
    billed_micro: int
    share_micro: int
    units: int
    units_micro: int
    minimum_micro: int
    amount_micro: int
    workings: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What a broadcaster is owed of a month; lines add up to `amount_micro` to the last micro-unit.

    Below 0 it is set off against other months, on the broadcaster's account.
    """

    number: int
    operator: str
    broadcaster: str
    currency: str
    decimals: int
    period_start: str
    period_end: str
    issued_at: str
    lines: list[StatementLine]
    amount_micro: int


class StatementRow(msgspec.Struct, frozen=True, kw_only=True):
    """A statement in a list."""

    number: int
    broadcaster: str
    currency: str
    start_ms: int
    end_ms: int
    issued_at_ms: int
    amount_micro: int


class StatementListRequest(Request, frozen=True, kw_only=True):
    """Operator: statements by number, above `after`."""

    broadcaster: str | None = None
    after: RowNumber = 0
    limit: PageSize = ROWS_MAX


class StatementList(msgspec.Struct, frozen=True, kw_only=True):
    """Statements; `more` if there are others, in a list or still to be issued."""

    statements: list[StatementRow]
    more: bool = False


class PayoutRequest(Request, frozen=True, kw_only=True):
    """Operator: note that a broadcaster was paid what it is owed, in whole minor units; the rest stays.

    `id` is the client's own: told twice it is one payout.
    """

    id: EntryId
    broadcaster: str
    currency: str


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be paid, or was by the same `id`; `left_micro` stays on the account."""

    entry: EntryRow | None
    paid_minor: int
    left_micro: int
    is_new: bool
