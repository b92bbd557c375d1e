"""Owns `sealcast demo`: options, live picture and verdict around the demonstration."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from sealcast.demo.run import Shown
    from sealcast.demo.run_picture import Row
    from sealcast.demo.run_verdict import Verdict

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

SECONDS_MIN = 6.0
"""Below this no key changes before the late joiner comes."""

Source = Annotated[
    Path | None,
    typer.Option("--input", metavar="FILE", help="Send this file, in place of a test card with a tone."),
]
Seconds = Annotated[float, typer.Option(min=SECONDS_MIN, max=3600, help="How long to be on the air.")]
Bills = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Keep the bills there, as documents: HTML, and PDF if typst is installed.",
        show_default=False,
    ),
]


@app.command(
    epilog=examples(
        "sealcast demo",
        "sealcast demo --seconds 60 --input film.mp4 --bills bills",
        "sealcast demo --json | jq .ok",
    )
)
def demo(
    source: Source = None,
    seconds: Seconds = 25,
    bills: Bills = None,
    *,
    json: Json = False,
) -> None:
    """See it all work on this machine: key server, sender, subscribers, a late joiner and an outsider.

    Each is a program of its own, started with the command shown, on loopback and in a temporary folder. Ends
    with status 0 only if all held: nothing lost, output equal to input, nothing for the outsider, and each
    subscriber billed for what was on the air, to the cent.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()
    import asyncio

    import structlog

    from sealcast.cli import output, running
    from sealcast.cli.failures import FAILED, say
    from sealcast.config import logs
    from sealcast.demo.run import DemoSettings, run_demo
    from sealcast.transport.system import SystemRandom

    logs.set_up("info", "auto")

    def nothing_to_reload() -> None:
        structlog.get_logger("sealcast.cli").info("the demo has nothing to reload")

    settings = DemoSettings(seconds=seconds, source=source, bills=bills)
    with _stage(json=json) as shown:

        async def work(stop: asyncio.Event) -> "tuple[Verdict, list[str]]":
            playing = asyncio.create_task(run_demo(settings, shown, SystemRandom()))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((playing, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not playing.done():
                playing.cancel()
                await asyncio.wait((playing,))
                raise asyncio.CancelledError
            return playing.result()

        outcome = running.run_until_signal(work, reload=nothing_to_reload)
    if outcome is None:
        return
    verdict, faults = outcome
    for fault in faults:
        say(fault)
    if json:
        output.print_json(verdict)
    else:
        _print(verdict)
    if not verdict.ok:
        raise typer.Exit(FAILED)


@contextlib.contextmanager
def _stage(*, json: bool) -> Iterator["Shown"]:
    """Give where the demo shows itself: a live picture on a terminal, else a line for each change."""
    from rich.console import Console
    from rich.live import Live

    from sealcast.demo.run import Shown

    console = Console(stderr=json, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield Shown(say=lambda line: console.print(line, markup=False), picture=_Changes(console).show)
        return
    with Live(console=console, auto_refresh=False, transient=False) as live:
        yield Shown(
            say=lambda line: console.print(line, markup=False),
            picture=lambda rows: live.update(_table(rows), refresh=True),
        )


class _Changes:
    """Prints a line when a party's state or epoch is another than before: for logs and pipes."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._last: dict[str, tuple[str, str]] = {}

    def show(self, rows: "list[Row]") -> None:
        """Print what changed."""
        for row in rows:
            seen = (row.state, row.epoch.partition(" ")[0])
            if self._last.get(row.name) != seen:
                self._last[row.name] = seen
                epoch = f" epoch {seen[1]}," if seen[1] else ""
                line = f"{row.name}: {row.state},{epoch} {row.detail}".rstrip(", ")
                self._console.print(line, markup=False)


def _table(rows: "list[Row]") -> "Table":
    """Return the picture as a table."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, padding=(0, 1))
    for header in ("WHO", "STATE", "EPOCH", "SO FAR"):
        table.add_column(header, no_wrap=True)
    for row in rows:
        table.add_row(row.name, row.state, row.epoch, row.detail)
    return table


def _print(verdict: "Verdict") -> None:
    """Print the verdict for people, and what the subscribers are to pay."""
    from sealcast.cli import output
    from sealcast.demo.run_bills import bill_lines

    for number, each in enumerate(verdict.subscribers, 1):
        equal = "output equal to input" if each.sha256_matches else "output NOT equal to input"
        output.print_line(
            f"subscriber {number}: {each.packets} packets opened, {each.lost} lost ({each.switch_lost} at a"
            f" change), {each.key_changes} key changes, {equal}"
        )
    late = verdict.late_joiner
    first = "never" if late.first_packet_ms is None else f"{late.first_packet_ms:.0f} ms after its join"
    output.print_line(f"late joiner: first packet {first}, at ROC {late.joined_at_roc}")
    output.print_line(
        f"outsider: {verdict.outsider.packets_received} packets received,"
        f" {verdict.outsider.packets_opened} opened"
    )
    for line in bill_lines(verdict.bills, verdict.on_air):
        output.print_line(line)
    output.print_line("verdict: all of it held" if verdict.ok else "verdict: NOT all of it held")
