"""Owns sending all channels of a configuration file: plans from its tables, status line and summary."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sealcast.cli import fleet, output
from sealcast.client.choosing import Choice
from sealcast.config.places import private_dir, state_dir
from sealcast.core.errors import UsageError
from sealcast.gateway.sending import SendPlan, SendSummary, send_channels
from sealcast.sender.run import SendSettings
from sealcast.sender.sources import Source, open_source, parse_rate_bits_per_s
from sealcast.transport.system import SystemClock, SystemRandom

if TYPE_CHECKING:
    from sealcast.config.channels import SendTable
    from sealcast.config.load import Loaded


def send_many(
    context: typer.Context,
    loaded: "Loaded",
    *,
    credential: str | None,
    interface: str | None,
    seconds: float | None,
    json: bool,
) -> None:
    """Send every channel under `[[send]]`; options stand in for what a table leaves open."""
    if not loaded.channels.send:
        raise UsageError(f"{loaded.path} names no channel to send; write [[send]] with channel and input")
    vaults = fleet.Vaults(context, loaded, "sender", credential)
    folder = private_dir(Path(loaded.settings.sender.state or state_dir(os.environ) / "sender"))
    plans: list[SendPlan] = []
    for placed in loaded.channels.send:
        with fleet.place(placed.where):
            plans.append(_plan(placed.table, loaded, vaults, folder, interface, seconds=seconds))

    async def work(stop: asyncio.Event, observe: Callable[[SendSummary], None]) -> SendSummary:
        return await send_channels(
            plans, clock=SystemClock(), random=SystemRandom(), stop=stop, observe=observe
        )

    summary, was_told = fleet.run(work, describe, vaults.reload)
    if summary is not None:
        fleet.conclude(summary, lambda: _print(summary), failed=summary.failed, was_told=was_told, json=json)


def _plan(
    table: "SendTable",
    loaded: "Loaded",
    vaults: fleet.Vaults,
    folder: Path,
    interface: str | None,
    *,
    seconds: float | None,
) -> SendPlan:
    """Return the plan of a channel; raises UsageError for what does not go together."""
    if table.input == "-":
        raise UsageError(
            "standard input is for one channel alone; give a file, a named pipe, udp:// or rtp://"
        )
    rate = None if table.rate is None else parse_rate_bits_per_s(table.rate)
    own_interface = table.interface or interface

    def opened() -> Source:
        return open_source(table.input, rate=rate, loop=table.loop, interface=own_interface)

    # What does not go together is told now; the input itself is opened when the channel starts.
    opened()
    vault, reloading = vaults.open(table.credential)
    settings = SendSettings(
        credential=vault.credential,
        channel=table.channel,
        state_directory=folder,
        interface=own_interface,
        ttl=table.ttl,
        seconds=seconds,
        keep=vault.keep_certificates,
        attach=reloading.attach,
        servers=Choice(loaded.settings.sender.servers),
        silence_s=loaded.settings.sender.silence_s,
    )
    return SendPlan(settings, opened, table.restart)


def describe(summary: SendSummary) -> str:
    """Return the status line, short enough for a terminal of 80 columns."""
    counts = f"{summary.running} of {len(summary.channels)} channels run"
    if summary.waiting or summary.failed:
        counts += f", {summary.waiting} wait, {summary.failed} failed"
    return f"{counts} | {summary.packets} packets, {summary.bytes / 1e6:.0f} MB | {lateness(summary)}"


def lateness(summary: SendSummary) -> str:
    """Return how well departures keep to their time."""
    if summary.on_time_share is None:
        return "nothing sent yet"
    return f"{summary.on_time_share:.2%} on time, worst {summary.late_ms_max:.1f} ms late"


def _print(summary: SendSummary) -> None:
    rows = [
        (
            channel.channel,
            channel.state,
            str(channel.packets),
            str(channel.unsent),
            f"{channel.late_ms_max:.1f}",
            str(channel.starts),
            channel.last_failure or channel.ended_by or "-",
        )
        for channel in summary.channels
    ]
    headers = ("CHANNEL", "STATE", "PACKETS", "UNSENT", "WORST ms", "STARTS", "WHY")
    output.print_table(headers, rows, empty="no channels")
    output.print_line(f"{summary.packets} packets, {summary.bytes / 1e6:.1f} MB; {lateness(summary)}")
