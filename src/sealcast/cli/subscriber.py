"""Owns `sealcast subscriber`: which devices may have a channel's keys."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Json

app = typer.Typer(
    help="Who may receive: add, remove, list; offenders and their pardon.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Serial number of a registered device.", show_default=False)
]


@app.command(
    epilog=examples("sealcast subscriber add news TV-0001", "sealcast subscriber add news TV-0001 --user Ada")
)
def add(
    context: typer.Context,
    channel: ChannelName,
    device: Device,
    *,
    user: Annotated[
        str, typer.Option(metavar="NAME", help="Name of its user, for the list.", show_default=False)
    ] = "",
    json: Json = False,
) -> None:
    """Let a device have the keys of a channel from now on."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    fields = {"channel": channel, "device": device, "user": user}
    answer = acting.ask(acting.operator(context), operations.SUBSCRIBER_ADD, Done, **fields)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{device} may receive {channel}")


@app.command(
    epilog=examples(
        "sealcast subscriber remove news TV-0001", "sealcast subscriber remove news TV-0001 --now"
    )
)
def remove(
    context: typer.Context,
    channel: ChannelName,
    device: Device,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Change keys at once, and wait until that is done.")
    ] = False,
    json: Json = False,
) -> None:
    """Give a device no more keys of a channel.

    Keys that it has and that are not on air yet never will be; the one on air opens until the next change.
    """
    from sealcast.cli import acting, removing

    removing.remove(acting.operator(context), channel, device, now=now, json=json)


@app.command("list", epilog=examples("sealcast subscriber list", "sealcast subscriber list news --json"))
def list_(
    context: typer.Context,
    channel: Annotated[str | None, typer.Argument(help="Only those of this channel.")] = None,
    *,
    json: Json = False,
) -> None:
    """List who may receive what, and since when by the key server's clock."""
    from sealcast.cli import acting, output

    found = acting.ask_for_subscribers(acting.operator(context), channel)
    if json:
        output.print_json({"subscribers": found})
        return
    rows = [(row.channel, row.device, row.user or "-", row.added_at, row.kek or "-") for row in found]
    output.print_table(("CHANNEL", "DEVICE", "USER", "SINCE", "KEK"), rows, empty="no subscriber yet")


@app.command(epilog=examples("sealcast subscriber offenders", "sealcast subscriber offenders --json"))
def offenders(context: typer.Context, *, json: Json = False) -> None:
    """List the devices that sent an illegitimate erasure statement, the newest first.

    Such a device cannot subscribe to anything until it is pardoned; what it is subscribed to goes on.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.subscribing import OffenderList

    answer = acting.ask(acting.operator(context), operations.OFFENDER_LIST, OffenderList)
    if json:
        output.print_json(answer)
        return
    rows = [(row.device, row.kind, row.at, row.pardoned_at or "-", row.detail) for row in answer.offenders]
    headers = ("DEVICE", "KIND", "AT", "PARDONED", "DETAIL")
    output.print_table(headers, rows, empty="no offender")


@app.command(epilog=examples("sealcast subscriber pardon TV-0001"))
def pardon(context: typer.Context, device: Device, *, json: Json = False) -> None:
    """Let an offender off: the device may subscribe again."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    answer = acting.ask(acting.operator(context), operations.OFFENDER_PARDON, Done, device=device)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{device} is in good standing")
