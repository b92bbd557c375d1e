"""Owns the options and arguments that several commands have in common."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
ChannelName = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="Name or number of the channel.", show_default=False)
]
Interface = Annotated[
    str | None,
    typer.Option(
        metavar="IF", help="Network interface, by name or address; else the one that routes lead to."
    ),
]
Credential = Annotated[
    str | None, typer.Option(metavar="FILE.vault", help="Vault to use, in place of the configuration's.")
]
