"""Owns `sealcast bench keyserver`: how many grants a second a key server makes on one core."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from collections.abc import Callable

    from sealcast.bench.keyserver import KindFigures

Figures = TypeVar("Figures")

EXAMPLES = examples(
    "sealcast bench keyserver",
    "sealcast bench keyserver --devices 200 --channels 4",
    "sealcast bench keyserver --json | jq .symmetric.grants_per_s",
    "sealcast bench keyserver --quota 0.3",
)

Devices = Annotated[
    int, typer.Option(min=1, max=15_000, help="Symmetric devices; a quarter as many with certificates.")
]
Channels = Annotated[
    int, typer.Option(min=1, max=250, help="Channels; each device asks for the keys of each of them.")
]
Quota = Annotated[
    float | None,
    typer.Option(min=0.05, max=1.0, help="Measure replicas, each held to this share of a core."),
]
Connections = Annotated[int, typer.Option(min=1, max=500, help="Connections that are kept alive.")]


def keyserver(
    *,
    devices: Devices = 1_000,
    channels: Channels = 10,
    connections: Connections = 64,
    quota: Quota = None,
    json: Json = False,
) -> None:
    """Measure a key server of its own, held to one core, with requests over HTTPS from another.

    Every answer is one new grant, on disk before it leaves. `hello` is an endpoint of the same HTTP stack and
    TLS that answers `hello`.

    With --quota: one replica against two, each held to that share of a core, and what the master takes until
    it has recorded their grants, with what it takes meanwhile anyway. It needs root and nats-server.
    """
    if quota is not None:
        _replicas(devices, channels, connections, quota, json=json)
        return
    from functools import partial

    from sealcast.bench.keyserver import measure_keyserver
    from sealcast.cli import output

    measure = partial(measure_keyserver, devices=devices, channels=channels, connections=connections)
    figures = _measured("keyserver", measure)
    if json:
        output.print_json(figures)
        return
    rows = [_row("symmetric", figures.symmetric), _row("certificate", figures.certificate)]
    output.print_table(
        ("DEVICES", "GRANTS", "A SECOND", "P50 ms", "P99 ms", "CPU µs", "OF HELLO"), rows, empty=""
    )
    where = "not held to a core" if figures.core is None else f"held to core {figures.core}"
    output.print_line(
        f"hello: {figures.hello_per_s:,.0f} a second, {figures.hello_cpu_us:.0f} µs of CPU each;"
        f" {figures.connections} connections, the server {where}"
    )


def _measured(name: str, measure: "Callable[..., Figures]") -> "Figures":
    """Return what `measure` brings, given clock and chance; a progress bar says where it is."""
    from sealcast.cli.progress import progress_bar
    from sealcast.transport.system import SystemClock, SystemRandom

    with progress_bar() as bar:
        task = bar.add_task(name, total=None)
        return measure(SystemClock(), SystemRandom(), tell=lambda step: bar.update(task, description=step))


def _replicas(devices: int, channels: int, connections: int, share: float, *, json: bool) -> None:
    """Measure and print what two replicas come to against one."""
    from functools import partial

    from sealcast.bench.replicas import measure_replicas
    from sealcast.cli import output

    measure = partial(
        measure_replicas, devices=devices, channels=channels, connections=connections, share=share
    )
    figures = _measured("replicas", measure)
    if json:
        output.print_json(figures)
        return
    rows = [
        (
            str(each.replicas),
            f"{each.grants:,}",
            f"{each.grants_per_s:,.0f}",
            f"{each.p99_ms:.0f}",
            f"{each.cpu_us_per_grant:.0f}",
            f"{each.master_cpu_us_per_grant:.0f}",
            f"{each.master_idle_us_per_grant:.0f}",
        )
        for each in (figures.one, figures.two)
    ]
    titles = ("REPLICAS", "GRANTS", "A SECOND", "P99 ms", "CPU µs", "MASTER µs", "IDLE µs")
    output.print_table(titles, rows, empty="")
    output.print_line(
        f"two come to {figures.speedup:.2f} times one, each with {share:.0%} of a core;"
        f" the master takes {figures.master_share:.0%} of a grant,"
        f" {figures.master_share_over_idle:.0%} without what it takes while nobody asks"
    )


def _row(name: str, figures: "KindFigures") -> tuple[str, ...]:
    return (
        name,
        f"{figures.grants:,}",
        f"{figures.grants_per_s:,.0f}",
        f"{figures.p50_ms:.1f}",
        f"{figures.p99_ms:.1f}",
        f"{figures.cpu_us_per_grant:.0f}",
        f"{figures.hello_ratio:.2f}",
    )
