"""Owns `sealcast billing ledger`: entries and balances."""

import typer

app = typer.Typer(
    help="Keep the ledger: list, balance, pay, post, reverse, close.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback()
def ledger() -> None:
    """Keep the ledger: list, balance, pay, post, reverse, close."""
