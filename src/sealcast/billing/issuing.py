"""Owns how a draft becomes an invoice: numbered lines, instants as the customer's clocks show them.

An invoice has at most `LINES_MAX` lines; a draft with more becomes several, each with whole sums of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from sealcast.billing.closing import Draft, DraftInvoice, DraftLine
from sealcast.billing.facts import AccountFacts
from sealcast.billing.invoices import Issued, LineRow, issue, local_time, sums
from sealcast.billing.tariffs import UNITS_MAX
from sealcast.core.errors import UsageError
from sealcast.ledger.money import AMOUNT_MICRO_MAX, currency
from sealcast.messages.invoicing import LINES_MAX, Invoice, InvoiceLine, ReportedEnd

Rates = Mapping[tuple[str, int, int], int]
"""Rates of tax in millionths, by device, channel and first instant of a version."""


@dataclass(frozen=True, slots=True)
class Bill:
    """An invoice but for its number and its instant; `lines` as later bills need them."""

    invoice: Invoice
    lines: tuple[LineRow, ...]


def bills(
    account: AccountFacts, draft: DraftInvoice, operator: str, reported: Sequence[ReportedEnd]
) -> Iterator[Bill]:
    """Give the invoices of a draft in one currency, in order; `reported` go on the first."""
    rates = tax_rates(account)
    for first in range(0, len(draft.lines), LINES_MAX):
        part = draft.lines[first : first + LINES_MAX]
        lines = [_line(line, nth, account, rates) for nth, line in enumerate(part, 1)]
        net, tax = sums(lines)
        invoice = Invoice(
            kind="invoice",
            number=0,
            operator=operator,
            customer=account.customer,
            customer_name=account.name,
            currency=draft.currency,
            decimals=currency(draft.currency).decimals,
            issued_at="",
            cycle=account.cycle.kind.value,
            zone=account.cycle.zone,
            lines=lines,
            net_minor=net,
            tax_minor=tax,
            total_minor=net + tax,
            reported=[] if first else list(reported),
        )
        yield Bill(invoice, tuple(_row(line, nth) for nth, line in enumerate(part, 1)))


def issue_bill(bill: Bill, number: int, issued_at_ms: int) -> Issued:
    """Return a bill as the invoice of that number; raises LocalError if it does not add up."""
    issued_at = local_time(issued_at_ms, bill.invoice.zone)
    invoice = msgspec.structs.replace(bill.invoice, number=number, issued_at=issued_at)
    return issue(invoice, bill.lines, issued_at_ms)


def check_amounts(draft: Draft) -> None:
    """Raise UsageError for bills of more money, or more units, than there is: their tariff is absurd."""
    for bill in draft.invoices:
        coin = currency(bill.currency).micro_per_minor
        money = sum(abs(line.due_minor) + abs(line.so_far_minor) for line in bill.lines) * coin
        if money > AMOUNT_MICRO_MAX or any(abs(line.units) > UNITS_MAX for line in bill.lines):
            raise UsageError("it would be billed more than there is; look at its tariff")


def tax_rates(account: AccountFacts) -> Rates:
    """Return the rate of tax of each version that applies to a customer."""
    return {
        (each.device, each.channel, version.valid_from_ms): version.tax_ppm
        for each in account.subscriptions
        for timeline in each.timelines
        for version in timeline.tariff.versions
    }


def _line(line: DraftLine, number: int, account: AccountFacts, rates: Rates) -> InvoiceLine:
    zone, period = account.cycle.zone, line.period
    since_ms = line.key.valid_from_ms if line.source is None else line.source.valid_from_ms
    return InvoiceLine(
        line=number,
        device=line.device,
        channel=line.channel,
        channel_name=line.channel_name,
        period_start=local_time(period.start_ms, zone),
        period_end=None if period.end_ms is None else local_time(period.end_ms, zone),
        tariff="" if line.source is None else line.source.tariff,
        valid_from=local_time(since_ms, zone),
        name=line.key.name,
        quantity=line.quantity,
        units=line.units,
        workings=line.workings,
        so_far_minor=line.so_far_minor,
        billed_minor=line.billed_minor,
        amount_minor=line.due_minor,
        is_tax=line.is_tax,
        tax_ppm=rates.get((line.device, line.channel, line.key.valid_from_ms), 0) if line.is_tax else 0,
    )


def _row(line: DraftLine, number: int) -> LineRow:
    return LineRow(
        line=number,
        device=line.device,
        channel=line.channel,
        period_start_ms=line.period.start_ms,
        version_from_ms=line.key.valid_from_ms,
        name=line.key.name,
        quantity=line.quantity,
        units=line.added_units,
        due_minor=line.due_minor,
        is_tax=line.is_tax,
        counts=True,
    )
