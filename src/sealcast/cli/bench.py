"""Owns `sealcast bench`: measurements on this machine."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli import bench_billing, bench_escrow, bench_keyserver, bench_schedules
from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.bench.dataplane import DataplaneFigures
    from sealcast.bench.peers import PeerFigures

app = typer.Typer(rich_markup_mode="rich", add_completion=False, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure packets, key changes, key requests, bills or packages: read the ratios, machines are noisy."""


@app.command(
    epilog=examples(
        "sealcast bench dataplane",
        "sealcast bench dataplane --seconds 10 --json",
        "sealcast bench dataplane --no-peers --plot cost.png",
    )
)
def dataplane(
    *,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to measure our own path.")] = 3.0,
    peers: Annotated[
        bool,
        typer.Option(help="Measure GStreamer, ffmpeg, UFTP and OpenSSL too, where installed: about 20 s."),
    ] = True,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", help="Draw the cost against batch size and packet size (matplotlib)."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Sealing, sending, receiving and opening, per 1316-byte packet on one core, beside the bare cipher.

    Peers do the same work on the same core; their ratio is how many times our cost theirs is.
    """
    from sealcast.bench.dataplane import measure_dataplane
    from sealcast.bench.peers import PeerFigures, measure_peers
    from sealcast.bench.sweep import draw, measure_sweep, require_plotting
    from sealcast.cli import output
    from sealcast.transport.system import SystemClock, SystemRandom

    clock, random = SystemClock(), SystemRandom()
    if plot is not None:
        require_plotting()
    figures = measure_dataplane(clock, random, seconds)
    found = measure_peers(figures.us, clock, random) if peers else PeerFigures({}, {})
    if plot is not None:
        draw(measure_sweep(clock, random), plot)
    if json:
        output.print_json(_dataplane_json(figures, found))
        return
    rows = [
        (name, f"{us:.2f}", f"{figures.ratio[name]:.2f}", f"{figures.gbit_per_s[name]:.2f}")
        for name, us in figures.us.items()
    ]
    output.print_table(("WORK", "µs A PACKET", "RATIO TO CIPHER", "Gbit/s"), rows, empty="")
    if peers:
        output.print_line("")
        rows = [(name, f"{peer.us:.2f}", f"{peer.ratio:.1f}", "") for name, peer in found.peers.items()]
        rows = [(*row[:3], found.notes.pop(row[0], "")) for row in rows]
        rows += [(name, "", "", note) for name, note in found.notes.items()]
        output.print_table(("PEER", "µs A PACKET", "TIMES OURS", "NOTE"), rows, empty="")


@app.command(epilog=examples("sealcast bench channels", "sealcast bench channels --seconds 5 --json"))
def channels(
    *,
    seconds: Annotated[float, typer.Option(min=0.2, max=60, help="How long each trial lasts.")] = 2.0,
    json: Json = False,
) -> None:
    """How many channels of 8 Mbit/s one core sends with 99 % of departures within 2 ms of their time.

    Takes about ten trials. Whatever else this core does counts against the result.
    """
    from sealcast.bench.channels import measure_channels
    from sealcast.cli import output
    from sealcast.transport.system import SystemClock, SystemRandom

    figures = measure_channels(SystemClock(), SystemRandom(), seconds)
    if json:
        output.print_json(figures)
        return
    rows = [
        (
            str(trial.channels),
            f"{trial.on_time_share:.2%}",
            f"{trial.late_ms_max:.1f}",
            f"{trial.us_per_packet:.2f}",
            f"{trial.packets_per_batch:.1f}",
            f"{trial.core_share:.0%}",
        )
        for trial in figures.trials
    ]
    headers = ("CHANNELS", "ON TIME", "WORST ms", "µs A PACKET", "SEALED AT ONCE", "OF A CORE")
    output.print_table(headers, rows, empty="")
    output.print_line(
        f"{figures.channels} channels on schedule, {figures.kib_per_channel:.0f} KiB each;"
        f" load of the machine before: {figures.load}"
    )


app.command(epilog=bench_schedules.EXAMPLES)(bench_schedules.schedules)
app.command(epilog=bench_billing.EXAMPLES)(bench_billing.billing)
app.command(epilog=bench_keyserver.EXAMPLES)(bench_keyserver.keyserver)


def _dataplane_json(figures: "DataplaneFigures", found: "PeerFigures") -> dict[str, object]:
    """Return the one JSON object: a field for each figure, then what belongs to all."""
    return {
        "payload_bytes": figures.payload_bytes,
        "rounds": figures.rounds,
        **{f"{name}_us": us for name, us in figures.us.items()},
        "ratio": figures.ratio,
        "gbit_per_s": figures.gbit_per_s,
        "peers": found.peers,
        "notes": found.notes,
    }


app.command(epilog=bench_escrow.EXAMPLES)(bench_escrow.escrow)
