"""Owns `sealcast package unpack`: the content of a package that was bought, as a file.

Part of the noun in `cli.package`.
"""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.options import AgentSocket, Json, Package

MB = 1_000_000


def unpack(
    package: Package,
    *,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the content goes; else the name that it was packed with."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Unpack a package that was bought, through the device agent; takes a package's file or its address.

    The file has its name once all of it was verified and is there; until then nothing is.
    """
    from sealcast.cli.signals import expect_interruption

    expect_interruption()

    import os
    import time

    from sealcast.agent.content import open_content
    from sealcast.agent.files import sink_at
    from sealcast.cli.output import print_json, print_line
    from sealcast.cli.progress import progress_bar
    from sealcast.config.places import agent_socket
    from sealcast.core.errors import UsageError

    with open_content(agent_socket(os.environ, agent), package) as content, progress_bar() as bar:
        about = content.about
        if output is None and about.name.startswith("."):
            raise UsageError(f"the content is called {about.name}, and would be hidden: say where, --output")
        path = output or Path(about.name)
        task = bar.add_task(about.title, total=about.size)
        began_s = time.monotonic()
        with sink_at(path, about.size, is_forced=force) as sink:
            content.write(sink, 0, about.size, lambda count: bar.advance(task, count))
        taken_s = time.monotonic() - began_s
    if json:
        print_json({"package": about.package, "file": str(path), "bytes": about.size, "seconds": taken_s})
    else:
        speed = f", {about.size / MB / taken_s:,.0f} MB/s" if taken_s else ""
        print_line(f"{path}: {about.size:,} bytes of {about.title}{speed}")
