"""Owns what a bill says to people, in order: the one model that page, PDF and terminal are made from.

```
Sheet ─┬─ facts      number, customer, periods, time zone, what is corrected
       ├─ groups ──┬─ one for each device and channel (or contract)
       │           └─ parts ── one for each period and tariff ── rows with their workings
       ├─ totals     net, tax, total
       └─ reports    what devices said themselves
```
All of it is text, cleaned of control characters; whoever shows it escapes it as its form demands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sealcast.billing import wording
from sealcast.billing.wording import amount_text, clean
from sealcast.messages.bookkeeping import Statement, StatementLine
from sealcast.messages.invoicing import Invoice, InvoiceLine, document_number

PERIODS_NAMED_MAX = 3
"""Periods that stand at the top; each line stands under its own in any case."""

CYCLES = {"monthly": "monthly", "weekly": "weekly", "daily": "daily", "closing": "when a subscription ends"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a bill: its place, what it is for, how many units, the workings, and the amount."""

    place: str
    name: str
    units: str
    notes: tuple[str, ...]
    amount: str


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of one period under one tariff."""

    heading: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """What belongs to one device and channel, or one channel of a broadcaster, and its sum."""

    heading: str
    parts: tuple[Part, ...]
    amount: str


@dataclass(frozen=True, slots=True)
class Total:
    """A sum at the end; the last of a sheet is the one to pay."""

    label: str
    amount: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """All that a bill says. `recipient` is the customer's name, `sha256` (hex) is of the document."""

    title: str
    issuer: str
    recipient: str
    recipient_id: str
    currency: str
    facts: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    totals: tuple[Total, ...]
    reports: tuple[tuple[str, ...], ...]
    issued_at: str
    sha256: str


REPORT_HEADERS = ("Device", "Channel", "Ended", "Why", "Packets", "Last index")
REPORT_NOTE = (
    "What the devices themselves reported at the end of a reception. It explains, and changes no charge."
)


def sheet_of(document: Invoice | Statement, sha256: str) -> Sheet:
    """Return what a document says to people. Cost: some µs a line."""
    return _invoice(document, sha256) if isinstance(document, Invoice) else _statement(document, sha256)


def title_of(document: Invoice | Statement) -> str:
    """Return what a document is called: `Invoice 000123`."""
    if isinstance(document, Statement):
        return f"Statement {document_number(document.number)}"
    kind = "Credit note" if document.kind == "credit-note" else "Invoice"
    return f"{kind} {document_number(document.number)}"


# Invoices and credit notes


def _invoice(invoice: Invoice, sha256: str) -> Sheet:
    decimals = invoice.decimals
    return Sheet(
        title=title_of(invoice),
        issuer=clean(invoice.operator),
        recipient=clean(invoice.customer_name or invoice.customer),
        recipient_id=clean(invoice.customer),
        currency=clean(invoice.currency),
        facts=_invoice_facts(invoice),
        groups=tuple(
            _group(list(lines), invoice)
            for _, lines in groupby(
                sorted(invoice.lines, key=_place), key=lambda line: (line.device, line.channel)
            )
        ),
        totals=(
            Total("Net", amount_text(invoice.net_minor, decimals)),
            *_taxes(invoice),
            Total("Total", amount_text(invoice.total_minor, decimals)),
        ),
        reports=tuple(
            tuple(
                clean(each)
                for each in (
                    report.device,
                    report.channel_name,
                    wording.instant_text(report.ended_at),
                    report.reason,
                    f"{report.packets:,}",
                    wording.DASH if report.last_index is None else f"{report.last_index:,}",
                )
            )
            for report in invoice.reported
        ),
        issued_at=invoice.issued_at,
        sha256=sha256,
    )


def _invoice_facts(invoice: Invoice) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Number", document_number(invoice.number)),
        ("Issued", wording.instant_text(invoice.issued_at)),
        ("Customer", invoice.customer),
        ("Billed", CYCLES[invoice.cycle]),
        ("Time zone", invoice.zone),
        *_periods(invoice.lines),
    ]
    if invoice.corrects is not None:
        facts.append(("Corrects", f"Invoice {document_number(invoice.corrects)}"))
    if invoice.reason:
        facts.append(("Reason", invoice.reason))
    return tuple((label, clean(value)) for label, value in facts)


def _taxes(invoice: Invoice) -> list[Total]:
    """Return what each rate of tax comes to."""
    rates: dict[int, int] = {}
    for line in invoice.lines:
        if line.is_tax:
            rates[line.tax_ppm] = rates.get(line.tax_ppm, 0) + line.amount_minor
    return [
        Total(f"Tax {wording.percent_text(ppm)}", amount_text(minor, invoice.decimals))
        for ppm, minor in sorted(rates.items())
    ] or [Total("Tax", amount_text(invoice.tax_minor, invoice.decimals))]


