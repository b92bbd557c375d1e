"""Owns `sealcast content`: the catalogue of what a data server sends."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.catalogue.store import Catalogue, Content

app = typer.Typer(
    help="What a data server sends: add, list, show, remove.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

CATALOGUE = "content.sqlite"
Id = Annotated[str, typer.Argument(metavar="ID", help="A short name for the item.", show_default=False)]


@app.command(
    epilog=examples("sealcast content add film-7 --title 'The Film' --file film.ts --channel cinema")
)
def add(
    context: typer.Context,
    id_: Id,
    *,
    title: Annotated[str, typer.Option(help="Its title.", show_default=False)],
    file: Annotated[Path, typer.Option(metavar="FILE", help="Its file on this machine.", show_default=False)],
    channel: Annotated[str | None, typer.Option(help="The channel it is sent on.")] = None,
    rate: Annotated[
        str | None, typer.Option(metavar="RATE", help="For raw data: its rate, for instance 5M.")
    ] = None,
    json: Json = False,
) -> None:
    """Add an item: title, file and the channel it is sent on."""
    from sealcast.catalogue.store import Content
    from sealcast.cli import output
    from sealcast.core.errors import UsageError
    from sealcast.core.ports import NS_PER_MS
    from sealcast.sender.sources import parse_rate_bits_per_s
    from sealcast.transport.system import SystemClock

    if rate is not None:
        parse_rate_bits_per_s(rate)
    try:
        place = file.resolve(strict=True)
        with place.open("rb"):
            size_bytes = place.stat().st_size
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    added_at_ms = SystemClock().wall_ns() // NS_PER_MS
    content = Content(id_, title, str(place), channel, rate, size_bytes, added_at_ms)
    with open_catalogue(context) as catalogue:
        catalogue.add(content)
    if json:
        output.print_json(content)
    else:
        where = f", sent with: sealcast send {channel} --content {id_}" if channel else ""
        output.print_line(f"{id_} is in the catalogue{where}")


@app.command(
    "list", epilog=examples("sealcast content list", "sealcast content list --channel cinema --json")
)
def list_(
    context: typer.Context,
    *,
    channel: Annotated[str | None, typer.Option(help="Only what is sent on this channel.")] = None,
    json: Json = False,
) -> None:
    """List the catalogue."""
    from sealcast.cli import output

    with open_catalogue(context) as catalogue:
        found = catalogue.all(channel)
    if json:
        output.print_json({"content": found})
        return
    rows = [
        (each.id, each.title, each.channel or "-", f"{each.size_bytes / 1e6:.1f} MB", each.file)
        for each in found
    ]
    output.print_table(("ID", "TITLE", "CHANNEL", "SIZE", "FILE"), rows, empty="nothing is in the catalogue")


@app.command(epilog=examples("sealcast content show film-7"))
def show(context: typer.Context, id_: Id, *, json: Json = False) -> None:
    """Show one item."""
    from sealcast.cli import output

    with open_catalogue(context) as catalogue:
        content = catalogue.find(id_)
    if json:
        output.print_json(content)
        return
    output.print_line(f"{content.id}: {content.title}")
    output.print_line(f"  file     {content.file}, {content.size_bytes} bytes")
    output.print_line(f"  channel  {content.channel or '-'}")
    output.print_line(f"  rate     {content.rate or 'by its own clock'}")


@app.command(epilog=examples("sealcast content remove film-7"))
def remove(context: typer.Context, id_: Id, *, json: Json = False) -> None:
    """Take an item out of the catalogue; its file stays where it is."""
    from sealcast.cli import output

    with open_catalogue(context) as catalogue:
        content = catalogue.find(id_)
        catalogue.remove(id_)
    if json:
        output.print_json(content)
    else:
        output.print_line(f"{id_} is no longer in the catalogue; {content.file} stays")


def open_catalogue(context: typer.Context) -> "Catalogue":
    """Open the catalogue in the folder of the sender's state; raises UsageError."""
    import os

    from sealcast.catalogue.store import Catalogue
    from sealcast.cli import acting
    from sealcast.config.places import private_dir, state_dir

    state = acting.settings(context).settings.sender.state
    folder = private_dir(Path(state) if state else state_dir(os.environ) / "sender")
    return Catalogue(folder / CATALOGUE)


def wanted(context: typer.Context, id_: str, channel: str | None) -> "Content":
    """Return what `send --content` asks for, on `channel`; raises UsageError for what does not fit."""
    from dataclasses import replace

    from sealcast.core.errors import UsageError

    with open_catalogue(context) as catalogue:
        content = catalogue.find(id_)
    if not Path(content.file).exists():
        raise UsageError(f"{content.file}, the file of content {id_}, is gone; add the content anew")
    if channel is None and content.channel is None:
        raise UsageError(f"content {id_} is for no channel; name one: sealcast send CHANNEL --content {id_}")
    if content.channel not in {None, channel} and channel is not None:
        raise UsageError(f"content {id_} is for the channel {content.channel}, not {channel}")
    return replace(content, channel=channel or content.channel)
