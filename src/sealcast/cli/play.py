"""Owns `sealcast play`: a package's content into a pipe, a file, or to players over HTTP."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import AgentSocket, Package

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast play film.sealpack --output - | ffplay -",
        "sealcast play film.sealpack --output http://127.0.0.1:8080",
        "sealcast play https://shop.example/film.sealpack --output - | ffplay -",
        "sealcast play film.sealpack --output - --offset 1000000 --length 4096 | hexdump -C",
    )
)
def play(
    context: typer.Context,
    package: Package,
    *,
    output: Annotated[
        str,
        typer.Option(
            metavar="-|FILE|http://127.0.0.1:PORT", help="Where the content goes; port 0 is a free one."
        ),
    ] = "-",
    offset: Annotated[int, typer.Option(min=0, metavar="BYTES", help="Where to begin.")] = 0,
    length: Annotated[
        int | None, typer.Option(min=0, metavar="BYTES", help="How much; else all that follows.")
    ] = None,
    agent: AgentSocket = None,
) -> None:
    """Play a package that was bought: verified content, chunk by chunk, and no key.

    Over HTTP players may seek; it serves this machine and its own user until Ctrl-C.
    """
    from sealcast.cli.signals import expect_signals

    expect_signals()

    import os

    from sealcast.config.places import agent_socket
    from sealcast.core.errors import UsageError

    socket = agent_socket(os.environ, agent)
    if output.startswith(("http:", "https:")):
        if offset or length is not None:
            raise UsageError("over HTTP the player says which part it wants: leave out --offset and --length")
        _serve(context, socket, package, _port(output))
        return
    if output == "-":
        _write(socket, package, None, offset, length)
    else:
        _write(socket, package, Path(output), offset, length)


def _write(socket: Path, package: str, path: Path | None, offset: int, length: int | None) -> None:
    """Write content to standard output, or into a new file."""
    import sys

    from sealcast.agent.content import open_content
    from sealcast.agent.files import sink_at
    from sealcast.core.errors import UnreachableError, UsageError

    if path is None and sys.stdout.isatty():
        raise UsageError("standard output is a terminal: pipe it into a player, or name a file")
    with open_content(socket, package) as content:
        size = content.about.size
        if offset > size:
            raise UsageError(f"the content has {size} bytes, and nothing at {offset}")
        wanted = size - offset if length is None else min(length, size - offset)
        if path is not None:
            with sink_at(path, wanted) as sink:
                content.write(sink, offset, wanted)
            return
        try:
            content.write(sys.stdout.fileno(), offset, wanted)
        except UnreachableError as error:
            if not _is_reader_gone():
                raise
            raise BrokenPipeError from error


def _is_reader_gone() -> bool:
    """Whether nobody reads our standard output any more: a player that was closed is no error."""
    import select

    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _serve(context: typer.Context, socket: Path, package: str, port: int) -> None:
    """Serve players until told to end."""
    import contextlib
    import sys
    import threading

    from sealcast.agent.player import Player
    from sealcast.cli import acting, output

    acting.settings(context)
    with contextlib.suppress(KeyboardInterrupt), Player(socket, package, port) as player:
        output.print_line(f"{player.about.title}: {player.url}")
        sys.stdout.flush()
        threading.Event().wait()


def _port(address: str) -> int:
    """Return the port of an address on this machine; raises UsageError for any other."""
    from urllib.parse import urlsplit

    from sealcast.core.errors import UsageError

    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"not an address: {address}") from error
    if parts.scheme != "http" or parts.hostname not in {"127.0.0.1", "localhost"} or port is None:
        raise UsageError(f"content goes to this machine alone: --output http://127.0.0.1:PORT, not {address}")
    return port
