"""Owns `sealcast billing invoice`: invoices and credit notes."""

import typer

app = typer.Typer(
    help="Invoices: close periods, list, show, credit.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def invoice() -> None:
    """Invoices: close periods, list, show, credit."""
