"""Owns `sealcast channel`: the channels of an operator, kept by its key server."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import ChannelName, Json
from sealcast.core.channel import KeyMaker, Suite, format_duration, parse_duration_ms

if TYPE_CHECKING:
    from sealcast.messages.answers import ChannelList, ChannelRow

app = typer.Typer(
    help="Channels: add, list, show, remove.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

Source = Annotated[
    str | None, typer.Option(metavar="ADDR", help="The sender's address, for source-specific multicast.")
]
SenderInterface = Annotated[
    str | None, typer.Option(metavar="IF", help="The interface that the sender is to use.")
]
Lifetime = Annotated[str, typer.Option(metavar="TIME", help="How long one key is in use.")]
PublishAt = Annotated[
    str, typer.Option(metavar="TIME|RATE", help="Remaining time at which the next key is published.")
]
PrefetchAt = Annotated[
    str, typer.Option(metavar="TIME|RATE", help="Remaining time at which receivers begin to fetch it.")
]
Senders = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help=escape("A sender that may send on it (again for more). [default: any]")
    ),
]

HEADERS = ("CHANNEL", "NUMBER", "GROUP", "SUITE", "KEYS", "LIFETIME", "STATE", "EPOCH", "SUBSCRIBERS")


@app.command(
    epilog=examples(
        "sealcast channel add news --group 239.255.1.1:5004",
        "sealcast channel add film --group 232.1.1.1:5004 --source 192.0.2.10 --suite aes-256-gcm",
        "sealcast channel add six --group [ff15::1]:5004 --lifetime 90s --publish-at 60s --prefetch-at 25%",
    )
)
def add(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Its name: letters, digits, '-', '_' and '.'.", show_default=False
        ),
    ],
    *,
    group: Annotated[
        str, typer.Option(metavar="G:PORT", help="Multicast group and even port.", show_default=False)
    ],
    source: Source = None,
    interface: SenderInterface = None,
    suite: Annotated[Suite, typer.Option(help="How packets are encrypted.")] = Suite.AES_128_GCM,
    lifetime: Lifetime = "10m",
    publish_at: PublishAt = "50%",
    prefetch_at: PrefetchAt = "25%",
    keys: Annotated[KeyMaker, typer.Option(help="Who makes the keys.")] = KeyMaker.SENDER,
    sender: Senders = None,
    json: Json = False,
) -> None:
    """Add a channel. Channels that overlap in group and port, or port + 1, are refused."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList
    from sealcast.messages.channels import ChannelData, channel_spec
    from sealcast.transport.address import parse_group

    place = parse_group(group)
    data = ChannelData(
        name=name,
        group=place.host,
        port=place.port,
        source=source or place.source,
        interface=interface,
        suite=suite.value,
        keys=keys.value,
        lifetime_ms=parse_duration_ms(lifetime),
        publish_at=publish_at,
        prefetch_at=prefetch_at,
    )
    channel_spec(data)
    credential = acting.operator_credential(acting.settings(context))
    answer = acting.ask(credential, operations.CHANNEL_ADD, ChannelList, channel=data, senders=sender or [])
    if json:
        output.print_json(answer)
    else:
        row = answer.channels[0].channel
        output.print_line(
            f"channel {row.name} has number {row.number} and is at {_place(answer.channels[0])}"
        )


@app.command("list", epilog=examples("sealcast channel list", "sealcast channel list --json | jq .channels"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all channels with their state and current epoch."""
    from sealcast.cli import acting
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    credential = acting.operator_credential(acting.settings(context))
    _print(acting.ask(credential, operations.CHANNEL_LIST, ChannelList), json=json)


@app.command(epilog=examples("sealcast channel show news"))
def show(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Show one channel."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    credential = acting.operator_credential(acting.settings(context))
    answer = acting.ask(credential, operations.CHANNEL_SHOW, ChannelList, channel=channel)
    if json:
        output.print_json(answer.channels[0])
        return
    for row in answer.channels:
        for label, value in _details(row):
            output.print_line(f"{label:<12} {value}")


@app.command(epilog=examples("sealcast channel remove news"))
def remove(context: typer.Context, channel: ChannelName, *, json: Json = False) -> None:
    """Remove a channel; its sender cannot publish another key, and receivers get none."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    credential = acting.operator_credential(acting.settings(context))
    answer = acting.ask(credential, operations.CHANNEL_REMOVE, Done, channel=channel)
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"channel {channel} is removed")


def _print(answer: "ChannelList", *, json: bool) -> None:
    from sealcast.cli import output

    if json:
        output.print_json(answer)
        return
    rows = [
        (
            row.channel.name,
            str(row.channel.number),
            _place(row),
            row.channel.suite,
            row.channel.keys,
            format_duration(row.channel.lifetime_ms),
            row.state,
            "-" if row.epoch is None else str(row.epoch),
            str(row.subscribers),
        )
        for row in answer.channels
    ]
    output.print_table(HEADERS, rows, empty="no channel yet; add one with: sealcast channel add")


def _place(row: "ChannelRow") -> str:
    from sealcast.transport.address import format_place

    place = format_place(row.channel.group, row.channel.port)
    return f"{row.channel.source}@{place}" if row.channel.source else place


def _details(row: "ChannelRow") -> list[tuple[str, str]]:
    """Return label and value of each line of `channel show`."""
    data = row.channel
    remaining = "" if row.remaining_ms is None else f", {row.remaining_ms / 1000:.1f} s left"
    return [
        ("channel", f"{data.name} (number {data.number})"),
        ("group", _place(row)),
        ("interface", data.interface or "chosen by the sender"),
        ("suite", data.suite),
        ("keys", f"made by the {data.keys}, one each {format_duration(data.lifetime_ms)}"),
        ("publish at", data.publish_at),
        ("prefetch at", data.prefetch_at),
        ("senders", ", ".join(row.senders) or "any registered sender"),
        ("subscribers", str(row.subscribers)),
        ("state", row.state + ("" if row.epoch is None else f", epoch {row.epoch}{remaining}")),
    ]
