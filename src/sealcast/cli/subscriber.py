"""Owns `sealcast subscriber`: which devices may have a channel's keys."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Json

app = typer.Typer(
    help="Who may receive: add, remove, list.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Device = Annotated[
    str, typer.Argument(metavar="DEVICE", help="Serial number of a registered device.", show_default=False)
]


@app.command(epilog=examples("sealcast subscriber add news TV-0001"))
def add(context: typer.Context, channel: ChannelName, device: Device, *, json: Json = False) -> None:
    """Let a device have the keys of a channel from now on."""
    _change(context, channel, device, adds=True, json=json)


@app.command(epilog=examples("sealcast subscriber remove news TV-0001"))
def remove(context: typer.Context, channel: ChannelName, device: Device, *, json: Json = False) -> None:
    """Give a device no more keys of a channel; those it has still open until they change."""
    _change(context, channel, device, adds=False, json=json)


@app.command("list", epilog=examples("sealcast subscriber list", "sealcast subscriber list news --json"))
def list_(
    context: typer.Context,
    channel: Annotated[str | None, typer.Argument(help="Only those of this channel.")] = None,
    *,
    json: Json = False,
) -> None:
    """List who may receive what, and since when by the key server's clock."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import SubscriberList

    operator = acting.operator(context)
    answer = acting.ask(operator, operations.SUBSCRIBER_LIST, SubscriberList, channel=channel)
    if json:
        output.print_json(answer)
        return
    rows = [(row.channel, row.device, row.added_at) for row in answer.subscribers]
    output.print_table(("CHANNEL", "DEVICE", "SINCE"), rows, empty="no subscriber yet")


def _change(context: typer.Context, channel: str, device: str, *, adds: bool, json: bool) -> None:
    """Put a device on a channel's list, or take it off."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    operation = operations.SUBSCRIBER_ADD if adds else operations.SUBSCRIBER_REMOVE
    operator = acting.operator(context)
    answer = acting.ask(operator, operation, Done, channel=channel, device=device)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{device} {'may' if adds else 'may no longer'} receive {channel}")
