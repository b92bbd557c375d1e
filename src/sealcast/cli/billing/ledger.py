"""Owns `sealcast billing ledger`: entries and balances, payments, corrections, the closing of the books."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.messages.bookkeeping import EntryRow, LedgerPosted

app = typer.Typer(
    help="Keep the ledger: list, balance, pay, post, reverse, close, export.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

LISTED_DEFAULT = 100
REVERSAL_PREFIX = "reversal-of-"

Id = Annotated[
    str,
    typer.Option("--id", metavar="ID", help="Your own id of it: told twice it is one.", show_default=False),
]
Memo = Annotated[str, typer.Option(metavar="TEXT", help="What it is for.", show_default=False)]
On = Annotated[
    str | None,
    typer.Option(metavar="INSTANT", help="When it happened, as 2026-03-01T09:30+01:00; else now."),
]
CurrencyCode = Annotated[str, typer.Argument(metavar="CURRENCY", help="As EUR or JPY.", show_default=False)]


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JOURNAL = "journal"


@app.command(
    "list", epilog=examples("sealcast billing ledger list", "sealcast billing ledger list operator:cash")
)
def list_(
    context: typer.Context,
    account: Annotated[str | None, typer.Argument(help="Only entries on this account.")] = None,
    *,
    after: Annotated[int, typer.Option(metavar="N", min=0, help="Begin behind this number.")] = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many entries.")] = LISTED_DEFAULT,
    json: Json = False,
) -> None:
    """List entries in the order of recording."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing.ledger_asking import read_entries

    found: list[EntryRow] = []
    operator = acting.operator(context)
    has_more = read_entries(operator, found.extend, account=account, after=after, limit=limit)
    if json:
        output.print_json({"entries": found, "more": has_more})
        return
    rows = [row for entry in found for row in _rows(entry)]
    headers = ("NUMBER", "ID", "EFFECTIVE", "ACCOUNT", "AMOUNT", "", "MEMO")
    output.print_table(headers, rows, empty="no entry yet")
    if has_more:
        output.print_line(f"there are more: --after {found[-1].number}", to_stderr=True)


