"""Owns `sealcast billing invoice`: close periods, list, show, credit and export what was issued."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.billing.options import DocumentFile, DocumentForm, FormChoice
from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.cli.billing.invoicing import Closed, Span

app = typer.Typer(
    help="Invoices: close periods, list, show, credit, export.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

WAITING_TOLD_MAX = 10
"""Who waits, one line each: more are counted. `--json` tells all."""

LISTED_DEFAULT = 1_000
NUMBER_DIGITS = 6


Number = Annotated[
    int,
    typer.Argument(metavar="NUMBER", min=1, help="Number of the invoice or credit note.", show_default=False),
]
Customer = Annotated[
    str | None, typer.Option(metavar="ID", help="Only those of this customer.", show_default=False)
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="INSTANT",
        help="Issued at or after, as 2026-03-01 or 2026-03-01T00:00+01:00.",
        show_default=False,
    ),
]
Until = Annotated[str | None, typer.Option(metavar="INSTANT", help="Issued before.", show_default=False)]
After = Annotated[int, typer.Option(metavar="NUMBER", min=0, help="Begin behind this number.")]


@app.callback()
def invoice() -> None:
    """Invoices: close periods, list, show, credit, export."""


@app.command(
    epilog=examples("sealcast billing invoice close", "sealcast billing invoice close --customer TV-0001")
)
def close(
    context: typer.Context,
    *,
    customer: Annotated[
        str | None, typer.Option(metavar="ID", help="Only this customer.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Issue the invoices of all billing periods that are over.

    Typed again it issues nothing twice. Who waits has something on air that began before the period's end,
    or that was over a moment ago; the next closing bills it.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.billing.invoicing import close_all, totals

    closed = close_all(acting.operator(context), customer)
    if json:
        told = {"issued": closed.issued, "waiting": closed.waiting, "totals": totals(closed.issued)}
        output.print_json(told)
        return
    output.print_line(_summary(closed))
    for row in closed.waiting[:WAITING_TOLD_MAX]:
        output.print_line(f"{row.customer} waits: {row.why}")
    if (more := len(closed.waiting) - WAITING_TOLD_MAX) > 0:
        output.print_line(f"and {more} more {'waits' if more == 1 else 'wait'}")


def _summary(closed: "Closed") -> str:
    """Return what was issued, in one line."""
    from sealcast.cli.billing.invoicing import totals

    rows = closed.issued
    if not rows:
        looked = f"{closed.customers} customer{'' if closed.customers == 1 else 's'}"
        return f"no invoice is due: {looked} looked at"
    sums = " and ".join(f"{amount} {code}" for code, amount in totals(rows).items())
    first, last = f"{rows[0].number:0{NUMBER_DIGITS}}", f"{rows[-1].number:0{NUMBER_DIGITS}}"
    if len(rows) == 1:
        return f"invoice {first} is issued, over {sums}"
    return f"{len(rows)} invoices are issued, {first} to {last}, over {sums}"


@app.command(
    "list",
    epilog=examples(
        "sealcast billing invoice list",
        "sealcast billing invoice list --customer TV-0001 --since 2026-01-01 --json",
    ),
)
def list_(
    context: typer.Context,
    *,
    customer: Customer = None,
    since: Since = None,
    until: Until = None,
    after: After = 0,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = LISTED_DEFAULT,
    json: Json = False,
) -> None:
    """List invoices and credit notes by number."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing.invoicing import amount, pages

    span = _span(customer, since, until, after)
    found, has_more = pages(acting.operator(context), span, limit)
    if json:
        output.print_json({"invoices": found, "more": has_more})
        return
    rows = [
        (
            f"{row.number:0{NUMBER_DIGITS}}",
            row.kind,
            row.customer,
            format_instant(row.issued_at_ms),
            f"{amount(row)} {row.currency}",
            "-" if row.corrects is None else f"{row.corrects:0{NUMBER_DIGITS}}",
        )
        for row in found
    ]
    headers = ("NUMBER", "KIND", "CUSTOMER", "ISSUED", "TOTAL", "CORRECTS")
    output.print_table(headers, rows, empty="no invoice is issued yet")
    if has_more:
        output.print_line(f"there are more: --after {found[-1].number}", to_stderr=True)