def _periods(lines: Sequence[InvoiceLine]) -> list[tuple[str, str]]:
    """Return the fact that names the periods of all lines, the latest first: others are late usage."""
    spans = sorted({(line.period_start, line.period_end or "") for line in lines}, reverse=True)
    if not spans:
        return []
    named = [wording.period_text(start, end or None) for start, end in spans[:PERIODS_NAMED_MAX]]
    more = len(spans) - len(named)
    text = "; ".join(named) + (f"; and {more} more" if more else "")
    return [("Period" if len(spans) == 1 else "Periods", text)]


def _place(line: InvoiceLine) -> tuple[str, int, str, str, str, str, int]:
    """Return where a line stands: by device and channel, period, tariff and version, then by number."""
    return (
        line.device,
        line.channel,
        line.period_start,
        line.period_end or "",
        line.tariff,
        line.valid_from,
        line.line,
    )


def _group(lines: list[InvoiceLine], invoice: Invoice) -> Group:
    decimals = invoice.decimals
    parts = []
    for _, members in groupby(lines, key=lambda line: _place(line)[2:-1]):
        rows = list(members)
        parts.append(Part(_part_heading(rows[0]), tuple(_row(line, invoice) for line in rows)))
    first = lines[0]
    channel = clean(first.channel_name) or f"channel {first.channel}"
    return Group(
        heading=f"{clean(first.device)} · {channel}" if first.device else channel,
        parts=tuple(parts),
        amount=amount_text(sum(line.amount_minor for line in lines), decimals),
    )


def _part_heading(line: InvoiceLine) -> str:
    period = wording.period_text(line.period_start, line.period_end)
    prices = f"tariff {line.tariff}, prices of {wording.day_text(line.valid_from)}" if line.tariff else ""
    return clean(" · ".join(each for each in (period, prices) if each))


def _row(line: InvoiceLine, invoice: Invoice) -> Row:
    decimals = invoice.decimals
    notes = [line.workings]
    # What a credit note takes back is in its workings; units are those of the line that it corrects.
    if line.billed_minor and invoice.corrects is None:
        notes.append(
            f"{amount_text(line.so_far_minor, decimals)} so far in this period,"
            f" {amount_text(line.billed_minor, decimals)} billed before"
        )
    return Row(
        place=str(line.line),
        name=_name(line),
        units=wording.units_text(line.quantity, line.units) if invoice.corrects is None else "",
        notes=tuple(clean(note) for note in notes if note),
        amount=amount_text(line.amount_minor, decimals),
    )


def _name(line: InvoiceLine) -> str:
    """Return what a line is for: as its price is called, or what we call a tax or a limit."""
    if line.is_tax and line.tax_ppm:
        return f"Tax {wording.percent_text(line.tax_ppm)}"
    name = clean(line.name)
    return name[:1].upper() + name[1:] if line.quantity is None else name


# Statements


def _statement(statement: Statement, sha256: str) -> Sheet:
    amounts = [statement.amount_micro, *(each for line in statement.lines for each in _amounts(line))]
    decimals = wording.micro_decimals(amounts, statement.decimals)
    period = wording.period_text(statement.period_start, statement.period_end)
    facts = (
        ("Number", document_number(statement.number)),
        ("Issued", wording.instant_text(statement.issued_at)),
        ("Broadcaster", statement.broadcaster),
        ("Month", period),
    )
    return Sheet(
        title=title_of(statement),
        issuer=clean(statement.operator),
        recipient=clean(statement.broadcaster),
        recipient_id=clean(statement.broadcaster),
        currency=clean(statement.currency),
        facts=tuple((label, clean(value)) for label, value in facts),
        groups=tuple(_contract(line, place, decimals) for place, line in enumerate(statement.lines, 1)),
        totals=(Total("Owed to the broadcaster", wording.micro_text(statement.amount_micro, decimals)),),
        reports=(),
        issued_at=statement.issued_at,
        sha256=sha256,
    )


def _amounts(line: StatementLine) -> tuple[int, ...]:
    return line.billed_micro, line.share_micro, line.units_micro, line.minimum_micro, line.amount_micro


def _contract(line: StatementLine, place: int, decimals: int) -> Group:
    """Return one contract of a statement: what each of its terms comes to, and what is owed."""
    terms = [
        f"billed net of tax {wording.micro_text(line.billed_micro, decimals)}",
        f"share {wording.micro_text(line.share_micro, decimals)}",
        f"units {wording.micro_text(line.units_micro, decimals)}",
        f"minimum {wording.micro_text(line.minimum_micro, decimals)}",
    ]
    amount = wording.micro_text(line.amount_micro, decimals)
    row = Row(
        place=str(place),
        name=f"Contract {line.contract}",
        units=f"{line.units:,} units" if line.units else "",
        notes=tuple(clean(note) for note in (line.workings, ", ".join(terms)) if note),
        amount=amount,
    )
    heading = clean(line.channel_name) or f"channel {line.channel}"
    return Group(heading, (Part("", (row,)),), amount)
