"""Owns documents as CSV (RFC 4180) for spreadsheets: one row a line, in UTF-8 with a byte order mark.

A spreadsheet takes a cell that begins with = + - @ for a formula and runs it. What came from outside gets an
apostrophe before it then; amounts are numbers of ours and stay.
"""

import csv
import io

from sealcast.billing.wording import clean, plain_amount
from sealcast.ledger.money import MICRO_DECIMALS
from sealcast.messages.bookkeeping import Statement
from sealcast.messages.invoicing import Invoice

BYTE_ORDER_MARK = "\ufeff"
"""Without it a widespread spreadsheet takes UTF-8 for something else."""

FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20|%"
"""The four, their full-width forms, and two by which old programs began a command."""

INVOICE_COLUMNS = (
    "document",
    "number",
    "corrects",
    "issued_at",
    "customer",
    "customer_name",
    "line",
    "device",
    "channel",
    "channel_name",
    "period_start",
    "period_end",
    "tariff",
    "valid_from",
    "name",
    "quantity",
    "units",
    "workings",
    "so_far",
    "billed_before",
    "amount",
    "currency",
    "is_tax",
    "tax_rate",
    "reason",
)
STATEMENT_COLUMNS = (
    "number",
    "issued_at",
    "broadcaster",
    "period_start",
    "period_end",
    "contract",
    "channel",
    "channel_name",
    "billed",
    "share",
    "units",
    "units_amount",
    "minimum",
    "amount",
    "currency",
    "workings",
)


def csv_of(document: Invoice | Statement) -> bytes:
    """Return a document's lines; the amounts add up to its total."""
    text = io.StringIO()
    rows = csv.writer(text)
    if isinstance(document, Invoice):
        rows.writerow(INVOICE_COLUMNS)
        rows.writerows(_invoice_rows(document))
    else:
        rows.writerow(STATEMENT_COLUMNS)
        rows.writerows(_statement_rows(document))
    return (BYTE_ORDER_MARK + text.getvalue()).encode()


def safe_cell(value: str) -> str:
    """Return text that no spreadsheet runs and no line break tears."""
    cell = clean(value)
    return f"'{cell}" if cell.lstrip()[:1] in tuple(FORMULA_STARTS) else cell


def _invoice_rows(invoice: Invoice) -> list[list[str]]:
    def amount(minor: int) -> str:
        return plain_amount(minor, invoice.decimals)

    head = [
        invoice.kind,
        str(invoice.number),
        "" if invoice.corrects is None else str(invoice.corrects),
        safe_cell(invoice.issued_at),
        safe_cell(invoice.customer),
        safe_cell(invoice.customer_name),
    ]
    return [
        [
            *head,
            str(line.line),
            safe_cell(line.device),
            str(line.channel),
            safe_cell(line.channel_name),
            safe_cell(line.period_start),
            safe_cell(line.period_end or ""),
            safe_cell(line.tariff),
            safe_cell(line.valid_from),
            safe_cell(line.name),
            safe_cell(line.quantity or ""),
            str(line.units),
            safe_cell(line.workings),
            amount(line.so_far_minor),
            amount(line.billed_minor),
            amount(line.amount_minor),
            safe_cell(invoice.currency),
            "yes" if line.is_tax else "no",
            plain_amount(line.tax_ppm, MICRO_DECIMALS) if line.is_tax else "",
            safe_cell(invoice.reason),
        ]
        for line in invoice.lines
    ]


def _statement_rows(statement: Statement) -> list[list[str]]:
    def amount(micro: int) -> str:
        return plain_amount(micro, MICRO_DECIMALS)

    return [
        [
            str(statement.number),
            safe_cell(statement.issued_at),
            safe_cell(statement.broadcaster),
            safe_cell(statement.period_start),
            safe_cell(statement.period_end),
            str(line.contract),
            str(line.channel),
            safe_cell(line.channel_name),
            amount(line.billed_micro),
            amount(line.share_micro),
            str(line.units),
            amount(line.units_micro),
            amount(line.minimum_micro),
            amount(line.amount_micro),
            safe_cell(statement.currency),
            safe_cell(line.workings),
        ]
        for line in statement.lines
    ]
