"""Owns `sealcast withdraw`: a device leaves channels for good, destroys their keys and keeps the receipt."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Credential, Json

if TYPE_CHECKING:
    from sealcast.client.withdrawal import Done

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

Channel = Annotated[
    str | None, typer.Argument(metavar="CHANNEL", help="Name or number of the channel.", show_default=False)
]
All = Annotated[
    bool, typer.Option("--all", help="All channels: the device's keys are destroyed.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether I am sure.", show_default=False)]
Wait = Annotated[
    bool, typer.Option("--wait", help="Go on until the key server's receipt is here.", show_default=False)
]


@app.command(epilog=examples("sealcast withdraw news", "sealcast withdraw --all"))
def withdraw(
    context: typer.Context,
    channel: Channel = None,
    *,
    all_: All = False,
    yes: Yes = False,
    wait: Wait = False,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Leave a channel for good: destroy its keys, and have the key server's receipt that it is so.

    Programs of this device that receive it are ended. With the last channel, and with --all, the device's own
    keys are destroyed too: it opens nothing any more. If it is interrupted, type the same command again.
    """
    from sealcast.cli import output
    from sealcast.cli.leaving import Leaving, check_asked, open_device

    asked = check_asked(channel, is_all=all_)
    device = open_device(context, credential)
    leaving = Leaving(device, is_sure=yes, waits=wait)
    fields = []
    for done in leaving.run(asked):
        if json:
            fields.append(_fields(done))
        else:
            _print(done)
    if json:
        output.print_json({"withdrawn": fields})


def _fields(done: "Done") -> dict[str, object]:
    """Return what programs are told of a withdrawal that is over."""
    receipt = done.receipt
    return {
        "device": receipt.device,
        "channels": receipt.channels,
        "number": receipt.number,
        "closed_at": receipt.closed_at,
        "erased": receipt.erased,
        "receipt": str(done.path),
        "keys_destroyed": done.is_last,
    }


def _print(done: "Done") -> None:
    """Say what is over, and where the proof is."""
    from sealcast.cli import output

    receipt = done.receipt
    channels = ", ".join(receipt.channels) or "no channel (it was on no list any more)"
    output.print_line(
        f"{receipt.device} has withdrawn from {channels} at {receipt.closed_at};"
        f" keys on record as destroyed: {len(receipt.erased)}"
    )
    if done.is_last:
        output.print_line("it was the last: the device's own keys are destroyed, and its vault opens nothing")
    output.print_line(f"receipt {receipt.number} of {receipt.operator}: {done.path}")
