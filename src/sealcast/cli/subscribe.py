"""Owns `sealcast subscribe`: a device asks for its place on a channel's list, under its user's name."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Credential, Json

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast subscribe news --user 'Ada Lovelace'",
        "sealcast subscribe 3 --user Ada --credential tv.vault --json",
    )
)
def subscribe(
    context: typer.Context,
    channel: ChannelName,
    *,
    user: Annotated[
        str,
        typer.Option(metavar="NAME", help="Who subscribes, as the operator is to know.", show_default=False),
    ],
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Subscribe this device to a channel that its operator has opened.

    The operator learns the user's name. The device may receive the channel then, until it withdraws or is
    removed.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.subscribing import Subscribed

    vault = acting.open_credential(context, acting.settings(context), "device", credential)
    device = acting.Operator(vault.credential, vault.keep_certificates, vault.keys)
    answer = acting.ask(device, operations.SUBSCRIBE, Subscribed, channel=channel, user=user)
    if json:
        fields = {"channel": answer.channel, "number": answer.number, "device": vault.credential.id}
        output.print_json(fields | {"user": user, "since": answer.since})
    else:
        output.print_line(
            f"{vault.credential.id} is subscribed to {answer.channel} for {user}, since {answer.since}"
        )
