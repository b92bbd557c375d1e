"""Owns `sealcast bench schedules`: what a key change costs, by schedule and number of receivers."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealcast.bench.schedules import Cost, SchedulesBench

EXAMPLES = examples(
    "sealcast bench schedules",
    "sealcast bench schedules --receivers 10000 --repeats 2 --repeats 3 --loss 5%",
    "sealcast bench schedules --burst 100 --json",
    "sealcast bench schedules --plot change.png",
)
REPEATS = (2, 3, 5)
"""Where a request is seen, where it is rare, and the default."""

Receivers = Annotated[int, typer.Option(min=100, max=1_000_000, help="Receivers of the largest crowd.")]
Repeats = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        max=16,
        metavar="K",
        help=escape("How often an update is sent (again for more). [default: 2, 3, 5]"),
    ),
]
LossRate = Annotated[str, typer.Option("--loss", metavar="RATE", help="The packets that each loses.")]
Burst = Annotated[
    float,
    typer.Option(
        min=0, metavar="N", help="Loss in bursts of N packets of an 8 Mbit/s stream in the mean; 0: singly."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="Draw the bytes of a change against receivers (matplotlib)."),
]

COSTS = ("CHANGE", "RECEIVERS", "SEAL PACKETS", "BYTES", "REQUESTS", "AT MOST A SECOND", "BYTES", "IN ALL")
MISSES = ("REPEATS", "APART", "CHANCE TO MISS", "RECEIVERS", "MISSED", "IF SENT AT ONCE")


def schedules(
    *,
    receivers: Receivers = 100_000,
    repeats: Repeats = None,
    loss: LossRate = "5%",
    burst: Burst = 0,
    seed: Seed = 1,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Show what a key change costs if receivers fetch each key, and if it follows from the one before.

    Packets, requests and grants are real, of a channel with default settings; the receivers are simulated.
    """
    from sealcast.bench.crowd import Loss
    from sealcast.bench.schedules import SchedulesBench
    from sealcast.bench.schedules_plot import draw_costs
    from sealcast.bench.sweep import require_plotting
    from sealcast.cli import output
    from sealcast.cli.progress import progress_bar

    if plot is not None:
        require_plotting()
    bench = SchedulesBench(receivers, repeats or REPEATS, Loss.parse(loss, burst), seed)
    costs: list[Cost] = []
    with progress_bar() as bar:
        task = bar.add_task("changes", total=bench.steps)
        for cost in bench.run():
            costs.append(cost)
            bar.advance(task)
    if plot is not None:
        draw_costs(costs, bench.spec.fresh_epochs, plot)
    if json:
        output.print_json(_json(bench, costs))
        return
    output.print_table(COSTS, [_cost_row(cost) for cost in costs], empty="")
    output.print_line("")
    rows = [_miss_row(cost) for cost in costs if cost.repeats and cost.receivers == receivers]
    output.print_table(MISSES, rows, empty="")


def _cost_row(cost: "Cost") -> tuple[str, ...]:
    what = f"{cost.case}, {cost.repeats} repeats" if cost.repeats else cost.case
    counts = (cost.receivers, cost.seal_packets, cost.seal_bytes, cost.requests, cost.peak_per_s)
    return (what, *(f"{each:,}" for each in (*counts, cost.unicast_bytes, cost.total_bytes)))


def _miss_row(cost: "Cost") -> tuple[str, ...]:
    apart = f"{cost.apart_ms / 1_000:g} s"
    counts = (cost.receivers, cost.requests, cost.missed_at_once)
    return (str(cost.repeats), apart, f"{cost.miss_chance:.2g}", *(f"{each:,}" for each in counts))


def _json(bench: "SchedulesBench", costs: "Sequence[Cost]") -> dict[str, object]:
    """Return the one JSON object: the settings, what a request costs, and a row for each change."""
    return {
        "seed": bench.seed,
        "loss": bench.loss,
        "lifetime_ms": bench.spec.lifetime_ms,
        "fresh_epochs": bench.spec.fresh_epochs,
        "exchanges": bench.exchanges,
        "changes": costs,
    }
