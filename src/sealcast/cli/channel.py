"""Owns `sealcast channel`: the channels of an operator, kept by its key server."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import ChannelName, Json
from sealcast.core.channel import KeyMaker, Suite, parse_duration_ms

if TYPE_CHECKING:
    from pathlib import Path

    from sealcast.cli.acting import Operator
    from sealcast.messages.answers import ChannelList
    from sealcast.messages.channels import ChannelData

app = typer.Typer(
    help="Channels: add, list, show, remove, open, close; who may send.",
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
        metavar="NAME", help=escape("A sender that may send on it (again for more). [default: nobody]")
    ),
]
NewSender = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Make a sender for it, with a vault beside the configuration."),
]


@app.command(
    epilog=examples(
        "sealcast channel add news --group 239.255.1.1:5004 --new-sender studio",
        "sealcast channel add film --group 232.1.1.1:5004 --source 192.0.2.10 --sender studio",
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
    new_sender: NewSender = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Let devices subscribe to it themselves.", show_default=False)
    ] = False,
    json: Json = False,
) -> None:
    """Add a channel. Channels that overlap in group and port, or port + 1, are refused.

    Only its senders may send on it. With --new-sender one more is made, and the configuration names its vault
    if it named none.
    """
    from sealcast.cli import acting
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
    operator = acting.operator(context)
    if new_sender is None:
        _print_added(_add(operator, data, sender or [], is_open=open_), [], json=json)
    else:
        _add_with_sender(context, operator, data, sender or [], new_sender, is_open=open_, json=json)


def _add(operator: "Operator", data: "ChannelData", senders: list[str], *, is_open: bool) -> "ChannelList":
    from sealcast.cli import acting
    from sealcast.messages import operations
    from sealcast.messages.answers import ChannelList

    fields = {"channel": data, "senders": senders, "open": is_open}
    return acting.ask(operator, operations.CHANNEL_ADD, ChannelList, **fields)


def _add_with_sender(
    context: typer.Context,
    operator: "Operator",
    data: "ChannelData",
    senders: list[str],
    name: str,
    *,
    is_open: bool,
    json: bool,
) -> None:
    """Register a sender, then add the channel with it; a refused channel leaves no sender behind."""
    from sealcast.cli import acting, parties
    from sealcast.cli.configuring import config_path, name_credential
    from sealcast.core.errors import RefusedError
    from sealcast.device.vault import remove_vault
    from sealcast.messages import operations
    from sealcast.messages.answers import Done

    config = config_path(context)
    vault = _vault_place(config.parent, name)
    parties.make_party(operator, name, "sender", channels=[], vault=vault)
    try:
        answer = _add(operator, data, [*senders, name], is_open=is_open)
    except RefusedError:
        acting.ask(operator, operations.REGISTRY_REMOVE, Done, id=name)
        remove_vault(vault)
        raise
    named = name_credential(config, "sender", vault)
    _print_added(answer, [f"sender {name} is registered; its vault is {vault}", named.line], json=json)


def _vault_place(folder: "Path", name: str) -> "Path":
    """Return where a new sender's vault goes; raises UsageError for a name that is no file's."""
    from sealcast.core.errors import UsageError

    if "/" in name or name.startswith("."):
        raise UsageError(f"{name} cannot be the name of a file; use registry add, then --sender")
    return folder / f"{name}.vault"


def _print_added(answer: "ChannelList", more: list[str], *, json: bool) -> None:
    from sealcast.cli import output
    from sealcast.cli.channel_rows import place

    if json:
        output.print_json(answer)
        return
    row = answer.channels[0]
    name = row.channel.name
    if not row.senders:
        more = [*more, f"nobody may send on it yet; let somebody: channel senders {name} --add NAME"]
    for line in (f"channel {name} has number {row.channel.number} and is at {place(row)}", *more):
        output.print_line(line)


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
