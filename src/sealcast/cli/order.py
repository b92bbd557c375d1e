"""Owns `sealcast order`: what was bought and sold, and what becomes of the money."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.escrowoptions import At
from sealcast.cli.helps import examples
from sealcast.cli.options import AgentSocket, Json

app = typer.Typer(
    help="Orders: list, show, confirm, refund, dispute, resolve.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The order, by its id.", show_default=False)]
PartyVault = Annotated[
    str | None,
    typer.Option(
        "--credential", metavar="FILE.vault", help="A seller's or operator's vault, in place of the agent."
    ),
]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the other parties to read.")]


@app.command(
    "list",
    epilog=examples(
        "sealcast order list",
        "sealcast order list --at https://escrow.example:8446 --credential shop.vault --state issued",
    ),
)
def list_(
    context: typer.Context,
    *,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only those: placed, paid, issued, released …")
    ] = None,
    at: At = None,
    credential: PartyVault = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """List orders: a device's at all escrows where it bought, a seller's or all at one escrow."""
    from sealcast.cli.orders import Orders

    with Orders.of(context, at, credential, agent) as orders:
        orders.list(state, as_json=json)


@app.command(epilog=examples("sealcast order show m1C3…", "sealcast order show m1C3… --json"))
def show(
    context: typer.Context,
    order: OrderId,
    *,
    at: At = None,
    credential: PartyVault = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Show an order and the receipts that its escrow signed."""
    from sealcast.cli.orders import Orders

    with Orders.of(context, at, credential, agent) as orders:
        orders.show(order, as_json=json)


@app.command(epilog=examples("sealcast order confirm m1C3…"))
def confirm(
    context: typer.Context,
    order: OrderId,
    *,
    at: At = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Say that the content is what was paid for: the money goes to the seller."""
    from sealcast.cli.orders import Orders
    from sealcast.messages.operations_escrow import ORDER_CONFIRM

    with Orders.of(context, at, None, agent, by="device") as orders:
        orders.change(ORDER_CONFIRM, order, as_json=json)


@app.command(
    epilog=examples(
        "sealcast order refund m1C3…",
        "sealcast order refund m1C3… --credential shop.vault --at https://escrow.example:8446",
    )
)
def refund(
    context: typer.Context,
    order: OrderId,
    *,
    reason: Reason = "",
    at: At = None,
    credential: PartyVault = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Have the money go back to the buyer.

    A buyer may until a share was opened, and after it where its device attests that the seller's share is
    wrong; a seller may until the money is its own.
    """
    from sealcast.cli.orders import Orders
    from sealcast.messages.operations_escrow import ORDER_REFUND

    with Orders.of(context, at, credential, agent) as orders:
        orders.change(ORDER_REFUND, order, as_json=json, reason=reason, with_fault=True)


@app.command(epilog=examples("sealcast order dispute m1C3… --reason 'it is another film'"))
def dispute(
    context: typer.Context,
    order: OrderId,
    *,
    reason: Reason = "",
    at: At = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Object to what was opened: the money waits until seller or operator decide, or time does."""
    from sealcast.cli.orders import Orders
    from sealcast.messages.operations_escrow import ORDER_DISPUTE

    with Orders.of(context, at, None, agent, by="device") as orders:
        orders.change(ORDER_DISPUTE, order, as_json=json, reason=reason, with_fault=True)


@app.command(
    epilog=examples(
        "sealcast order resolve m1C3… --refund --at https://escrow.example:8446 --reason 'as agreed'",
    )
)
def resolve(
    context: typer.Context,
    order: OrderId,
    *,
    at: At = None,
    release: Annotated[bool, typer.Option("--release", help="The money goes to the seller.")] = False,
    refund: Annotated[bool, typer.Option("--refund", help="The money goes back to the buyer.")] = False,
    reason: Reason = "",
    credential: PartyVault = None,
    json: Json = False,
) -> None:
    """End a dispute, as the escrow's administrator."""
    from sealcast.cli.orders import Orders
    from sealcast.core.errors import UsageError
    from sealcast.messages.operations_escrow import ORDER_RESOLVE

    if release is refund:
        raise UsageError("give either --release or --refund")
    outcome = "release" if release else "refund"
    with Orders.of(context, at, credential, None, by="operator") as orders:
        orders.change(ORDER_RESOLVE, order, as_json=json, reason=reason, outcome=outcome)
