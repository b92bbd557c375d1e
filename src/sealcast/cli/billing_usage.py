"""Owns `sealcast billing usage`: what was used, for people, other programs and auditors."""

import typer

app = typer.Typer(
    help="Usage: list, export, audit.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def usage() -> None:
    """Usage: list, export, audit."""
