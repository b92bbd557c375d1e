"""Owns credit notes: what is left of an invoice's lines, and what a credit takes back of them.

```
invoice 000123   line 1  +10.00    line 2  +2.00    line 3  +2.28, the tax on both
credit  000124   line 1  - 4.00                     line 3  -0.76, its share of the tax
left             line 1    6.00    line 2   2.00    line 3   1.52
```
A credit note's lines have the numbers of those they correct. However an invoice is credited, in whatever
pieces, no line ever gives back more than it asked for.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sealcast.billing.invoices import Asked, Issued, LineRow, issue, local_time, sums
from sealcast.billing.tariffs import round_ratio
from sealcast.core.errors import UsageError
from sealcast.ledger.money import currency
from sealcast.messages.invoicing import Invoice, InvoiceLine, document_number


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be credited: all that is left, that of some `lines`, or `amount_minor` of one line.

    With `is_rebilled`, later bills take it for not billed.
    """

    request_id: str
    reason: str
    lines: tuple[int, ...] = ()
    amount_minor: int | None = None
    is_rebilled: bool = False

    def digest(self, number: int) -> bytes:
        """Return what tells this wish of an invoice from another under the same id."""
        said = (number, self.reason, sorted(self.lines), self.amount_minor, self.is_rebilled)
        return hashlib.sha256(msgspec.json.encode(said)).digest()


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a line after the credit notes so far."""

    row: LineRow
    minor: int
    units: int


def left_of(rows: Sequence[LineRow], credited: Mapping[int, tuple[int, int]]) -> dict[int, Left]:
    """Return by line what is left of an invoice; `credited` are sums of minor units and units, below 0."""
    left: dict[int, Left] = {}
    for row in rows:
        minor, units = credited.get(row.line, (0, 0))
        left[row.line] = Left(row, row.due_minor + minor, row.units + units)
    return left


def credit_note(
    invoice: Invoice, left: Mapping[int, Left], wish: Wish, number: int, issued_at_ms: int
) -> Issued:
    """Return the credit note that a wish makes; raises UsageError for what cannot be credited."""
    taken = _taken(left, wish, document_number(invoice.number), invoice.currency)
    rows = tuple(_row(left[line], minor, counts=wish.is_rebilled) for line, minor in sorted(taken.items()))
    lines = [
        _line(line, left[line.line].minor, taken[line.line], invoice.currency)
        for line in invoice.lines
        if line.line in taken
    ]
    net, tax = sums(lines)
    if wish.lines and net + tax > 0:
        raise UsageError("these lines pay something back: to credit them would ask for more")
    note = msgspec.structs.replace(
        invoice,
        kind="credit-note",
        number=number,
        issued_at=local_time(issued_at_ms, invoice.zone),
        lines=lines,
        net_minor=net,
        tax_minor=tax,
        total_minor=net + tax,
        corrects=invoice.number,
        reason=wish.reason,
        reported=[],
    )
    asked = Asked(wish.request_id, wish.digest(invoice.number))
    return issue(note, rows, issued_at_ms, asked)


def _taken(left: Mapping[int, Left], wish: Wish, name: str, code: str) -> dict[int, int]:
    """Return by line what is credited of it, in minor units; never 0."""
    if wish.amount_minor is not None:
        taken = _part(left, wish, name, code)
    elif wish.lines:
        taken = {line: _left_of_line(left, line, name).minor for line in wish.lines}
        empty = [line for line, minor in taken.items() if not minor]
        if empty:
            raise UsageError(f"nothing is left of line {empty[0]} of invoice {name}")
    else:
        taken = {line: each.minor for line, each in left.items() if each.minor}
        if not taken:
            raise UsageError(f"nothing is left of invoice {name}: it was credited, or asks for nothing")
    return taken | _tax(left, taken)


def _part(left: Mapping[int, Left], wish: Wish, name: str, code: str) -> dict[int, int]:
    if len(wish.lines) != 1 or wish.amount_minor is None or wish.amount_minor < 1:
        raise UsageError("an amount above 0 is credited of one line: name that line")
    line = wish.lines[0]
    there = _left_of_line(left, line, name).minor
    if wish.amount_minor > there:
        amount = f"{currency(code).format_minor(there)} {code}"
        raise UsageError(f"line {line} of invoice {name} has {amount} left to credit")
    return {line: wish.amount_minor}


def _left_of_line(left: Mapping[int, Left], line: int, name: str) -> Left:
    if line not in left:
        raise UsageError(f"invoice {name} has no line {line}; it has {len(left)} lines")
    return left[line]


def _tax(left: Mapping[int, Left], taken: Mapping[int, int]) -> dict[int, int]:
    """Return what goes back of the tax on lines that are credited, where it is not named itself.

    What stays is the tax on what stays of them, so it does not matter in which pieces they are credited.
    """
    taxes: dict[int, int] = {}
    for line, tax in left.items():
        if not tax.row.is_tax or line in taken:
            continue
        taxed = {key: each for key, each in left.items() if _subject(each) == _subject(tax) and key != line}
        whole = sum(each.row.due_minor for each in taxed.values())
        if not whole or not taken.keys() & taxed.keys():
            continue
        stays = sum(each.minor - taken.get(key, 0) for key, each in taxed.items())
        share = round_ratio(tax.row.due_minor * stays * (1 if whole > 0 else -1), abs(whole))
        back = tax.minor - min(max(share, min(0, tax.minor)), max(0, tax.minor))
        if back:
            taxes[line] = back
    return taxes


def _subject(left: Left) -> tuple[str, int, int, int]:
    row = left.row
    return row.device, row.channel, row.period_start_ms, row.version_from_ms


def _row(left: Left, minor: int, *, counts: bool) -> LineRow:
    row = left.row
    return LineRow(
        line=row.line,
        device=row.device,
        channel=row.channel,
        period_start_ms=row.period_start_ms,
        version_from_ms=row.version_from_ms,
        name=row.name,
        quantity=row.quantity,
        units=-left.units if minor == left.minor else 0,
        due_minor=-minor,
        is_tax=row.is_tax,
        counts=counts,
    )


def _line(line: InvoiceLine, left_minor: int, taken_minor: int, code: str) -> InvoiceLine:
    """Return a line of the credit note: what was left, and what is left now."""
    money = currency(code)
    stays = left_minor - taken_minor
    return msgspec.structs.replace(
        line,
        workings=(
            f"{money.format_minor(line.amount_minor)} asked, {money.format_minor(taken_minor)} credited, "
            f"{money.format_minor(stays)} left"
        ),
        so_far_minor=stays,
        billed_minor=left_minor,
        amount_minor=-taken_minor,
    )
