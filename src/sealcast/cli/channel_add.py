"""Owns `sealcast channel add`: a new channel, perhaps with its sender."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli import channel_policy as policy
from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json
from sealcast.core.channel import (
    REPEATS,
    Framing,
    KeyMaker,
    ScheduleKind,
    Suite,
    parse_duration_ms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from sealcast.cli.acting import Operator
    from sealcast.messages.answers import ChannelList
    from sealcast.messages.channels import ChannelData

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Its name: letters, digits, '-', '_' and '.'.", show_default=False),
]
Group = Annotated[
    str, typer.Option(metavar="G:PORT", help="Multicast group and even port.", show_default=False)
]
SuiteOption = Annotated[Suite, typer.Option("--suite", help="How packets are encrypted.")]
Keys = Annotated[KeyMaker, typer.Option(help="Who makes the keys.")]
Open = Annotated[
    bool, typer.Option("--open", help="Let devices subscribe to it themselves.", show_default=False)
]
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

EXAMPLES = examples(
    "sealcast channel add news --group 239.255.1.1:5004 --new-sender studio",
    "sealcast channel add film --group 232.1.1.1:5004 --source 192.0.2.10 --sender studio",
    "sealcast channel add six --group [ff15::1]:5004 --lifetime 90s --publish-at 60s --prefetch-at 25%",
    "sealcast channel add arena --group 239.255.1.2:5004 --schedule chain --fresh-every 1h",
)


def add(
    context: typer.Context,
    name: Name,
    *,
    group: Group,
    source: Source = None,
    interface: SenderInterface = None,
    suite: SuiteOption = Suite.AES_128_GCM,
    lifetime: Lifetime = "10m",
    publish_at: PublishAt = "50%",
    prefetch_at: PrefetchAt = "25%",
    keys: Keys = KeyMaker.SENDER,
    schedule: policy.Schedule = ScheduleKind.FETCH,
    fresh_every: policy.FreshEvery = None,
    repeats: policy.Repeats = REPEATS,
    cycle: policy.CycleLength = 0,
    confidential: policy.Confidential = False,
    content: policy.ContentOption = policy.ContentKind.FILM,
    pattern_rule: policy.PatternRule = "single",
    pattern_bits: policy.PatternBits = None,
    pattern_every: policy.PatternEvery = None,
    framing: policy.FramingOption = Framing.KEYED,
    ask: policy.Ask = None,
    sender: Senders = None,
    new_sender: NewSender = None,
    open_: Open = False,
    json: Json = False,
) -> None:
    """Add a channel. Channels that overlap in group and port, or port + 1, are refused.

    Only its senders may send on it. With --new-sender one more is made, and the configuration names its vault
    if it named none.
    """
    from sealcast.messages.channels import ChannelData, channel_spec
    from sealcast.transport.address import parse_group

    place = parse_group(group)
    lifetime_ms = parse_duration_ms(lifetime)
    patterns = policy.Scrambling(content, pattern_rule, pattern_bits, pattern_every)
    data = ChannelData(
        name=name,
        group=place.host,
        port=place.port,
        source=source or place.source,
        interface=interface,
        suite=suite.value,
        keys=keys.value,
        lifetime_ms=lifetime_ms,
        publish_at=publish_at,
        prefetch_at=prefetch_at,
        confidential=confidential,
        patterns=policy.pattern_text(suite, patterns),
        framing=framing.value,
        ask=ask,
        **policy.schedule_fields(schedule, fresh_every, lifetime_ms, repeats=repeats, cycle=cycle),
    )
    channel_spec(data)
    _carry_out(context, data, sender or [], new_sender, is_open=open_, json=json)


def _carry_out(
    context: typer.Context,
    data: "ChannelData",
    senders: list[str],
    new_sender: str | None,
    *,
    is_open: bool,
    json: bool,
) -> None:
    from sealcast.cli import acting

    operator = acting.operator(context)
    if new_sender is None:
        _print_added(_add(operator, data, senders, is_open=is_open), [], json=json)
    else:
        _add_with_sender(context, operator, data, senders, new_sender, is_open=is_open, json=json)


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
    if row.channel.patterns:
        more = [*more, policy.warn_of_scrambling(name)]
    if not row.senders:
        more = [*more, f"nobody may send on it yet; let somebody: channel senders {name} --add NAME"]
    for line in (f"channel {name} has number {row.channel.number} and is at {place(row)}", *more):
        output.print_line(line)
