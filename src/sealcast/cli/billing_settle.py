"""Owns `sealcast billing settle`: what broadcasters are owed."""

import typer

app = typer.Typer(
    help="Broadcasters: contracts, statements, payouts.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def settle() -> None:
    """Broadcasters: contracts, statements, payouts."""
