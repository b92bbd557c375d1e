"""Owns `sealcast bench escrow`: how fast packages are opened blindly, packed and unpacked here."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

EXAMPLES = examples(
    "sealcast bench escrow",
    "sealcast bench escrow --content-mb 200 --dir /mnt/disk",
    "sealcast bench escrow --json | jq .blind_per_s",
)


def escrow(
    *,
    content_mb: Annotated[int, typer.Option(min=1, max=100_000, help="How large the content is.")] = 1_000,
    key_bits: Annotated[
        int, typer.Option(min=3_072, max=8_192, help="How long the escrow's key is.")
    ] = 3_072,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Where to write; else the system's place.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure blind openings on one core, packing beside `cp`, and unpacking through a device agent.

    It writes three times the content, and removes it at the end.
    """
    from sealcast.bench.escrow import measure_escrow
    from sealcast.cli import output
    from sealcast.cli.progress import progress_bar
    from sealcast.transport.system import SystemClock, SystemRandom

    with progress_bar() as bar:
        task = bar.add_task("escrow", total=None)
        figures = measure_escrow(
            SystemClock(),
            SystemRandom(),
            content_mb=content_mb,
            key_bits=key_bits,
            folder=folder,
            tell=lambda step: bar.update(task, description=step),
        )
    if json:
        output.print_json(figures)
        return
    rows = [
        ("blind openings", f"{figures.blind_per_s:,.0f} a second", f"{key_bits} bits, one core"),
        ("cp", f"{figures.cp_mb_per_s:,.0f} MB/s", ""),
        ("pack", f"{figures.pack_mb_per_s:,.0f} MB/s", f"{figures.pack_ratio_cp:.2f} of cp"),
        ("unpack by the agent", f"{figures.unpack_mb_per_s:,.0f} MB/s", "into /dev/null"),
        ("hash and cipher alone", f"{figures.cipher_mb_per_s:,.0f} MB/s", "one thread"),
    ]
    output.print_table(("WORK", "SPEED", ""), rows, empty="")
