"""Owns the export of the ledger to standard output, a page at a time, however long it is.

Imported by commands when they run, not for their help.
"""

import sys

from sealcast.billing.periods import zone_of
from sealcast.cli.acting import Operator
from sealcast.cli.billing.ledger_asking import read_entries
from sealcast.cli.billing.ledger_formats import csv_text, journal_text
from sealcast.messages.bookkeeping import EntryRow

CSV = "csv"


def export(operator: Operator, format_: str, zone_name: str, after: int) -> None:
    """Write the entries above the number `after`; raises UsageError for an unknown time zone."""
    zone = zone_of(zone_name)

    def write(entries: list[EntryRow]) -> None:
        text = csv_text(entries) if format_ == CSV else journal_text(entries, zone)
        sys.stdout.write(text)

    if format_ == CSV:
        sys.stdout.write(csv_text([], with_header=True))
    read_entries(operator, write, after=after)