@app.command(
    epilog=examples(
        "sealcast billing invoice show 123",
        "sealcast billing invoice show 123 --output invoice.pdf",
        "sealcast billing invoice show 123 --form csv",
    )
)
def show(
    context: typer.Context,
    number: Number,
    *,
    output: DocumentFile = None,
    form: DocumentForm = None,
    json: Json = False,
) -> None:
    """Show an invoice or credit note, or issue it again: the same bytes each time.

    What comes from the key server is checked against its SHA-256 on record.
    """
    from sealcast.cli import acting
    from sealcast.cli.billing import documents, invoicing

    wanted = documents.form_of(output, form)
    data = invoicing.document(acting.operator(context), number)
    documents.show(data, number, output, wanted, is_json=json)


@app.command(
    epilog=examples(
        "sealcast billing invoice credit 123 --reason 'never received'",
        "sealcast billing invoice credit 123 --line 2 --amount 4.00 --reason 'two days without picture'",
        "sealcast billing invoice credit 123 --reason 'wrong tariff' --rebill",
    )
)
def credit(
    context: typer.Context,
    number: Number,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; it stands on the credit note.")],
    line: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Only this line and the tax on it (again for more)."),
    ] = None,
    amount: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Only so much of one line, before tax.", show_default=False),
    ] = None,
    rebill: Annotated[
        bool,
        typer.Option("--rebill", help="Count it as not billed: the next closing asks for what is right."),
    ] = False,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help=escape("Your own id: the same one is credited once. [default: made of what you typed]"),
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Credit an invoice: all that is left of it, some lines, or a part of one line.

    It gets a credit note with a number of its own; the invoice stays as it is. Typed again, the same command
    credits nothing more; for another credit just like it give an --id.
    """
    from sealcast.cli import acting
    from sealcast.cli import output as screen
    from sealcast.cli.billing import invoicing
    from sealcast.core.errors import UsageError

    lines = line or []
    if amount is not None and len(lines) != 1:
        raise UsageError("--amount is of one line: name it with --line")
    wish = invoicing.Wish(number, reason, lines, amount, rebill)
    answer = invoicing.credit(acting.operator(context), wish, id_)
    if json:
        screen.print_json(answer)
        return
    note = answer.note
    name, total = f"credit note {note.number:0{NUMBER_DIGITS}}", f"{invoicing.amount(note)} {note.currency}"
    of = f"invoice {number:0{NUMBER_DIGITS}}"
    if answer.is_new:
        screen.print_line(f"{name} on {of} is issued, over {total}")
    else:
        screen.print_line(f"that was credited before: {name} on {of}, over {total}")


@app.command(
    epilog=examples(
        "sealcast billing invoice export --output march --since 2026-03-01 --until 2026-04-01 --form pdf",
        "sealcast billing invoice export --output books --after 120 --form json --form csv",
    )
)
def export(
    context: typer.Context,
    *,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write to; made if need be.")],
    form: Annotated[
        list[FormChoice] | None,
        typer.Option(help=escape("In which form (again for more). [default: json, html]")),
    ] = None,
    customer: Customer = None,
    since: Since = None,
    until: Until = None,
    after: After = 0,
    json: Json = False,
) -> None:
    """Write the documents of all invoices and credit notes of a span into a folder.

    Each is checked as show does; files that are there already get the same content.
    """
    from sealcast.billing.documents import Form
    from sealcast.cli import acting
    from sealcast.cli import output as screen
    from sealcast.cli.billing import documents, invoicing

    forms = list(dict.fromkeys(Form(each.value) for each in form or (FormChoice.JSON, FormChoice.HTML)))
    for each in forms:
        documents.check_form(each)
    span = _span(customer, since, until, after)
    count, files = invoicing.export(acting.operator(context), span, output, forms)
    if json:
        screen.print_json({"documents": count, "files": files, "folder": str(output)})
        return
    names = ", ".join(each.value for each in forms)
    screen.print_line(f"{count} {'document is' if count == 1 else 'documents are'} in {output}, as {names}")


def _span(customer: str | None, since: str | None, until: str | None, after: int) -> "Span":
    """Return which invoices are meant; raises UsageError for what is no instant."""
    from sealcast.cli.billing.invoicing import Span
    from sealcast.cli.instants import parse_instant

    since_ms = None if since is None else parse_instant(since)
    until_ms = None if until is None else parse_instant(until)
    return Span(after, customer, since_ms, until_ms)
