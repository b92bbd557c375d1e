"""Owns how receptions are read page by page and shown: once, or again and again.

Imported by the command when it runs, not for its help.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass

from sealcast.cli import output
from sealcast.cli.acting import Operator, client_of
from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, UnreachableError
from sealcast.messages import operations
from sealcast.messages.subscribing import ReceptionList, ReceptionRow

REFRESH_S = 2.0
"""Between two looks with `--watch`: a heartbeat comes every half minute, a stop at once."""

SERVER_FAULT_STATUS = 500
LIVE_HEADERS = ("NUMBER", "CHANNEL", "DEVICE", "SINCE", "LAST SEEN", "EPOCHS", "PACKETS")
HISTORY_HEADERS = (*LIVE_HEADERS, "UNTIL", "REASON")
Show = Callable[[ReceptionList], None]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which receptions to show: of a channel, of a device, also those that are over; `limit` at most."""

    channel: str | None
    device: str | None
    history: bool
    limit: int


async def once(operator: Operator, wanted: Wanted, *, json: bool) -> None:
    """Show the list."""
    async with client_of(operator) as client:
        found = await read_all(client, wanted)
    _printer(wanted, json=json)(found)


async def watching(operator: Operator, wanted: Wanted, stop: asyncio.Event, *, json: bool) -> None:
    """Show the list again and again until `stop`: in place on a terminal, else one after another.

    Raises what the first look raises; a server that is away later on is waited for.
    """
    show = _printer(wanted, json=json)
    seen = False
    async with client_of(operator) as client:
        with contextlib.ExitStack() as stack:
            while not stop.is_set():
                try:
                    found = await read_all(client, wanted)
                except (UnreachableError, RefusedError) as error:
                    if not seen or getattr(error, "status", SERVER_FAULT_STATUS) < SERVER_FAULT_STATUS:
                        raise
                else:
                    if not seen and sys.stdout.isatty() and not json:
                        show = _on_screen(stack, wanted)
                    seen = True
                    show(found)
                    sys.stdout.flush()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(REFRESH_S):
                        await stop.wait()


async def read_all(client: KeyServerClient, wanted: Wanted) -> ReceptionList:
    """Read page after page until `limit` receptions are there, or there are no more."""
    rows: list[ReceptionRow] = []
    while True:
        page = await client.expect(
            operations.RECEPTION_LIST,
            ReceptionList,
            channel=wanted.channel,
            device=wanted.device,
            history=wanted.history,
            before=rows[-1].number if rows else None,
            limit=wanted.limit - len(rows),
        )
        rows += page.receptions
        if not page.more or not page.receptions or len(rows) >= wanted.limit:
            return ReceptionList(receptions=rows, live=page.live, more=page.more)


def cells(row: ReceptionRow, *, history: bool) -> tuple[str, ...]:
    """Return a reception as a row of the table."""
    epochs = "-" if row.first_epoch is None else f"{row.first_epoch}-{row.last_epoch}"
    live = (str(row.number), row.channel, row.device, row.since, row.seen, epochs, str(row.packets))
    return (*live, row.until or "-", row.reason or "-") if history else live


def _printer(wanted: Wanted, *, json: bool) -> Show:
    """Return what prints a list: one JSON object, or a table with its sum below it."""

    def show(found: ReceptionList) -> None:
        if json:
            output.print_json(found)
            return
        rows = [cells(row, history=wanted.history) for row in found.receptions]
        headers = HISTORY_HEADERS if wanted.history else LIVE_HEADERS
        output.print_table(headers, rows, empty="nobody receives anything")
        if rows:
            output.print_line(_sum(found))

    return show


def _on_screen(stack: contextlib.ExitStack, wanted: Wanted) -> Show:
    """Return what shows a list in place of the one before, as much of it as the terminal has lines."""
    from rich.console import Console, Group  # noqa: PLC0415 - only a terminal pays for it
    from rich.live import Live  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    console = Console(highlight=False)
    live = stack.enter_context(Live(console=console, auto_refresh=False, screen=True))

    def show(found: ReceptionList) -> None:
        room = max(1, console.height - 4)
        rows = [cells(row, history=wanted.history) for row in found.receptions[:room]]
        headers = HISTORY_HEADERS if wanted.history else LIVE_HEADERS
        live.update(Group(Text(_sum(found)), Text(), output.make_table(headers, rows)), refresh=True)

    return show


def _sum(found: ReceptionList) -> str:
    shown = len(found.receptions)
    more = f", {shown} of more shown" if found.more else ""
    return f"{found.live} live{more}"
