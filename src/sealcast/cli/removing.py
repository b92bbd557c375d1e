"""Owns what `sealcast subscriber remove` does and says: the fence epoch, and with --now how long it took.

Imported by the command when it runs, not for its help.
"""

import asyncio

import msgspec

from sealcast.cli import output
from sealcast.cli.acting import Operator, client_of
from sealcast.client import KeyServerClient
from sealcast.core.errors import LocalError
from sealcast.messages import operations
from sealcast.messages.answers import ChannelList, ChannelRow
from sealcast.messages.subscribing import Removed

POLL_S = 0.2
"""How often it is asked what is on air."""

LATE_S = 8.0
"""Beyond the window: a sender that hears no events asks for orders every 5 s, and publishes a key first."""


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a removal, for programs; `switched` is None unless the change was waited for."""

    channel: str
    device: str
    fence_epoch: int
    on_air: int | None
    skipped: list[int]
    window_ms: int | None
    remaining_ms: int | None
    switched: bool | None = None
    took_ms: int | None = None


def remove(operator: Operator, channel: str, device: str, *, now: bool, json: bool) -> None:
    """Remove a device and say from when on it opens nothing; raises LocalError if `now` was not done in time.

    The removal itself stands then, and so does the fence.
    """
    removal = asyncio.run(_remove(operator, channel, device, now=now, is_quiet=json))
    if json:
        output.print_json(removal)
    else:
        for line in told(removal):
            output.print_line(line)
    if removal.switched is False:
        raise LocalError(not_switched(removal))


def told(removal: Removal) -> list[str]:
    """Return what is said of a removal."""
    device, fence = removal.device, removal.fence_epoch
    lines = [f"{device} may no longer receive {removal.channel}: it opens nothing from epoch {fence} on"]
    if removal.skipped:
        epochs = ", ".join(str(epoch) for epoch in removal.skipped)
        lines.append(f"skipped, since it may hold the key: epoch {epochs}; never on air")
    if removal.switched and removal.took_ms is not None:
        lines.append(f"keys changed {removal.took_ms / 1000:.1f} s after the removal: it is shut out")
    elif removal.on_air is None:
        lines.append("nothing is on air: it opens nothing that is sent from now on")
    elif removal.switched is None:
        left = "" if removal.remaining_ms is None else f", for {removal.remaining_ms / 1000:.1f} s more"
        lines.append(f"epoch {removal.on_air} is on air{left}; --now would have changed keys at once")
    return lines


def not_switched(removal: Removal) -> str:
    """Return the line for keys that did not change in time."""
    if removal.on_air is None:
        return f"nothing is on air on {removal.channel}, so no keys were changed; the removal stands"
    waited_s = (removal.took_ms or 0) / 1000
    return (
        f"the sender of {removal.channel} has not changed keys within {waited_s:.0f} s, or cannot say so;"
        f" the removal stands, and {removal.device} is shut out with epoch {removal.fence_epoch};"
        f" see: sealcast channel show {removal.channel}"
    )


async def _remove(operator: Operator, channel: str, device: str, *, now: bool, is_quiet: bool) -> Removal:
    async with client_of(operator) as client:
        began_s = asyncio.get_running_loop().time()
        answer = await client.expect(
            operations.SUBSCRIBER_REMOVE, Removed, channel=channel, device=device, now=now
        )
        row = await _row(client, answer.channel)
        removal = Removal(
            channel=answer.channel,
            device=device,
            fence_epoch=answer.fence_epoch,
            on_air=answer.on_air,
            skipped=answer.skipped,
            window_ms=answer.window_ms,
            remaining_ms=row.remaining_ms,
        )
        if not now:
            return removal
        if not is_quiet and answer.on_air is not None:
            window_s = (answer.window_ms or 0) / 1000
            output.print_line(
                f"changing keys: the others have {window_s:.1f} s to fetch the next one", to_stderr=True
            )
        return await _wait(client, removal, began_s)


async def _wait(client: KeyServerClient, removal: Removal, began_s: float) -> Removal:
    """Wait until the fence epoch or one behind it is on air, or the time is over."""
    until_s = began_s + (removal.window_ms or 0) / 1000 + LATE_S
    on_air = await wait_for_epoch(client, removal.channel, removal.fence_epoch, until_s)
    took_ms = round((asyncio.get_running_loop().time() - began_s) * 1000)
    if on_air is not None and on_air >= removal.fence_epoch:
        return msgspec.structs.replace(removal, switched=True, took_ms=took_ms)
    return msgspec.structs.replace(removal, on_air=on_air, switched=False, took_ms=took_ms)


async def wait_for_epoch(client: KeyServerClient, channel: str, epoch: int, until_s: float) -> int | None:
    """Ask until `until_s` what is on air: nothing, or the epoch waited for or one behind it; return it."""
    loop = asyncio.get_running_loop()
    while True:
        row = await _row(client, channel)
        if row.epoch is None or row.epoch >= epoch or loop.time() >= until_s:
            return row.epoch
        await asyncio.sleep(POLL_S)


async def _row(client: KeyServerClient, channel: str) -> ChannelRow:
    answer = await client.expect(operations.CHANNEL_SHOW, ChannelList, channel=channel)
    return answer.channels[0]
