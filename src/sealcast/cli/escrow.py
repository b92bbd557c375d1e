"""Owns `sealcast escrow`: what its administrators do at an escrow, and what a party looks at there."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli import escrowkeys, escrowsellers
from sealcast.cli.escrowoptions import At, CurrencyCode
from sealcast.cli.helps import examples
from sealcast.cli.options import AgentSocket, Credential, Json

if TYPE_CHECKING:
    from sealcast.messages.escrow import BalanceList
    from sealcast.messages.operation import Operation

app = typer.Typer(
    help="At an escrow: sellers, keys and prices, money paid in and out, notices.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)
app.add_typer(escrowsellers.app, name="seller")
app.add_typer(escrowkeys.app, name="key")

Party = Annotated[
    str, typer.Argument(metavar="PARTY", help="Id of the device or seller.", show_default=False)
]
Amount = Annotated[
    str, typer.Argument(metavar="AMOUNT", help="In whole currency units: 9.99", show_default=False)
]
Reference = Annotated[
    str,
    typer.Option(
        "--id", metavar="ID", help="The payment's own id: told twice, it is one.", show_default=False
    ),
]


@app.command(
    epilog=examples(
        "sealcast escrow join --at https://escrow.example:8446",
        "sealcast escrow join --credential acme.vault",
    )
)
def join(
    context: typer.Context,
    at: At = None,
    credential: Credential = None,
    agent: AgentSocket = None,
    *,
    json: Json = False,
) -> None:
    """Become known at an escrow by the operator's certificates: a seller, or this machine's device.

    `buy` and the seller's commands do so by themselves.
    """
    from sealcast.cli import output
    from sealcast.cli.escrowasking import asker
    from sealcast.cli.escrowoptions import servers_of
    from sealcast.core.errors import UsageError
    from sealcast.messages.escrow import Joined
    from sealcast.messages.operations_escrow import ESCROW_JOIN

    servers = servers_of(context, at)
    with asker(context, credential, agent) as who:
        if who.certificates is None:
            raise UsageError("an administrator is known at an escrow by its file in operators/")
        certificates = who.certificates
        answer = who.ask(
            servers, lambda client: client.expect(ESCROW_JOIN, Joined, certificates=certificates)
        )
    if json:
        output.print_json(answer)
    else:
        output.print_line(f"{answer.role} {answer.id} is known at {answer.escrow}")


@app.command(epilog=examples("sealcast escrow deposit TV-0001 25 EUR --id bank-2026-03-01-17"))
def deposit(
    context: typer.Context,
    party: Party,
    amount: Amount,
    currency: CurrencyCode,
    *,
    reference: Reference,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Note that a buyer has paid in; what it has pays for its orders."""
    from sealcast.messages.operations_escrow import DEPOSIT

    payment = {"buyer": party, **_payment(amount, currency, reference)}
    _note(context, DEPOSIT, payment, at, credential, json=json)


@app.command(epilog=examples("sealcast escrow payout ACME 90 EUR --id bank-2026-03-31-2"))
def payout(
    context: typer.Context,
    party: Party,
    amount: Amount,
    currency: CurrencyCode,
    *,
    reference: Reference,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Note that a seller, or a buyer, was paid out; not more than it has."""
    from sealcast.messages.operations_escrow import PAYOUT

    payment = {"party": party, **_payment(amount, currency, reference)}
    _note(context, PAYOUT, payment, at, credential, json=json)


@app.command(
    epilog=examples(
        "sealcast escrow balance",
        "sealcast escrow balance --party ACME",
        "sealcast escrow balance --credential acme.vault --json",
    )
)
def balance(
    context: typer.Context,
    *,
    party: Annotated[
        str | None, typer.Option(metavar="PARTY", help="An administrator: that of this party.")
    ] = None,
    at: At = None,
    credential: Credential = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Show what a party has at an escrow; to an administrator, with no party, the escrow's own accounts."""
    from sealcast.cli.escrowoptions import asker_of, servers_of
    from sealcast.messages.escrow import BalanceList
    from sealcast.messages.operations_escrow import BALANCE

    servers = servers_of(context, at)
    with asker_of(context, credential, agent) as who:
        answer = who.ask(servers, lambda client: client.expect(BALANCE, BalanceList, party=party))
    _show(answer, json=json)


@app.command(
    epilog=examples(
        "sealcast escrow notices", "sealcast escrow notices --credential acme.vault --after 120 --json"
    )
)
def notices(
    context: typer.Context,
    *,
    after: Annotated[int, typer.Option(metavar="N", help="Only those behind number N.", min=0)] = 0,
    at: At = None,
    credential: Credential = None,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """List what an escrow attested of a party's orders; to an administrator, of all.

    With --json each comes with the receipt that the escrow signed, and the escrow's certificate.
    """
    from sealcast.billing.periods import format_instant
    from sealcast.cli import output
    from sealcast.cli.escrowoptions import asker_of, read_notices, servers_of

    servers = servers_of(context, at)
    with asker_of(context, credential, agent) as who:
        rows, certificate = who.ask(servers, lambda client: read_notices(client, after))
    if json:
        output.print_json({"notices": rows, "certificate": certificate})
        return
    table = [(str(row.number), row.order, row.kind, format_instant(row.at_ms)) for row in rows]
    output.print_table(("NUMBER", "ORDER", "WHAT", "AT"), table, empty="no notice")


def _note(
    context: typer.Context,
    operation: "Operation",
    payment: dict[str, object],
    at: At,
    credential: Credential,
    *,
    json: bool,
) -> None:
    """Have an escrow note a payment, and show what its party has then."""
    from sealcast.cli.escrowoptions import ask_as_operator
    from sealcast.messages.escrow import BalanceList

    _show(ask_as_operator(context, at, credential, operation, BalanceList, **payment), json=json)


def _payment(amount: str, currency: str, reference: str) -> dict[str, object]:
    """Return what a deposit and a payout have alike; raises UsageError for an amount that is none."""
    from sealcast.cli.billing.ledger_asking import parse_positive

    return {"amount_micro": parse_positive(amount), "currency": currency, "reference": reference}


def _show(answer: "BalanceList", *, json: bool) -> None:
    """Print balances."""
    from sealcast.cli import output
    from sealcast.cli.billing.ledger_formats import amount_text

    if json:
        output.print_json(answer)
        return
    rows = [
        (row.account, amount_text(row.balance_micro, row.currency), row.currency) for row in answer.balances
    ]
    output.print_table(("ACCOUNT", "HAS", ""), rows, empty="no account has anything")
