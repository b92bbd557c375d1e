"""Owns `sealcast simulate`: what a day of a channel with very many receivers asks of its key servers."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sealcast.bench.day import Day, DayBench
    from sealcast.bench.sites import Outage
    from sealcast.core.channel import ChannelSpec

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


class Chosen(StrEnum):
    """What of `client.choosing` can be simulated."""

    FIXED = "fixed"
    ROUND_ROBIN = "round-robin"


class ScheduleName(StrEnum):
    """A copy of the schedules' names, which help needs without them."""

    FETCH = "fetch"
    CHAIN = "chain"


Receivers = Annotated[int, typer.Option(min=100, max=10_000_000, help="Receivers of the channel.")]
Hours = Annotated[int, typer.Option(min=1, max=168, help="How long to simulate.")]
Lifetime = Annotated[str, typer.Option(metavar="TIME", help="How long keys live: 10s to 1h.")]
Replicas = Annotated[int, typer.Option(min=1, max=16, help="Key servers that share the receivers.")]
Churn = Annotated[str, typer.Option(metavar="RATE", help="Receivers that leave in an hour; as many join.")]
Restarts = Annotated[str, typer.Option(metavar="RATE", help="Receivers that start anew in an hour.")]
Choose = Annotated[Chosen, typer.Option(help="How receivers choose among them.")]
Outages = Annotated[
    list[str] | None,
    typer.Option(
        "--outage", metavar="N@HH:MM+TIME", help="Replica N says nothing for a while (again for more)."
    ),
]
Drawn = Annotated[int, typer.Option("--outages", min=0, max=100, help="So many outages, drawn by the seed.")]
Schedule = Annotated[ScheduleName, typer.Option(help="Whether keys are fetched, or follow by updates.")]
AirLoss = Annotated[str, typer.Option(metavar="RATE", help="Updates of a chain that a receiver misses.")]
LossRate = Annotated[str, typer.Option("--loss", metavar="RATE", help="Requests that get no answer.")]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same figures.")]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", help="Draw the requests of each second (matplotlib)."),
]

REPLICA_COLUMNS = ("REPLICA", "REQUESTS", "MEAN A SECOND", "AT MOST A SECOND")


@app.command(
    epilog=examples(
        "sealcast simulate",
        "sealcast simulate --receivers 100000 --hours 2 --replicas 3 --outage 1@00:30+10m --plot day.png",
        "sealcast simulate --schedule chain --air-loss 5%",
        "sealcast simulate --lifetime 5m --loss 1% --json | jq .peak_ratio",
    )
)
def simulate(
    *,
    receivers: Receivers = 1_000_000,
    hours: Hours = 24,
    lifetime: Lifetime = "10m",
    replicas: Replicas = 1,
    choose: Choose = Chosen.FIXED,
    outage: Outages = None,
    outages: Drawn = 0,
    schedule: Schedule = ScheduleName.FETCH,
    air_loss: AirLoss = "1%",
    churn: Churn = "5%",
    restarts: Restarts = "1%",
    loss: LossRate = "0.1%",
    seed: Seed = 1,
    plot: Plot = None,
    json: Json = False,
) -> None:
    """Show what the key servers of a channel with very many receivers are asked in a day.

    Receivers are simulated; when they ask and try again, their own code decides. A million for a day take
    a few minutes.
    """
    from dataclasses import replace

    from sealcast.bench.day import HOUR_MS, DayBench, Habits
    from sealcast.bench.day_plot import draw_day
    from sealcast.bench.sweep import require_plotting
    from sealcast.cli import output
    from sealcast.cli.progress import progress_bar
    from sealcast.client.choosing import Choice

    if plot is not None:
        require_plotting()
        _require_folder(plot)
    habits = Habits(_rate("--churn", churn), _rate("--restarts", restarts), _rate("--loss", loss))
    habits = replace(habits, air_loss=_rate("--air-loss", air_loss))
    out = _outages(outage or [], outages, replicas, hours * HOUR_MS, seed)
    bench = DayBench(
        _spec(lifetime, schedule),
        receivers,
        hours * HOUR_MS,
        habits=habits,
        replicas=replicas,
        choice=Choice(choose),
        outages=out,
        seed=seed,
    )
    with progress_bar() as bar:
        task = bar.add_task("key changes", total=bench.epochs)
        for _ in bench.run():
            bar.advance(task)
    if plot is not None:
        draw_day(bench.day, plot, out)
    if json:
        output.print_json(_json(bench, seed) | _json_servers(bench, choose, out))
    else:
        _print(bench)


