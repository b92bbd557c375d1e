"""Owns `sealcast stop`: end a device's reception of a channel, with its receiver or without."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Credential, Json

if TYPE_CHECKING:
    from sealcast.device.receivers import RunningReceiver
    from sealcast.device.vault import Vault
    from sealcast.messages.subscribing import Stopped

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(epilog=examples("sealcast stop news", "sealcast stop news --credential tv.vault --json"))
def stop(
    context: typer.Context, channel: ChannelName, *, credential: Credential = None, json: Json = False
) -> None:
    """Stop receiving a channel.

    Ends the receivers of this device and channel that run on this machine; each tells the key server itself.
    If none runs here, the key server is told all the same: for a receiver that was cut off, or killed.
    """
    from sealcast.cli import acting, held, output
    from sealcast.cli.failures import FAILED

    loaded = acting.settings(context)
    vault = acting.open_credential(context, loaded, "device", credential)
    ended = held.end_receivers(loaded, vault.credential, [channel])
    answer = None if ended else _tell(vault, channel)
    if json:
        output.print_json(_as_json(ended, answer))
    else:
        for line in _lines(channel, ended, answer):
            output.print_line(line)
    if not all(is_over for _, is_over in ended):
        raise typer.Exit(FAILED)


def _tell(vault: "Vault", channel: str) -> "Stopped":
    """Tell the key server that this device has stopped; raises as `KeyServerClient.call`."""
    import asyncio

    from sealcast.client import KeyServerClient
    from sealcast.messages import operations
    from sealcast.messages.subscribing import Stopped
    from sealcast.transport.system import SystemRandom

    async def once() -> Stopped:
        client = KeyServerClient(vault.credential, SystemRandom(), vault.keep_certificates, vault.keys)
        async with client:
            return await client.expect(operations.STOP, Stopped, channel=channel)

    return asyncio.run(once())


def _lines(channel: str, ended: "list[tuple[RunningReceiver, bool]]", answer: "Stopped | None") -> list[str]:
    """Return what happened, for people."""
    if answer is None:
        return [
            f"the receiver of {receiver.entry.channel or channel} in process {receiver.entry.pid} "
            + ("has ended" if is_over else "was told to end and still runs; to force it: kill -9")
            for receiver, is_over in ended
        ]
    if answer.number is None:
        return [f"no reception of {answer.channel} is live"]
    reception = f"reception {answer.number} of {answer.channel}"
    return [f"{reception} has ended: from {answer.since} to {answer.until}, as {answer.by} has recorded"]


def _as_json(ended: "list[tuple[RunningReceiver, bool]]", answer: "Stopped | None") -> dict[str, object]:
    """Return what happened, for programs."""
    receivers = [
        {"pid": receiver.entry.pid, "channel": receiver.entry.channel, "ended": is_over}
        for receiver, is_over in ended
    ]
    reception = None
    if answer is not None and answer.number is not None:
        reception = {
            "number": answer.number,
            "channel": answer.channel,
            "since": answer.since,
            "until": answer.until,
            "by": answer.by,
        }
    return {"receivers": receivers, "reception": reception}
