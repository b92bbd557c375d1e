"""Owns `sealcast escrow seller`: who may sell at an escrow, and how much of each price stays there."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.escrowoptions import At
from sealcast.cli.helps import examples
from sealcast.cli.options import Credential, Json

if TYPE_CHECKING:
    from sealcast.messages.escrow import SellerList

app = typer.Typer(
    help="Who may sell: admit, list.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(
    epilog=examples("sealcast escrow seller admit ACME", "sealcast escrow seller admit ACME --fee 100")
)
def admit(
    context: typer.Context,
    seller: Annotated[str, typer.Argument(metavar="SELLER", help="Its id.", show_default=False)],
    *,
    fee: Annotated[
        int,
        typer.Option(
            metavar="PERMILLE", help="Of each price so many thousandths stay here.", min=0, max=1_000
        ),
    ] = 0,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Let a party have keys made here and sell; again, with another fee for orders to come."""
    from sealcast.cli.escrowoptions import ask_as_operator
    from sealcast.messages.escrow import SellerList
    from sealcast.messages.operations_escrow import SELLER_ADMIT

    fields = {"seller": seller, "fee_per_mille": fee}
    _show(ask_as_operator(context, at, credential, SELLER_ADMIT, SellerList, **fields), json=json)


@app.command("list", epilog=examples("sealcast escrow seller list", "sealcast escrow seller list --json"))
def list_(
    context: typer.Context, *, at: At = None, credential: Credential = None, json: Json = False
) -> None:
    """List who may sell here."""
    from sealcast.cli.escrowoptions import ask_as_operator
    from sealcast.messages.escrow import SellerList
    from sealcast.messages.operations_escrow import SELLER_LIST

    _show(ask_as_operator(context, at, credential, SELLER_LIST, SellerList), json=json)


def _show(answer: "SellerList", *, json: bool) -> None:
    from sealcast.billing.periods import format_instant
    from sealcast.cli import output

    if json:
        output.print_json(answer)
        return
    rows = [
        (row.seller, f"{row.fee_per_mille / 10:g} %", str(row.keys), format_instant(row.admitted_at_ms))
        for row in answer.sellers
    ]
    output.print_table(("SELLER", "FEE", "KEYS", "SINCE"), rows, empty="nobody may sell yet")
