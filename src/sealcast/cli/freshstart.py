"""Owns `sealcast channel fresh-start`: no key of a chain that is made already goes on air any more."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import ChannelName, Json

if TYPE_CHECKING:
    from sealcast.cli.acting import Operator

EXAMPLES = examples("sealcast channel fresh-start news", "sealcast channel fresh-start news --now")


@dataclass(frozen=True, slots=True)
class Ordered:
    """What became of an order, for programs; `switched` is None unless the change was waited for."""

    channel: str
    fence_epoch: int
    on_air: int | None
    skipped: list[int]
    window_ms: int | None
    switched: bool | None = None
    took_ms: int | None = None


def fresh_start(
    context: typer.Context,
    channel: ChannelName,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="Change keys at once, and wait until that is done.")
    ] = False,
    json: Json = False,
) -> None:
    """Have a chain start afresh with the next key, which follows from none before.

    Whoever follows the chain without a right to it, for instance with a copy of a key, opens nothing from
    then on. Receivers fetch that key, each by a request of its own.
    """
    from sealcast.cli import acting, output
    from sealcast.core.errors import LocalError

    ordered = asyncio.run(order(acting.operator(context), channel, now=now))
    if json:
        output.print_json(ordered)
    else:
        for line in told(ordered):
            output.print_line(line)
    if ordered.switched is False:
        raise LocalError(not_switched(ordered))


async def order(operator: "Operator", channel: str, *, now: bool) -> Ordered:
    """Order a fresh start; with `now`, wait until it is on air or its time is over."""
    from sealcast.cli import removing
    from sealcast.cli.acting import client_of
    from sealcast.messages import operations
    from sealcast.messages.answers import FreshStart

    async with client_of(operator) as client:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answer = await client.expect(operations.CHANNEL_FRESH_START, FreshStart, channel=channel, now=now)
        ordered = Ordered(answer.channel, answer.fence_epoch, answer.on_air, answer.skipped, answer.window_ms)
        if not now or answer.on_air is None:
            return ordered
        until_s = began_s + (answer.window_ms or 0) / 1000 + removing.LATE_S
        on_air = await removing.wait_for_epoch(client, answer.channel, answer.fence_epoch, until_s)
        return replace(
            ordered,
            on_air=on_air,
            switched=on_air is not None and on_air >= answer.fence_epoch,
            took_ms=round((loop.time() - began_s) * 1000),
        )


def told(ordered: Ordered) -> list[str]:
    """Return what is said of an order."""
    lines = []
    if ordered.skipped:
        epochs = ", ".join(str(epoch) for epoch in ordered.skipped)
        lines.append(f"skipped, since its key is made already: epoch {epochs}; never on air")
    if ordered.switched and ordered.took_ms is not None:
        took_s = ordered.took_ms / 1000
        lines.append(f"{ordered.channel} started afresh with epoch {ordered.on_air}, after {took_s:.1f} s")
    elif ordered.on_air is None:
        lines.append(f"nothing is on air on {ordered.channel}: its next key follows from none before")
    elif ordered.switched is None:
        lines.append(
            f"{ordered.channel} starts afresh with its next key, epoch {ordered.fence_epoch} or later;"
            f" epoch {ordered.on_air} is on air until then, --now would have changed keys at once"
        )
    return lines


def not_switched(ordered: Ordered) -> str:
    """Return the line for keys that did not change in time."""
    waited_s = (ordered.took_ms or 0) / 1000
    return (
        f"the sender of {ordered.channel} has not changed keys within {waited_s:.0f} s, or cannot say so;"
        f" the order stands until epoch {ordered.fence_epoch} or a later one is on air;"
        f" see: sealcast channel show {ordered.channel}"
    )
