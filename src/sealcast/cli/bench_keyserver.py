"""Owns `sealcast bench keyserver`: how many grants a second a key server makes on one core."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.bench.keyserver import KindFigures

EXAMPLES = examples(
    "sealcast bench keyserver",
    "sealcast bench keyserver --devices 200 --channels 4",
    "sealcast bench keyserver --json | jq .symmetric.grants_per_s",
)

Devices = Annotated[
    int, typer.Option(min=1, max=15_000, help="Symmetric devices; a quarter as many with certificates.")
]
Channels = Annotated[
    int, typer.Option(min=1, max=250, help="Channels; each device asks for the keys of each of them.")
]
Connections = Annotated[int, typer.Option(min=1, max=500, help="Connections that are kept alive.")]


def keyserver(
    *, devices: Devices = 1_000, channels: Channels = 10, connections: Connections = 64, json: Json = False
) -> None:
    """Measure a key server of its own, held to one core, with requests over HTTPS from another.

    Every answer is one new grant, on disk before it leaves. `hello` is an endpoint of the same HTTP stack and
    TLS that answers `hello`.
    """
    from sealcast.bench.keyserver import measure_keyserver
    from sealcast.cli import output
    from sealcast.cli.progress import progress_bar
    from sealcast.transport.system import SystemClock, SystemRandom

    with progress_bar() as bar:
        task = bar.add_task("keyserver", total=None)
        figures = measure_keyserver(
            SystemClock(),
            SystemRandom(),
            devices=devices,
            channels=channels,
            connections=connections,
            tell=lambda step: bar.update(task, description=step),
        )
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
