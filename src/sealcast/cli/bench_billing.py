"""Owns `sealcast bench billing`: how fast grants become bills, and what that takes."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.bench.billing import BillingFigures

EXAMPLES = examples(
    "sealcast bench billing",
    "sealcast bench billing --grants 100000 --customers 1000",
    "sealcast bench billing --json | jq .invoices_per_s",
)

Grants = Annotated[int, typer.Option(min=100, max=10_000_000, help="Grants in the database, about.")]
Customers = Annotated[
    int, typer.Option(min=1, max=100_000, help="Customers with one device each: as many invoices.")
]


def billing(*, grants: Grants = 1_000_000, customers: Customers = 10_000, json: Json = False) -> None:
    """Measure metering and closing over a database of its own, as a key server does them.

    Metering reads, counts and rates every grant. Closing issues an invoice for each customer through the key
    server's desk: documents, lines and ledger are on disk. One core is busy at a time.
    """
    import asyncio

    from sealcast.bench.billing import measure_billing
    from sealcast.cli import output
    from sealcast.cli.progress import progress_bar
    from sealcast.core.errors import UsageError
    from sealcast.transport.system import SystemClock

    if grants < customers:
        raise UsageError("give at least as many grants as customers: each has one device")
    with progress_bar() as bar:
        tasks = {}

        def tell(step: str, done: int, whole: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=whole)
            bar.update(tasks[step], completed=done)

        figures = asyncio.run(measure_billing(SystemClock(), grants, customers, tell))
    if json:
        output.print_json(figures)
        return
    output.print_table(("WORK", "AMOUNT", "SECONDS", "A SECOND"), _rows(figures), empty="")
    waits = figures.waits
    output.print_line(
        f"meanwhile a key request would have waited {waits.median_ms:.1f} ms for the database,"
        f" {waits.p99_ms:.0f} at most but one in a hundred, {waits.max_ms:.0f} at most"
    )
    output.print_line(
        f"memory at most {figures.peak_rss_mb:.0f} MB ({figures.baseline_rss_mb:.0f} before metering);"
        f" database {figures.stock_mb:.0f} MB, with invoices {figures.database_mb:.0f} MB:"
        f" {figures.bytes_per_invoice:,} bytes each"
    )


def _rows(figures: "BillingFigures") -> list[tuple[str, ...]]:
    return [
        (
            "grants metered and rated",
            f"{figures.grants:,}",
            f"{figures.metering_s:.1f}",
            f"{figures.metered_grants_per_s:,.0f}",
        ),
        (
            "invoices closed",
            f"{figures.invoices:,}",
            f"{figures.closing_s:.1f}",
            f"{figures.invoices_per_s:,.0f}",
        ),
    ]
