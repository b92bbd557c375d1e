"""Owns `sealcast receptions`: who receives what at this moment, or did."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

ROWS_MAX = 10_000
"""Receptions that one list shows unless told otherwise; `--limit` asks for more."""


@app.command(
    epilog=examples(
        "sealcast receptions",
        "sealcast receptions news --watch",
        "sealcast receptions --device TV-0001 --history --json",
    )
)
def receptions(
    context: typer.Context,
    channel: Annotated[
        str | None, typer.Argument(metavar="CHANNEL", help="Only those of this channel.")
    ] = None,
    device: Annotated[str | None, typer.Option(metavar="DEVICE", help="Only those of this device.")] = None,
    *,
    history: Annotated[
        bool, typer.Option("--history", help="Also those that are over, with the reason.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s until Ctrl-C.")] = False,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, max=1_000_000, help="So many at most, the newest.")
    ] = ROWS_MAX,
    json: Json = False,
) -> None:
    """List who receives what at this moment, by the heartbeats of the devices; the newest first."""
    import asyncio

    from sealcast.cli import acting, running
    from sealcast.cli.reception_table import Wanted, once, watching

    operator = acting.operator(context)
    wanted = Wanted(channel, device, history, limit)
    if watch:
        running.run_until_signal(lambda stop: watching(operator, wanted, stop, json=json))
    else:
        asyncio.run(once(operator, wanted, json=json))
