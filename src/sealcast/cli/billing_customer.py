"""Owns `sealcast billing customer`: who gets bills."""

import typer

app = typer.Typer(
    help="Say who gets bills, when, and for which devices.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def customer() -> None:
    """Say who gets bills, when, and for which devices."""
