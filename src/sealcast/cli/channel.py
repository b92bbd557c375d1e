"""Owns `sealcast channel`: the channels of an operator, kept by its key server."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli import channel_add, freshstart
from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Json

app = typer.Typer(
    help="Channels: add, list, show, remove, open, close; who may send.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

app.command(epilog=channel_add.EXAMPLES)(channel_add.add)


@app.command("list", epilog=examples("sealcast channel list", "sealcast channel list --json | jq .channels"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all channels with their state and current epoch."""
    from sealcast.cli import acting
    from sealcast.cli.channel_rows import print_channels
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    operator = acting.operator(context)
    print_channels(acting.ask(operator, operations.CHANNEL_LIST, ChannelList), json=json)


@app.command(epilog=examples("sealcast channel show news"))
def show(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Show one channel."""
    from sealcast.cli import acting, output
    from sealcast.cli.channel_rows import details
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    operator = acting.operator(context)
    answer = acting.ask(operator, operations.CHANNEL_SHOW, ChannelList, channel=channel)
    if json:
        output.print_json(answer.channels[0])
        return
    for row in answer.channels:
        for label, value in details(row):
            output.print_line(f"{label:<12} {value}")


@app.command("open", epilog=examples("sealcast channel open news"))
def open_channel(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Let devices subscribe to a channel themselves, from now on."""
    _set_open(context, channel, is_open=True, json=json)


@app.command(epilog=examples("sealcast channel close news"))
def close(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Let devices subscribe to a channel themselves no more; its subscribers stay."""
    _set_open(context, channel, is_open=False, json=json)


def _set_open(context: typer.Context, channel: str, *, is_open: bool, json: bool) -> None:
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    fields = {"channel": channel, "open": is_open}
    answer = acting.ask(acting.operator(context), operations.CHANNEL_OPEN, ChannelList, **fields)
    row = answer.channels[0]
    if json:
        output.print_json(row)
    else:
        says = "may subscribe to it themselves" if is_open else "are subscribed by its operator only"
        output.print_line(f"channel {row.channel.name} is {'open' if is_open else 'closed'}: devices {says}")


app.command("fresh-start", epilog=freshstart.EXAMPLES)(freshstart.fresh_start)


@app.command(epilog=examples("sealcast channel remove news"))
def remove(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Remove a channel; its sender cannot publish another key, and receivers get none."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    operator = acting.operator(context)
    answer = acting.ask(operator, operations.CHANNEL_REMOVE, Done, channel=channel)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"channel {channel} is removed")


@app.command(
    epilog=examples(
        "sealcast channel senders news", "sealcast channel senders news --add studio --remove oldstudio"
    )
)
def senders(
    context: typer.Context,
    channel: ChannelName,
    *,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="NAME", help="Let this sender send on it.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Let this sender do so no more.")
    ] = None,
    json: Json = False,
) -> None:
    """Show who may send on a channel, or change it.

    A sender that is taken off can publish no further key; one under way ends with the key on air.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    operator = acting.operator(context)
    if add or remove:
        fields = {"channel": channel, "add": add or [], "remove": remove or []}
        answer = acting.ask(operator, operations.CHANNEL_SENDERS, ChannelList, **fields)
    else:
        answer = acting.ask(operator, operations.CHANNEL_SHOW, ChannelList, channel=channel)
    row = answer.channels[0]
    if json:
        output.print_json({"channel": row.channel.name, "senders": row.senders})
    else:
        output.print_line(f"{row.channel.name}: {', '.join(row.senders) or 'nobody may send'}")