@app.command(
    epilog=examples(
        "sealcast billing ledger balance",
        "sealcast billing ledger balance subscriber: --at 2026-04-01T00:00+02:00",
    )
)
def balance(
    context: typer.Context,
    prefix: Annotated[
        str, typer.Argument(help="Only accounts whose names begin so.", show_default=False)
    ] = "",
    *,
    at: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="As of what happened before this instant.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what accounts have: above 0 what somebody owes or has, below 0 what is owed to him."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing.ledger_asking import read_balances
    from sealcast.cli.billing.ledger_formats import amount_text
    from sealcast.cli.instants import parse_instant

    until_ms = None if at is None else parse_instant(at)
    found, closed_ms = read_balances(acting.operator(context), prefix, until_ms)
    if json:
        output.print_json({"balances": found, "closed_until_ms": closed_ms})
        return
    rows = [(row.account, amount_text(row.balance_micro, row.currency), row.currency) for row in found]
    output.print_table(("ACCOUNT", "BALANCE", ""), rows, empty="no account has anything")
    if closed_ms is not None:
        output.print_line(f"the books are closed until {format_instant(closed_ms)}", to_stderr=True)


@app.command(epilog=examples("sealcast billing ledger pay TV-0001 11.90 EUR --id bank-2026-03-01-17"))
def pay(
    context: typer.Context,
    customer: Annotated[str, typer.Argument(metavar="CUSTOMER", show_default=False)],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", show_default=False)],
    currency: CurrencyCode,
    *,
    id_: Id,
    on: On = None,
    memo: Memo = "",
    json: Json = False,
) -> None:
    """Note that a customer has paid: more on operator:cash, less on the customer's account."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing.ledger_asking import parse_positive, post, read_balances
    from sealcast.cli.billing.ledger_formats import amount_text
    from sealcast.cli.instants import parse_instant
    from sealcast.ledger.entries import CASH, account

    paid, debtor = parse_positive(amount), account("subscriber", customer)
    operator = acting.operator(context)
    effective_ms = None if on is None else parse_instant(on)
    postings = [(CASH, paid), (debtor, -paid)]
    answer = post(operator, id_, currency, postings, memo=memo, effective_ms=effective_ms)
    found, _ = read_balances(operator, debtor, None)
    left = sum(row.balance_micro for row in found if (row.account, row.currency) == (debtor, currency))
    if json:
        output.print_json({"entry": answer.entry, "is_new": answer.is_new, "balance_micro": left})
        return
    owes = "owes" if left > 0 else "has a credit of"
    rest = f"{owes} {amount_text(abs(left), currency)} {currency}" if left else "owes nothing"
    said = "has paid" if answer.is_new else "had paid, as recorded before,"
    output.print_line(f"{customer} {said} {amount_text(paid, currency)} {currency} and {rest} now")


@app.command(
    epilog=examples(
        "sealcast billing ledger post EUR --id rent-03 --amount 500 --from operator:cash --to operator:rent",
        "sealcast billing ledger post EUR --id split-1 --posting operator:cash=10"
        " --posting subscriber:TV-0001=-6 --posting subscriber:TV-0002=-4",
    )
)
def post(
    context: typer.Context,
    currency: CurrencyCode,
    *,
    id_: Id,
    amount: Annotated[
        str | None, typer.Option(metavar="AMOUNT", help="What goes from one account to another.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="ACCOUNT", help="The account that has less after it.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="ACCOUNT", help="The account that has more after it.")
    ] = None,
    posting: Annotated[
        list[str] | None,
        typer.Option(metavar="ACCOUNT=AMOUNT", help="One of several amounts that add up to nothing."),
    ] = None,
    on: On = None,
    memo: Memo = "",
    json: Json = False,
) -> None:
    """Record an entry of your own, between two accounts or as several postings."""
    from sealcast.cli import acting
    from sealcast.cli.billing import ledger_asking as asking
    from sealcast.cli.instants import parse_instant
    from sealcast.core.errors import UsageError

    if posting and amount is None and from_ is None and to is None:
        postings = [asking.parse_posting(each) for each in posting]
    elif not posting and amount is not None and from_ is not None and to is not None:
        moved = asking.parse_positive(amount)
        postings = [(to, moved), (from_, -moved)]
    else:
        raise UsageError("give --amount, --from and --to, or several times --posting ACCOUNT=AMOUNT")
    effective_ms = None if on is None else parse_instant(on)
    operator = acting.operator(context)
    _print_posted(
        asking.post(operator, id_, currency, postings, memo=memo, effective_ms=effective_ms), json=json
    )


@app.command(epilog=examples("sealcast billing ledger reverse bank-2026-03-01-17 --memo 'bounced'"))
def reverse(
    context: typer.Context,
    entry: Annotated[str, typer.Argument(metavar="ENTRY", help="Id of the entry.", show_default=False)],
    *,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="Id of the correction; else reversal-of-ENTRY.")
    ] = None,
    memo: Memo = "",
    json: Json = False,
) -> None:
    """Take an entry back by another one; both stay. An invoice is corrected by a credit note instead."""
    from sealcast.cli import acting
    from sealcast.messages import operations_billing
    from sealcast.messages.bookkeeping import LedgerPosted

    fields = {"id": id_ or REVERSAL_PREFIX + entry, "corrects": entry, "memo": memo}
    operator = acting.operator(context)
    answer = acting.ask(operator, operations_billing.LEDGER_REVERSE, LedgerPosted, **fields)
    _print_posted(answer, json=json)


@app.command(epilog=examples("sealcast billing ledger close 2026-04-01T00:00+02:00"))
def close(
    context: typer.Context,
    until: Annotated[
        str, typer.Argument(metavar="INSTANT", help="An instant that is past.", show_default=False)
    ],
    *,
    json: Json = False,
) -> None:
    """Close the books: no entry of an instant before this one is taken any more.

    They are never opened again; what was wrong is corrected by an entry of a later instant.
    """
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.instants import parse_instant
    from sealcast.messages import operations_billing
    from sealcast.messages.answers import Done

    until_ms = parse_instant(until)
    acting.ask(acting.operator(context), operations_billing.LEDGER_CLOSE, Done, until_ms=until_ms)
    if json:
        output.print_json({"closed_until_ms": until_ms})
    else:
        output.print_line(f"the books are closed until {format_instant(until_ms)}")


@app.command(
    epilog=examples(
        "sealcast billing ledger export --format csv > ledger.csv",
        "sealcast billing ledger export --zone Europe/Berlin > sealcast.journal",
    )
)
def export(
    context: typer.Context,
    *,
    format_: Annotated[
        Format, typer.Option("--format", help="csv, or a journal as hledger and ledger-cli read it.")
    ] = Format.JOURNAL,
    zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone of the journal's dates.")] = "UTC",
    after: Annotated[int, typer.Option(metavar="N", min=0, help="Begin behind this number.")] = 0,
) -> None:
    """Write all entries to standard output, for accountants' programs."""
    from sealcast.cli import acting
    from sealcast.cli.billing.ledger_export import export as export_

    export_(acting.operator(context), format_.value, zone, after)


def _rows(entry: "EntryRow") -> list[tuple[str, ...]]:
    """Return the lines of an entry in a table: its own words once, then posting by posting."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli.billing.ledger_formats import amount_text

    own = (str(entry.number), entry.id, format_instant(entry.effective_ms))
    return [
        (
            *(("", "", "") if place else own),
            posting.account,
            amount_text(posting.amount_micro, entry.currency),
            entry.currency,
            "" if place else entry.memo,
        )
        for place, posting in enumerate(entry.postings)
    ]


def _print_posted(answer: "LedgerPosted", *, json: bool) -> None:
    from sealcast.cli import output

    if json:
        output.print_json(answer)
    elif answer.is_new:
        output.print_line(f"entry {answer.entry.id} has number {answer.entry.number}")
    else:
        output.print_line(f"entry {answer.entry.id} was recorded before, with number {answer.entry.number}")
