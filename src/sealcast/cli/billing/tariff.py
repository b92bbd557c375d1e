"""Owns `sealcast billing tariff`: what something costs, and to whom a tariff applies."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Json

app = typer.Typer(
    help="Tariffs: add, list, show, assign, unassign, assignments.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Tariff = Annotated[str, typer.Argument(metavar="TARIFF", help="Name of the tariff.", show_default=False)]
Device = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="For this device alone.", show_default=False)
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="INSTANT",
        help="Since when, as 2026-03-01T00:00+01:00; else now.",
        show_default=False,
    ),
]

File = Annotated[
    Path | None, typer.Option(metavar="FILE.toml", help="All of it from a file.", show_default=False)
]
CurrencyCode = Annotated[
    str | None, typer.Option(metavar="CODE", help="Of ISO 4217, as EUR or JPY.", show_default=False)
]
Prices = Annotated[
    list[str] | None,
    typer.Option(metavar="PRICE", help="As 'Data: 0.10 per GB, 5 GB free' (again for more)."),
]
Minimum = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="At least so much a period.", show_default=False)
]
Cap = Annotated[
    str | None, typer.Option(metavar="AMOUNT", help="At most so much a period.", show_default=False)
]
Tax = Annotated[str | None, typer.Option(metavar="PERCENT", help="On top of everything.", show_default=False)]
Channels = Annotated[
    list[str] | None, typer.Option(metavar="CHANNEL", help="Whose subscribers have it (again for more).")
]
Until = Annotated[
    str | None, typer.Option(metavar="INSTANT", help="Until when; else for ever.", show_default=False)
]


@app.callback()
def tariff() -> None:
    """Say what something costs, and to whom a tariff applies."""


@app.command(
    epilog=examples(
        "sealcast billing tariff add basic --currency EUR --channel news --price 'Base: 9.99 per period'",
        "sealcast billing tariff add data --currency EUR --tax 19 --channel news"
        " --price 'Data: 0.10 per GB, 5 GB free'",
        "sealcast billing tariff add --file basic.toml --from 2026-04-01T00:00+02:00",
    )
)
def add(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(help="Name of the tariff, else the file's.", show_default=False)
    ] = None,
    *,
    file: File = None,
    currency: CurrencyCode = None,
    price: Prices = None,
    minimum: Minimum = None,
    cap: Cap = None,
    tax: Tax = None,
    channel: Channels = None,
    from_: From = None,
    until: Until = None,
    json: Json = False,
) -> None:
    """Add a tariff, or another version of one, valid from an instant on.

    A new tariff needs a channel. Amounts are in the currency's major unit. Time is time received, on air and
    with the keys in hand, unless a price says subscribed: 'Access: 0.01 per hour subscribed'. Steps, such as
    0.10 up to 100 GB and 0.05 above, are for a file; see what one looks like with: show --toml
    """
    from sealcast.cli import acting, output
    from sealcast.cli.billing import tariff_making
    from sealcast.messages import operations_billing
    from sealcast.messages.charging import TariffList

    given = tariff_making.Given(
        name=name,
        currency=currency,
        prices=tuple(price or ()),
        minimum=minimum,
        cap=cap,
        tax=tax,
        channels=tuple(channel or ()),
        from_=from_,
        until=until,
    )
    request = tariff_making.from_options(given) if file is None else tariff_making.from_file(file, given)
    answer = acting.ask(
        acting.operator(context), operations_billing.TARIFF_ADD, TariffList, **tariff_making.fields(request)
    )
    if json:
        output.print_json(answer)
    else:
        output.print_line(tariff_making.summary(request, answer.tariffs[0]))


@app.command("list", epilog=examples("sealcast billing tariff list", "sealcast billing tariff list --json"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List tariffs with the prices of today, and the channels that have them."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing import tariff_showing, tariffs_asking

    operator = acting.operator(context)
    tariffs = tariffs_asking.all_tariffs(operator)
    if json:
        output.print_json({"tariffs": tariffs})
        return
    assignments = tariffs_asking.all_assignments(operator, device=tariffs_asking.WHOLE_CHANNELS)
    rows = tariff_showing.rows(tariffs, assignments, tariff_showing.now_ms())
    headers = ("TARIFF", "CURRENCY", "VALID FROM", "UNTIL", "PRICES", "CHANNELS")
    output.print_table(headers, rows, empty="no tariff yet")


@app.command(
    epilog=examples(
        "sealcast billing tariff show basic", "sealcast billing tariff show basic --toml > basic.toml"
    )
)
def show(
    context: typer.Context,
    tariff: Tariff,
    *,
    toml: Annotated[bool, typer.Option("--toml", help="Print the file that `add --file` takes.")] = False,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="INSTANT", help="With --toml: the version of then; else of now.", show_default=False
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show all versions of a tariff, and who has it."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing import tariff_showing, tariffs_asking
    from sealcast.cli.instants import parse_instant
    from sealcast.core.errors import UsageError
    from sealcast.messages import operations_billing
    from sealcast.messages.charging import TariffList

    if at is not None and not toml:
        raise UsageError("--at is for --toml: without it all versions are shown")
    at_ms = tariff_showing.now_ms() if at is None else parse_instant(at)
    operator = acting.operator(context)
    found = acting.ask(operator, operations_billing.TARIFF_LIST, TariffList, name=tariff).tariffs[0]
    assignments = tariffs_asking.all_assignments(operator, tariff=tariff)
    if toml:
        output.print_line(tariff_showing.as_file(found, assignments, at_ms).rstrip("\n"))
    elif json:
        output.print_json({"tariff": found, "assignments": assignments})
    else:
        output.print_line(tariff_showing.in_words(found, assignments))


@app.command(
    epilog=examples(
        "sealcast billing tariff assign news basic --from 2026-04-01T00:00+02:00",
        "sealcast billing tariff assign news staff --device TV-0001",
    )
)
def assign(
    context: typer.Context,
    channel: ChannelName,
    tariff: Tariff,
    *,
    device: Device = None,
    from_: From = None,
    json: Json = False,
) -> None:
    """Have the subscribers of a channel, or one device on it, pay by a tariff from an instant on."""
    from sealcast.cli.billing import tariff_making

    tariff_making.assign(context, channel, tariff, device=device, from_=from_, json=json)


@app.command(
    epilog=examples(
        "sealcast billing tariff unassign news", "sealcast billing tariff unassign news --device TV-0001"
    )
)
def unassign(
    context: typer.Context,
    channel: ChannelName,
    *,
    device: Device = None,
    from_: From = None,
    json: Json = False,
) -> None:
    """Let a channel cost nothing from an instant on; or a device on it what it costs everybody."""
    from sealcast.cli.billing import tariff_making

    tariff_making.assign(context, channel, None, device=device, from_=from_, json=json)


@app.command(
    epilog=examples(
        "sealcast billing tariff assignments", "sealcast billing tariff assignments --device TV-0001 --json"
    )
)
def assignments(
    context: typer.Context,
    *,
    channel: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Only of this channel.", show_default=False)
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="Only of this device.", show_default=False)
    ] = None,
    tariff: Annotated[
        str | None, typer.Option(metavar="TARIFF", help="Only of this tariff.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """List what channels and devices were assigned, in the order in which that was done."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing import tariffs_asking

    wanted = {"channel": channel, "device": device, "tariff": tariff}
    found = tariffs_asking.all_assignments(acting.operator(context), **wanted)
    if json:
        output.print_json({"assignments": found})
        return
    rows = [
        (each.channel_name, each.device or "all", each.tariff or "none", format_instant(each.from_ms))
        for each in found
    ]
    output.print_table(("CHANNEL", "DEVICES", "TARIFF", "FROM"), rows, empty="nothing is assigned yet")