def _print(bench: "DayBench") -> None:
    from sealcast.cli import output

    for name, value in _lines(bench, bench.day):
        output.print_line(f"{name:<10}  {value}")
    output.print_line("")
    output.print_table(REPLICA_COLUMNS, _replica_rows(bench.day), empty="")


def _spec(lifetime: str, schedule: ScheduleName) -> "ChannelSpec":
    """Return the channel; raises UsageError."""
    from dataclasses import replace

    from sealcast.bench.schedules import SPEC
    from sealcast.core.channel import ScheduleKind, parse_duration_ms

    return replace(SPEC, lifetime_ms=parse_duration_ms(_short(lifetime)), schedule=ScheduleKind(schedule))


def _outages(named: list[str], count: int, replicas: int, duration_ms: int, seed: int) -> "list[Outage]":
    """Return the outages named and those drawn; raises UsageError."""
    from sealcast.bench.sites import Outage, seeded_outages

    return [*map(Outage.parse, named), *seeded_outages(count, replicas, duration_ms, seed)]


def _short(lifetime: str) -> str:
    """Take `10min` for `10m`."""
    return lifetime.removesuffix("in") if lifetime.endswith("min") else lifetime


def _require_folder(plot: Path) -> None:
    """Raise UsageError before minutes are spent on a picture that cannot be written."""
    from sealcast.core.errors import UsageError

    if not plot.parent.is_dir():
        raise UsageError(f"cannot write {plot}: there is no folder {plot.parent}")


def _rate(option: str, text: str) -> float:
    """Read a rate as `5%`, below 100 %; raises UsageError."""
    from sealcast.bench.crowd import Loss
    from sealcast.core.errors import UsageError

    try:
        return Loss.parse(text).rate
    except UsageError as error:
        raise UsageError(f"{option} {text}: write a rate below 100%, for instance 5%") from error


def _lines(bench: "DayBench", day: "Day") -> "Iterator[tuple[str, str]]":
    often = ", ".join(f"{_often(asked)} {times:,}" for asked, times in day.asked.items())
    busiest = f"{day.peak_per_s:,} requests: {day.peak_ratio:.2f} times the even share of"
    yield "receivers", f"{day.receivers:,}, {day.epochs} key changes, window {bench.window_ms / 1_000:g} s"
    yield "requests", f"{day.requests:,}: {day.per_receiver:.4f} for each receiver and epoch"
    yield "asked", often
    yield "busiest s", f"{busiest} {day.even_per_s:,.0f}"
    late = f"{day.late:,} without key, {day.losers:,} lost packets, {day.late_ms_max} ms at most"
    yield "switches", late
    if day.moved:
        yield "moved", f"{day.moved:,} requests, since the replica asked first was out"


def _often(asked: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(asked, f"{asked} times")


def _replica_rows(day: "Day") -> list[tuple[str, ...]]:
    pairs = zip(day.replica_requests, day.replica_peaks_per_s, strict=True)
    return [
        (str(i), f"{requests:,}", f"{requests / len(day.per_s):,.1f}", f"{peak:,}")
        for i, (requests, peak) in enumerate(pairs, start=1)
    ]


def _json(bench: "DayBench", seed: int) -> dict[str, object]:
    """Return what the one JSON object says of all: the settings, the figures, the requests of each second."""
    day = bench.day
    return {
        "seed": seed,
        "receivers": day.receivers,
        "lifetime_ms": bench.spec.lifetime_ms,
        "window_ms": bench.window_ms,
        "habits": bench.habits,
        "epochs": day.epochs,
        "requests": day.requests,
        "requests_per_receiver": day.per_receiver,
        "asked": {str(asked): times for asked, times in day.asked.items()},
        "over_two": day.over_two,
        "even_per_s": day.even_per_s,
        "peak_per_s": day.peak_per_s,
        "peak_ratio": day.peak_ratio,
        "late": day.late,
        "losers": day.losers,
        "late_ms_max": day.late_ms_max,
        "per_s": list(day.per_s),
    }


def _json_servers(bench: "DayBench", choose: Chosen, outages: "list[Outage]") -> dict[str, object]:
    """Return what it says of the replicas."""
    day = bench.day
    figures = zip(day.replica_requests, day.replica_peaks_per_s, day.replicas_per_s, strict=True)
    return {
        "schedule": bench.spec.schedule.value,
        "choose": choose.value,
        "outages": outages,
        "moved": day.moved,
        "replicas": [
            {"requests": requests, "peak_per_s": peak, "per_s": list(per_s)}
            for requests, peak, per_s in figures
        ],
    }
