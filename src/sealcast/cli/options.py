"""Owns the options and arguments that several commands have in common."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
ChannelName = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="Name or number of the channel.", show_default=False)
]
