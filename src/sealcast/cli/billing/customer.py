"""Owns `sealcast billing customer`: who gets bills, how often, and for which devices."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.messages.charging import CustomerRow

app = typer.Typer(
    help="Customers: set, show, list.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Customer = Annotated[
    str,
    typer.Argument(metavar="CUSTOMER", help="Your own id of a customer, or a device's.", show_default=False),
]


class Cycle(StrEnum):
    """How often a customer gets a bill."""

    MONTHLY = "monthly"
    WEEKLY = "weekly"
    DAILY = "daily"
    CLOSING = "closing"


@app.callback()
def customer() -> None:
    """Say who gets bills, when, and for which devices."""


@app.command(
    "set",
    epilog=examples(
        "sealcast billing customer set C-1007 --name 'Hotel Seaview' --device TV-0001 --device TV-0002",
        "sealcast billing customer set TV-0003 --cycle monthly --anchor-day 15 --zone Europe/Berlin",
    ),
)
def set_(
    context: typer.Context,
    customer: Customer,
    *,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="For the head of the bill.", show_default=False)
    ] = None,
    cycle: Annotated[
        Cycle | None, typer.Option(help="How often; closing: once, when all is over.", show_default=False)
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="By whose midnights, as Asia/Tokyo.", show_default=False),
    ] = None,
    anchor_day: Annotated[
        int | None,
        typer.Option(metavar="DAY", help="First day: of the month, or 1 for Monday.", show_default=False),
    ] = None,
    device: Annotated[
        list[str] | None, typer.Option(metavar="DEVICE", help="A device that it pays for (again for more).")
    ] = None,
    json: Json = False,
) -> None:
    """Make a customer, or change what is given of it.

    A device that is given to nobody is its own customer, under its serial number. Once a customer was billed,
    its cycle stays as it is, and its devices stay with it.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations_billing
    from sealcast.messages.charging import CustomerList

    fields = {
        "id": customer,
        "name": name,
        "cycle": None if cycle is None else cycle.value,
        "zone": zone,
        "anchor_day": anchor_day,
        "devices": device or [],
    }
    answer = acting.ask(acting.operator(context), operations_billing.CUSTOMER_SET, CustomerList, **fields)
    if json:
        output.print_json(answer)
    else:
        output.print_line(_in_words(answer.customers[0]))


@app.command(epilog=examples("sealcast billing customer show C-1007"))
def show(context: typer.Context, customer: Customer, *, json: Json = False) -> None:
    """Show a customer with all of its devices."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations_billing
    from sealcast.messages.charging import CustomerList

    operation = operations_billing.CUSTOMER_LIST
    answer = acting.ask(acting.operator(context), operation, CustomerList, id=customer)
    if json:
        output.print_json(answer.customers[0])
        return
    row = answer.customers[0]
    output.print_line(_in_words(row))
    for device in row.devices:
        output.print_line(f"  {device}")


@app.command(
    "list", epilog=examples("sealcast billing customer list", "sealcast billing customer list --json")
)
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List the customers that were set or billed; every other device is its own."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing import tariffs_asking

    found = tariffs_asking.all_customers(acting.operator(context))
    if json:
        output.print_json({"customers": found})
        return
    rows = [
        (each.id, each.name or "-", each.cycle, each.zone, str(each.anchor_day), str(len(each.devices)))
        for each in found
    ]
    headers = ("CUSTOMER", "NAME", "BILLS", "ZONE", "DAY", "DEVICES")
    output.print_table(headers, rows, empty="no customer was set or billed yet")


def _in_words(row: "CustomerRow") -> str:
    """Return a customer in one line."""
    name = f" ({row.name})" if row.name else ""
    begin = f" from day {row.anchor_day} on" if row.cycle in {"monthly", "weekly"} else ""
    how = "once, when its subscriptions end" if row.cycle == "closing" else f"{row.cycle}{begin}"
    devices = "1 device" if len(row.devices) == 1 else f"{len(row.devices)} devices"
    return f"{row.id}{name} pays for {devices}, {how}, by the clocks of {row.zone}"
