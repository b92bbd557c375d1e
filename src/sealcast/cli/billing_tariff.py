"""Owns `sealcast billing tariff`: what something costs, and to whom a tariff applies."""

import typer

app = typer.Typer(
    help="Tariffs: add, list, show, assign.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def tariff() -> None:
    """Tariffs: add, list, show, assign."""
