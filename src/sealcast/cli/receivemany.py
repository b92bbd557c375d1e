"""Owns receiving all channels of a configuration file: plans from its tables, status line and summary."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from sealcast.cli import fleet, held, output
from sealcast.cli.targets import parse_target
from sealcast.client.choosing import Choice
from sealcast.core.errors import UsageError
from sealcast.gateway.receiving import ReceivePlan, ReceiveSummary, receive_channels
from sealcast.receiver.settings import ReceiveSettings
from sealcast.receiver.sinks import Sink, check_output, open_sink
from sealcast.transport.system import SystemClock, SystemRandom

if TYPE_CHECKING:
    from sealcast.config.channels import Placed, ReceiveTable
    from sealcast.config.load import Loaded


def receive_many(
    context: typer.Context, loaded: "Loaded", *, credential: str | None, interface: str | None, json: bool
) -> None:
    """Receive every channel under `[[receive]]`; options stand in for what a table leaves open."""
    if not loaded.channels.receive:
        raise UsageError(
            f"{loaded.path} names no channel to receive; write [[receive]] with channel and output"
        )
    _refuse_shared_outputs(loaded.channels.receive)
    vaults = fleet.Vaults(context, loaded, "device", credential)
    plans: list[ReceivePlan] = []
    for placed in loaded.channels.receive:
        with fleet.place(placed.where):
            plans.append(_plan(placed.table, loaded, vaults, interface, digest=json))

    async def work(stop: asyncio.Event, observe: Callable[[ReceiveSummary], None]) -> ReceiveSummary:
        return await receive_channels(
            plans, clock=SystemClock(), random=SystemRandom(), stop=stop, observe=observe
        )

    summary, was_told = fleet.run(work, describe, vaults.reload)
    if summary is not None:
        fleet.conclude(summary, lambda: _print(summary), failed=summary.failed, was_told=was_told, json=json)


def _refuse_shared_outputs(tables: "tuple[Placed[ReceiveTable], ...]") -> None:
    seen: dict[str, str] = {}
    for placed in tables:
        before = seen.setdefault(placed.table.output, placed.where)
        if before != placed.where:
            raise UsageError(f"{placed.where}: its output is that of another channel, at {before}")


def _plan(
    table: "ReceiveTable", loaded: "Loaded", vaults: fleet.Vaults, interface: str | None, *, digest: bool
) -> ReceivePlan:
    """Return the plan of a channel; raises UsageError for what does not go together."""
    if table.output == "-":
        raise UsageError("standard output is for one channel alone; give a file or udp://HOST:PORT")
    check_output(table.output)
    vault, reloading = vaults.open(table.credential)
    configured = loaded.settings.receiver
    own_interface = table.interface or interface or configured.interface

    def opened() -> Sink:
        return open_sink(table.output, own_interface, digest=digest)

    settings = ReceiveSettings(
        credential=vault.credential,
        target=parse_target(table.channel),
        interface=own_interface,
        reorder_ms=configured.reorder_ms if table.reorder_ms is None else table.reorder_ms,
        keep=vault.keep_certificates,
        attach=reloading.attach,
        keys=vault.keys,
        servers=Choice(configured.servers),
    )
    lock = held.lock_for(loaded, vault.credential, table.channel, is_one_of_many=True)
    if lock is not None:
        settings = held.noting(settings, lock)
    return ReceivePlan(settings, table.output, opened, table.restart, lock)


def describe(summary: ReceiveSummary) -> str:
    """Return the status line, short enough for a terminal of 80 columns."""
    counts = f"{summary.running} of {len(summary.channels)} channels run"
    if summary.waiting or summary.failed:
        counts += f", {summary.waiting} wait, {summary.failed} failed"
    return f"{counts} | {summary.packets_opened} opened, {summary.lost} lost"


def _print(summary: ReceiveSummary) -> None:
    rows = [
        (
            channel.channel,
            channel.output,
            channel.state,
            str(channel.packets_opened),
            str(channel.lost),
            str(channel.starts),
            channel.last_failure or channel.ended_by or "-",
        )
        for channel in summary.channels
    ]
    headers = ("CHANNEL", "OUTPUT", "STATE", "OPENED", "LOST", "STARTS", "WHY")
    output.print_table(headers, rows, empty="no channels")
    output.print_line(
        f"{summary.packets_opened} packets opened, {summary.lost} lost,"
        f" {summary.bytes_written / 1e6:.1f} MB written"
    )
