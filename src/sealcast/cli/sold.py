"""Owns `sealcast sold`: the devices that the point of sale has named, one by one or by the file."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.cli.soldimport import Imported

app = typer.Typer(
    help="Devices sold: add, import, list, remove.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

LISTED_DEFAULT = 1_000

Serial = Annotated[
    str, typer.Argument(metavar="SERIAL", help="Serial number of the device.", show_default=False)
]


@app.command(epilog=examples("sealcast sold add TV-0001 --seller 'Shop 7' --on 2026-01-31"))
def add(
    context: typer.Context,
    serial: Serial,
    *,
    on: Annotated[
        str, typer.Option(metavar="DATE", help="Day of the sale, as 2026-01-31.", show_default=False)
    ] = "",
    seller: Annotated[str, typer.Option(metavar="NAME", help="Who sold it.", show_default=False)] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="Anything else.", show_default=False)] = "",
    json: Json = False,
) -> None:
    """Note that a device was sold.

    From the first sale on, a newcomer that names its serial number itself, and a device that subscribes, must
    be on this list.
    """
    from sealcast.cli import acting, output
    from sealcast.core.errors import UsageError
    from sealcast.messages import operations
    from sealcast.messages.sold import sold_fault
    from sealcast.messages.subscribing import SoldAdded, SoldDevice

    device = SoldDevice(serial=serial, sold_on=on, seller=seller, note=note)
    if (fault := sold_fault(device)) is not None:
        raise UsageError(f"{serial}: {fault}")
    answer = acting.ask(acting.operator(context), operations.SOLD_ADD, SoldAdded, devices=[device])
    if json:
        output.print_json({"serial": serial, "added": bool(answer.added)})
    elif answer.added:
        output.print_line(f"{serial} is on the list of devices sold")
    else:
        output.print_line(f"{serial} was sold before, and its entry stays as it is")


@app.command(
    "import",
    epilog=examples("sealcast sold import march.csv", "sealcast sold import march.csv --strict --json"),
)
def import_(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.csv", help="Columns serial, sold_on, seller, note.", show_default=False),
    ],
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Import nothing if a line does not fit.")] = False,
    json: Json = False,
) -> None:
    """Note all devices of a file as sold.

    The first line names the columns: serial, and maybe sold_on, seller and note. Each line that does not fit
    is told with its number, the others are imported; the status is 1 then. Lines that were imported before do
    no harm: type the same command again if it was interrupted.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.failures import FAILED
    from sealcast.cli.soldimport import import_file

    done = import_file(acting.operator(context), file, is_strict=strict)
    if json:
        output.print_json(done)
    else:
        output.print_line(_summary(done))
    if done.bad:
        raise typer.Exit(FAILED)


def _summary(done: "Imported") -> str:
    """Return what became of a file, in one line."""
    lines = f"{done.bad} {'line does' if done.bad == 1 else 'lines do'} not fit"
    if done.bad and done.strict:
        return f"{lines}: nothing is imported"
    known = f", {done.known} were sold before" if done.known else ""
    added = "1 device is" if done.added == 1 else f"{done.added} devices are"
    return f"{added} new on the list{known}" + (f"; {lines}" if done.bad else "")


@app.command("list", epilog=examples("sealcast sold list", "sealcast sold list --after TV-1000 --limit 100"))
def list_(
    context: typer.Context,
    *,
    after: Annotated[
        str, typer.Option(metavar="SERIAL", help="Begin behind this serial number.", show_default=False)
    ] = "",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = LISTED_DEFAULT,
    json: Json = False,
) -> None:
    """List the devices sold, and those that the operator itself has named, by serial number."""
    from sealcast.cli import acting, output
    from sealcast.cli.soldimport import pages

    found, has_more = pages(acting.operator(context), after, limit)
    if json:
        output.print_json({"devices": found, "more": has_more})
        return
    rows = [
        (row.serial, row.origin, row.sold_on, row.seller, "yes" if row.enrolled else "no", row.note)
        for row in found
    ]
    headers = ("SERIAL", "FROM", "SOLD ON", "SELLER", "ENROLLED", "NOTE")
    output.print_table(headers, rows, empty="nothing is sold yet")
    if has_more:
        output.print_line(f"there are more: --after {found[-1].serial}", to_stderr=True)


@app.command(epilog=examples("sealcast sold remove TV-0001"))
def remove(context: typer.Context, serial: Serial, *, json: Json = False) -> None:
    """Take a device off the list: it was returned, or lost.

    One that is registered stays so, with its subscriptions; see registry remove.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    answer = acting.ask(acting.operator(context), operations.SOLD_REMOVE, Done, serial=serial)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{serial} is off the list of devices sold")
