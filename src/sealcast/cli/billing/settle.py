"""Owns `sealcast billing settle`: contracts with broadcasters, their monthly statements, payouts."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.billing import contract as billing_contract
from sealcast.cli.billing.options import DocumentFile, DocumentForm
from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.messages.bookkeeping import Payout, StatementRow

app = typer.Typer(
    help="Broadcasters: contracts, statements, payouts.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)
app.add_typer(billing_contract.app, name="contract")

LISTED_DEFAULT = 1_000
NUMBER_DIGITS = 6
PAYOUT_ID_BYTES = 16


@app.callback()
def settle() -> None:
    """Broadcasters: contracts, statements, payouts."""


@app.command(epilog=examples("sealcast billing settle issue", "sealcast billing settle issue --json"))
def issue(context: typer.Context, *, json: Json = False) -> None:
    """Issue the statements of all calendar months that are over, in the key server's time zone for bills.

    Typed again it issues nothing twice.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.billing.settling_asking import settle_all, totals

    issued = settle_all(acting.operator(context))
    if json:
        output.print_json({"issued": issued, "totals": totals(issued)})
    else:
        output.print_line(_summary(issued))


@app.command(
    "list",
    epilog=examples(
        "sealcast billing settle list", "sealcast billing settle list --broadcaster studio7 --json"
    ),
)
def list_(
    context: typer.Context,
    *,
    broadcaster: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of this broadcaster.", show_default=False)
    ] = None,
    after: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Begin behind this number.")] = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = LISTED_DEFAULT,
    json: Json = False,
) -> None:
    """List statements by number: below 0 what is set off against other months."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing.ledger_formats import amount_text
    from sealcast.cli.billing.settling_asking import read_statements

    found, has_more = read_statements(acting.operator(context), broadcaster, after, limit)
    if json:
        output.print_json({"statements": found, "more": has_more})
        return
    rows = [
        (
            f"{row.number:0{NUMBER_DIGITS}}",
            row.broadcaster,
            format_instant(row.start_ms),
            format_instant(row.end_ms),
            f"{amount_text(row.amount_micro, row.currency)} {row.currency}",
        )
        for row in found
    ]
    headers = ("NUMBER", "BROADCASTER", "FROM", "UNTIL", "AMOUNT")
    output.print_table(headers, rows, empty="no statement is issued yet")
    if has_more:
        output.print_line(f"there are more: --after {found[-1].number}", to_stderr=True)


@app.command(
    epilog=examples(
        "sealcast billing settle show 12",
        "sealcast billing settle show 12 --output statement.pdf",
        "sealcast billing settle show 12 --form csv",
    )
)
def show(
    context: typer.Context,
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", min=1, help="Number of the statement.", show_default=False)
    ],
    *,
    output: DocumentFile = None,
    form: DocumentForm = None,
    json: Json = False,
) -> None:
    """Show a statement, or issue it again: the same bytes each time.

    What comes from the key server is checked against its SHA-256 on record.
    """
    from sealcast.cli import acting
    from sealcast.cli.billing import documents
    from sealcast.cli.billing.settling_asking import statement

    wanted = documents.form_of(output, form)
    data = statement(acting.operator(context), number)
    documents.show(data, number, output, wanted, is_json=json)


@app.command(
    epilog=examples(
        "sealcast billing settle pay studio7 --currency EUR",
        "sealcast billing settle pay studio7 --currency EUR --id bank-2026-04-03-2",
    )
)
def pay(
    context: typer.Context,
    broadcaster: Annotated[str, typer.Argument(metavar="BROADCASTER", show_default=False)],
    *,
    currency: Annotated[str, typer.Option(metavar="CODE", help="As EUR or JPY.")],
    id_: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help=escape("Your own id: told twice it is one payout. [default: a new one]"),
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Note that a broadcaster was paid all that it is owed, in whole coins; the rest stays on its account.

    Typed again it notes nothing: nothing is owed any more.
    """
    from sealcast.cli import acting, output
    from sealcast.messages import operations_billing as operations
    from sealcast.messages.bookkeeping import Payout
    from sealcast.transport.system import SystemRandom

    id_ = id_ or f"payout-{SystemRandom().bytes(PAYOUT_ID_BYTES).hex()}"
    fields = {"id": id_, "broadcaster": broadcaster, "currency": currency}
    answer = acting.ask(acting.operator(context), operations.PAYOUT, Payout, **fields)
    if json:
        output.print_json(answer)
    else:
        output.print_line(_paid(answer, broadcaster, currency))


def _summary(issued: list["StatementRow"]) -> str:
    """Return what was issued, in one line."""
    from sealcast.cli.billing.settling_asking import totals

    if not issued:
        return "no statement is due"
    sums = " and ".join(f"{amount} {code}" for code, amount in totals(issued).items())
    first, last = f"{issued[0].number:0{NUMBER_DIGITS}}", f"{issued[-1].number:0{NUMBER_DIGITS}}"
    if len(issued) == 1:
        return f"statement {first} is issued, over {sums}"
    return f"{len(issued)} statements are issued, {first} to {last}, over {sums}"


def _paid(answer: "Payout", broadcaster: str, code: str) -> str:
    """Return what a payout came to, in one line."""
    from sealcast.cli.billing.ledger_formats import amount_text
    from sealcast.ledger.money import currency

    left = f"{amount_text(abs(answer.left_micro), code)} {code}"
    if answer.left_micro >= 0:
        rest = f"{left} stays on its account" if answer.left_micro else "nothing is left"
    else:
        rest = f"it owes {left}, which is set off against other months"
    if answer.entry is None:
        return f"nothing is to be paid to {broadcaster}: {rest}"
    was = "was paid" if answer.is_new else "was paid before"
    return f"{broadcaster} {was} {currency(code).format_minor(answer.paid_minor)} {code}; {rest}"
