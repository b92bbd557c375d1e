"""Owns `sealcast bench`: measurements on this machine."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure the packet path on this machine. Read the ratios: machines are noisy."""


@app.command(epilog=examples("sealcast bench dataplane", "sealcast bench dataplane --seconds 10 --json"))
def dataplane(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure.")] = 3.0,
    json: Json = False,
) -> None:
    """Sealing, sending, receiving and opening, per 1316-byte packet on one core, beside the bare cipher."""
    from sealcast.bench.dataplane import measure_dataplane
    from sealcast.cli import output
    from sealcast.transport.system import SystemClock, SystemRandom

    figures = measure_dataplane(SystemClock(), SystemRandom(), seconds)
    if json:
        output.print_json(figures)
        return
    rows = [
        (name, f"{us:.2f}", f"{figures.ratio[name]:.2f}", f"{figures.gbit_per_s[name]:.2f}")
        for name, us in figures.us.items()
    ]
    output.print_table(("WORK", "µs A PACKET", "RATIO TO CIPHER", "Gbit/s"), rows, empty="")
