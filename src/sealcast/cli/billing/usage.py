"""Owns `sealcast billing usage`: what was used, for people, other programs and auditors."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

app = typer.Typer(
    help="Usage: list, export, audit.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

LISTED_DEFAULT = 100

Device = Annotated[
    str | None, typer.Option("--device", metavar="DEVICE", help="Only of this device.", show_default=False)
]
Channel = Annotated[
    str | None,
    typer.Option("--channel", metavar="CHANNEL", help="Only of this channel, by name or number."),
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="INSTANT", help="Only epochs that began then or later.")
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="INSTANT", help="Only epochs that began before.")
]
After = Annotated[
    str, typer.Option("--after", metavar="PLACE", help="Begin behind the place that a list told.")
]


@app.callback()
def usage() -> None:
    """Usage: list, export, audit."""


@app.command(
    "list",
    epilog=examples(
        "sealcast billing usage list --device TV-0001",
        "sealcast billing usage list --channel news --since 2026-03-01 --json",
    ),
)
def list_(
    context: typer.Context,
    *,
    device: Device = None,
    channel: Channel = None,
    since: Since = None,
    until: Until = None,
    after: After = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = LISTED_DEFAULT,
    json: Json = False,
) -> None:
    """List what devices are charged for: epochs that they were granted and that went on air.

    They come in the order in which they were recorded. An epoch is recorded once it is over.
    """
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing.usage_asking import Filter, read_usage

    wanted = Filter.of(device, channel, since, until)
    found = read_usage(acting.operator(context), wanted, after, limit)
    if json:
        output.print_json(found)
        return
    rows = [
        (
            row.device,
            row.channel_name,
            str(row.epoch),
            row.cause,
            format_instant(row.start_ms),
            format_instant(row.end_ms),
            str(row.bytes),
            str(row.packets),
        )
        for row in found.usage
    ]
    headers = ("DEVICE", "CHANNEL", "EPOCH", "CAUSE", "FROM", "TO", "BYTES", "PACKETS")
    output.print_table(headers, rows, empty="no usage is recorded yet")
    if found.more:
        output.print_line(f"there is more: --after '{found.next}'", to_stderr=True)


@app.command(
    epilog=examples(
        "sealcast billing usage export > usage.jsonl",
        "sealcast billing usage export --cursor usage.place --output usage.jsonl",
    )
)
def export(
    context: typer.Context,
    *,
    device: Device = None,
    channel: Channel = None,
    since: Since = None,
    until: Until = None,
    after: After = "",
    cursor: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Begin behind the place in this file, if it is there; keep it up to date."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append to this file; else to standard output."),
    ] = None,
) -> None:
    """Write usage as CloudEvents 1.0, one JSON object a line, for Lago, OpenMeter, Stripe and others.

    With --cursor the same command goes on where it ended, now or next month: each event comes once. Should it
    be interrupted between writing events and noting the place, some come again, under the same id.
    """
    from sealcast.cli import acting
    from sealcast.cli.billing.usage_asking import Filter
    from sealcast.cli.billing.usage_export import Export

    wanted = Filter.of(device, channel, since, until)
    exporting = Export(cursor, output, after)
    exporting.run(acting.operator(context), wanted)


@app.command(epilog=examples("sealcast billing usage audit", "sealcast billing usage audit --json"))
def audit(context: typer.Context, *, json: Json = False) -> None:
    """Verify again what bills rest on: grants, signatures, erasures, what was on air, invoices, the ledger.

    The status is 1 if anything is not as it has to be.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.billing.usage_asking import audit as audit_
    from sealcast.cli.failures import FAILED

    done = audit_(acting.operator(context))
    if json:
        output.print_json(done)
    else:
        rows = [(kind, str(count)) for kind, count in done.checked.items()]
        output.print_table(("CHECKED", "COUNT"), rows, empty="nothing is on record yet")
        for finding in done.findings:
            output.print_line(f"{finding.kind}: {finding.subject}: {finding.detail}")
        wrong = len(done.findings)
        output.print_line(f"{wrong} found" if wrong else "all is as it has to be")
    if done.findings:
        raise typer.Exit(FAILED)
