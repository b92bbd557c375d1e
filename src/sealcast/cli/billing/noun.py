"""Owns `sealcast billing`: the table of its nouns, each imported when it is used."""

import typer

from sealcast.cli.commands import Entry, LazyGroup
from sealcast.cli.helps import examples

PANEL = "Charging"


class BillingGroup(LazyGroup):
    """What `sealcast billing` has below it."""

    entries = (
        Entry("tariff", "sealcast.cli.billing.tariff", "Tariffs: add, list, show, assign.", PANEL),
        Entry(
            "customer",
            "sealcast.cli.billing.customer",
            "Say who gets bills, when, and for which devices.",
            PANEL,
        ),
        Entry("usage", "sealcast.cli.billing.usage", "Usage: list, export, audit.", PANEL),
        Entry(
            "invoice", "sealcast.cli.billing.invoice", "Invoices: close periods, list, show, credit.", PANEL
        ),
        Entry(
            "ledger",
            "sealcast.cli.billing.ledger",
            "Keep the ledger: list, balance, pay, post, reverse, close, export.",
            PANEL,
        ),
        Entry(
            "settle", "sealcast.cli.billing.settle", "Broadcasters: contracts, statements, payouts.", PANEL
        ),
    )


app = typer.Typer(
    cls=BillingGroup,
    help="Charging: tariffs, usage, invoices, ledger, settlement.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.callback(
    epilog=examples(
        "sealcast billing tariff add basic --currency EUR --price 'Data: 0.10 per GB' --channel news",
        "sealcast billing invoice close",
    )
)
def billing() -> None:
    """Charging: tariffs, usage, invoices, ledger, settlement."""
