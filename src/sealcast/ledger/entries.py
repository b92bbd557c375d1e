"""Owns entries of the ledger: postings to accounts that add up to nothing, corrected by more entries.

```
entry invoice-2026-000123     subscriber:TV-0001   + 11.90
                              operator:income      - 10.00
                              tax:19               -  1.90
```
What somebody owes or has is above 0, what is owed to him below. An entry's id is the business's own (an
invoice's number, an order's): told twice it is one entry. An account is a kind and up to three parts, in
which all but letters, digits and `.` `_` `-` is percent-encoded: one name for each account, and no other.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sealcast.core.errors import UsageError
from sealcast.ledger.money import AMOUNT_MICRO_MAX, currency
from sealcast.messages.charging import INSTANT_MS_MAX

POSTINGS_MAX = 10_000
"""A settlement with as many broadcasters is far away; one entry is one transaction."""

ID_CHARS_MAX = 128
MEMO_CHARS_MAX = 500
INVOICE_PREFIX, STATEMENT_PREFIX = "invoice-", "statement-"
"""How the ids of entries begin that belong to a document; nobody else makes or takes back one of these."""

PART_CHARS_MAX = 128
"""As long as the name of a party."""

ACCOUNT_CHARS_MAX = 512
"""One part in which every character is encoded, and room for others."""

CASH = "operator:cash"
"""What was paid, to the operator and by him; for each of his bank accounts there may be one below it."""

_KIND = re.compile(r"[a-z][a-z-]{0,31}")
_PART = re.compile(rf"[!-~]{{1,{PART_CHARS_MAX}}}")
_PLAIN = re.compile(r"[A-Za-z0-9._-]")
_ENCODED = r"(?:[A-Za-z0-9._-]|%(?:2[1-9A-CF]|3[A-F]|40|5[BCDE]|60|7[B-E]))"
_ACCOUNT = re.compile(rf"{_KIND.pattern}(?::{_ENCODED}{{1,{PART_CHARS_MAX}}}){{0,3}}")
_ID = re.compile(rf"[A-Za-z0-9][A-Za-z0-9:._/-]{{0,{ID_CHARS_MAX - 1}}}")


@dataclass(frozen=True, slots=True, order=True)
class Posting:
    """An amount in micro-units on one account: `subscriber:TV-0001`, `operator:income`, `tax:19`."""

    account: str
    amount_micro: int


@dataclass(frozen=True, slots=True)
class Entry:
    """Postings in one currency that add up to nothing, of what happened at `effective_ms`.

    `corrects` names the entry that this one takes back. Raises UsageError for an entry that does not balance,
    has no postings or more than `POSTINGS_MAX`, or names what is no account or currency.
    """

    id: str
    currency: str
    effective_ms: int
    postings: tuple[Posting, ...]
    memo: str = ""
    corrects: str | None = None

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise UsageError(f"an entry's id has 1 to {ID_CHARS_MAX} letters, digits and . : / _ -")
        if self.corrects is not None and not _ID.fullmatch(self.corrects):
            raise UsageError(f"not an entry's id: {self.corrects[:40]!r}")
        currency(self.currency)
        if len(self.memo) > MEMO_CHARS_MAX:
            raise UsageError(f"an entry's memo has at most {MEMO_CHARS_MAX} characters")
        if not self.memo.isprintable():
            raise UsageError("an entry's memo is one line without control characters")
        if not 0 <= self.effective_ms <= INSTANT_MS_MAX:
            raise UsageError("an entry is of an instant from the year 1970 to 9999")
        _check_postings(self.id, self.postings)

    def is_same_as(self, other: "Entry") -> bool:
        """Whether two entries say the same, in whatever order: then the second is the first, told again."""
        return (
            (self.id, self.currency, self.effective_ms, self.memo, self.corrects)
            == (other.id, other.currency, other.effective_ms, other.memo, other.corrects)
        ) and sorted(self.postings) == sorted(other.postings)


def account(kind: str, *parts: str) -> str:
    """Return an account's name: `account("subscriber", "a/b")` is `subscriber:a%2Fb`.

    A part is printable ASCII without spaces. Raises UsageError for what makes no account.
    """
    for part in parts:
        if not _PART.fullmatch(part):
            raise UsageError(
                f"an account's part has 1 to {PART_CHARS_MAX} ASCII characters without spaces: {part[:80]!r}"
            )
    name = ":".join((kind, *(_encode(part) for part in parts)))
    check_account(name)
    return name


def check_account(name: str) -> None:
    """Raise UsageError for what is not the name of an account."""
    if len(name) > ACCOUNT_CHARS_MAX or not _ACCOUNT.fullmatch(name):
        raise UsageError(f"not an account: {name[:80]!r}; write for instance subscriber:TV-0001")


def is_cash(name: str) -> bool:
    """Whether an account is one of real money, which comes in whole coins."""
    return name == CASH or name.startswith(f"{CASH}:")


def reverse(entry: Entry, id: str, effective_ms: int, memo: str) -> Entry:  # noqa: A002 - the field's name
    """Return the entry that takes another back; both stay for ever."""
    postings = tuple(Posting(each.account, -each.amount_micro) for each in entry.postings)
    return Entry(id, entry.currency, effective_ms, postings, memo, corrects=entry.id)


def balances(entries: Iterable[Entry]) -> dict[tuple[str, str], int]:
    """Return the balance of each (account, currency) in micro-units; all of one currency add up to 0."""
    totals: dict[tuple[str, str], int] = {}
    for entry in entries:
        for posting in entry.postings:
            key = posting.account, entry.currency
            totals[key] = totals.get(key, 0) + posting.amount_micro
    return totals


def divide(amount_micro: int, weights: tuple[int, ...]) -> tuple[int, ...]:
    """Return an amount divided by weights to the last micro-unit: the parts add up to it, none is off by one.

    The largest remainders get what is left over, the first of equal ones. Raises UsageError if there is no
    weight above 0, or one below.
    """
    whole = sum(weights)
    if not weights or min(weights) < 0 or whole == 0:
        raise UsageError("shares are numbers from 0 on, and not all of them 0")
    sign, size = (-1 if amount_micro < 0 else 1), abs(amount_micro)
    parts = [size * weight // whole for weight in weights]
    rest = sorted(range(len(weights)), key=lambda place: (-(size * weights[place] % whole), place))
    for place in rest[: size - sum(parts)]:
        parts[place] += 1
    return tuple(sign * part for part in parts)


def _check_postings(id_: str, postings: tuple[Posting, ...]) -> None:
    if not 1 <= len(postings) <= POSTINGS_MAX:
        raise UsageError(f"an entry has 1 to {POSTINGS_MAX} postings")
    for posting in postings:
        check_account(posting.account)
        if not 0 < abs(posting.amount_micro) <= AMOUNT_MICRO_MAX:
            raise UsageError(f"entry {id_}: nothing, or more than there is, on {posting.account}")
    total = sum(posting.amount_micro for posting in postings)
    if sum(abs(posting.amount_micro) for posting in postings) > 2 * AMOUNT_MICRO_MAX:
        raise UsageError(f"entry {id_} is of more money than there is")
    if total:
        raise UsageError(f"entry {id_} does not balance: its postings add up to {total} micro-units")


def _encode(part: str) -> str:
    return "".join(each if _PLAIN.fullmatch(each) else f"%{ord(each):02X}" for each in part)
