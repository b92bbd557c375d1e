"""Owns the command `sealcast`: its global options, and the way from arguments to an exit status."""

import sys
from typing import Annotated, NoReturn

import typer

from sealcast import __version__
from sealcast.cli.commands import LazyGroup
from sealcast.cli.failures import guarded
from sealcast.cli.given import Given
from sealcast.cli.helps import examples
from sealcast.cli.settling import settle

app = typer.Typer(
    cls=LazyGroup,
    invoke_without_command=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=examples(
        "sealcast demo",
        "sealcast init --operator 'Coast TV'",
        "sealcast serve keyserver",
        "sealcast channel add news --group 239.255.1.1:5004",
        "sealcast receive news --output - | ffplay -",
    ),
)


def main() -> NoReturn:
    """Run the command line and end the process with its exit status."""
    status = run(sys.argv[1:])
    settle()
    sys.exit(status)


def run(arguments: list[str]) -> int:
    """Run `sealcast ARGUMENTS` and return the exit status."""
    command = typer.main.get_command(app)
    return guarded(lambda: command.main(arguments, prog_name="sealcast", standalone_mode=False))


@app.callback()
def sealcast(
    context: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Configuration file, in place of $SEALCAST_CONFIG or the usual one."
        ),
    ] = None,
    passphrase_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Where a vault's passphrase stands, in place of $SEALCAST_PASSPHRASE_FILE or a question.",
        ),
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more.", show_default=False)
    ] = 0,
    quiet: Annotated[
        int,
        typer.Option("--quiet", "-q", count=True, help="Log less; twice: errors only.", show_default=False),
    ] = 0,
    *,
    pin_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Where a token's PIN stands, in place of $SEALCAST_PIN_FILE or a question."
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Encrypted delivery of live streams and files over IP multicast, with keys that change on the fly."""
    if version:
        typer.echo(f"sealcast {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit
    context.obj = Given(
        config=config, louder=verbose - quiet, passphrase_file=passphrase_file, pin_file=pin_file
    )
