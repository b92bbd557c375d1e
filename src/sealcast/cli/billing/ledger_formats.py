"""Owns how the ledger is written for people and their programs: amounts, CSV, a plain text journal.

The journal is what hledger and ledger-cli read: a transaction for each entry, dated by its effective instant.
"""

import csv
import datetime as dt
import io
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from sealcast.billing.periods import format_instant
from sealcast.core.errors import UsageError
from sealcast.ledger.money import Currency, currency, format_micro
from sealcast.messages.bookkeeping import EntryRow

CSV_HEADER = ("number", "id", "effective", "recorded", "currency", "account", "amount", "memo", "corrects")
AMOUNT_COLUMN = 12
ACCOUNT_COLUMN = 40
"""Where amounts end in a journal, unless a name is longer."""


def amount_text(micro: int, code: str) -> str:
    """Return an amount as people write it in a currency: `11.90`; with more decimals only if it has them."""
    known = _known(code)
    if known is None or micro % known.micro_per_minor:
        return format_micro(micro)
    return known.format_minor(micro // known.micro_per_minor)


def csv_text(entries: Iterable[EntryRow], *, with_header: bool = False) -> str:
    """Return entries as CSV (RFC 4180), a line for each posting."""
    text = io.StringIO()
    writer = csv.writer(text)
    if with_header:
        writer.writerow(CSV_HEADER)
    for entry in entries:
        effective, recorded = format_instant(entry.effective_ms), format_instant(entry.recorded_at_ms)
        for posting in entry.postings:
            amount = amount_text(posting.amount_micro, entry.currency)
            row = (entry.number, entry.id, effective, recorded, entry.currency, posting.account, amount)
            writer.writerow((*row, entry.memo, entry.corrects or ""))
    return text.getvalue()


def journal_text(entries: Iterable[EntryRow], zone: ZoneInfo) -> str:
    """Return entries as transactions of a journal, by their dates in `zone`."""
    return "".join(_transaction(entry, zone) for entry in entries)


def _transaction(entry: EntryRow, zone: ZoneInfo) -> str:
    date = dt.datetime.fromtimestamp(entry.effective_ms / 1_000, zone).date()
    # A semicolon would begin a comment, and two spaces may end a payee.
    memo = " ".join(entry.memo.replace(";", ",").split())
    lines = [
        f"{date} ({entry.id}) {memo}".rstrip(),
        f"    ; number: {entry.number}",
        f"    ; effective: {format_instant(entry.effective_ms)}",
        f"    ; recorded: {format_instant(entry.recorded_at_ms)}",
    ]
    if entry.corrects is not None:
        lines.append(f"    ; corrects: {entry.corrects}")
    for posting in entry.postings:
        amount = amount_text(posting.amount_micro, entry.currency)
        lines.append(f"    {posting.account:<{ACCOUNT_COLUMN}}  {amount:>{AMOUNT_COLUMN}} {entry.currency}")
    return "\n".join([*lines, "", ""])


def _known(code: str) -> Currency | None:
    """Return a currency; None where its list is not installed, or has forgotten it since."""
    try:
        return currency(code)
    except (UsageError, ModuleNotFoundError):
        return None
