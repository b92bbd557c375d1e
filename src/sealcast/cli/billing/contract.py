"""Owns `sealcast billing settle contract`: what broadcasters get of channels."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import Json

if TYPE_CHECKING:
    from sealcast.messages.bookkeeping import ContractRow, ContractTerms

app = typer.Typer(
    help="Contracts: add, end, list.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


@app.command(
    epilog=examples(
        "sealcast billing settle contract add studio7 news --currency EUR --share 1/3",
        "sealcast billing settle contract add studio7 news --currency EUR --share 12.5 --price '0.01 per GB'",
        "sealcast billing settle contract add studio7 film --currency JPY --minimum 50000 --from 2026-04-01",
    )
)
def add(
    context: typer.Context,
    broadcaster: Annotated[
        str, typer.Argument(metavar="BROADCASTER", help="Your own id of it.", show_default=False)
    ],
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Name or number.", show_default=False)],
    *,
    currency: Annotated[str, typer.Option(metavar="CODE", help="Of what is billed, as EUR or JPY.")],
    share: Annotated[
        str,
        typer.Option(
            metavar="PERCENT",
            help="Of what is billed, net of tax: per cent, or a fraction as 1/3.",
            show_default=False,
        ),
    ] = "",
    price: Annotated[
        str,
        typer.Option(metavar="PRICE", help="For units billed, as '0.01 per GB'.", show_default=False),
    ] = "",
    minimum: Annotated[
        str,
        typer.Option(metavar="AMOUNT", help="For each month at least so much.", show_default=False),
    ] = "",
    from_: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Since when; else from now on.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Until when; else until it is ended.")
    ] = None,
    json: Json = False,
) -> None:
    """Have a broadcaster get a part of what is billed on a channel.

    One that it has on the channel in that currency ends as this one begins. All shares of a channel are 100 %
    at most. Months that were settled stay as they are.
    """
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.billing.settling_asking import parse_terms
    from sealcast.cli.instants import parse_instant
    from sealcast.messages import operations_billing as operations
    from sealcast.messages.bookkeeping import ContractList

    fields = {
        "terms": parse_terms(broadcaster, channel, currency, share=share, price=price, minimum=minimum),
        "from_ms": None if from_ is None else parse_instant(from_),
        "until_ms": None if until is None else parse_instant(until),
    }
    answer = acting.ask(acting.operator(context), operations.CONTRACT_ADD, ContractList, **fields)
    if json:
        output.print_json(answer)
        return
    *ended, added = answer.contracts
    for row in ended:
        output.print_line(f"contract {row.number} ends at {format_instant(row.until_ms or 0)}")
    said = f"contract {added.number}: {broadcaster} gets {terms_text(added.terms)} of {added.terms.channel}"
    output.print_line(f"{said}, from {format_instant(added.from_ms)} on")


@app.command(
    epilog=examples(
        "sealcast billing settle contract end 3",
        "sealcast billing settle contract end 3 --on 2026-07-01T00:00+02:00",
    )
)
def end(
    context: typer.Context,
    number: Annotated[
        int, typer.Argument(metavar="NUMBER", min=1, help="Number of the contract.", show_default=False)
    ],
    *,
    on: Annotated[str | None, typer.Option(metavar="INSTANT", help="When it ends; else now.")] = None,
    json: Json = False,
) -> None:
    """End a contract; one that is to come is taken back if it ends as it begins."""
    from sealcast.billing.periods import format_instant
    from sealcast.cli import acting, output
    from sealcast.cli.instants import parse_instant
    from sealcast.messages import operations_billing as operations
    from sealcast.messages.bookkeeping import ContractList

    fields = {"number": number, "until_ms": None if on is None else parse_instant(on)}
    answer = acting.ask(acting.operator(context), operations.CONTRACT_END, ContractList, **fields)
    if json:
        output.print_json(answer)
        return
    until_ms = answer.contracts[0].until_ms or 0
    output.print_line(f"contract {number} ends at {format_instant(until_ms)}")


@app.command("list", epilog=examples("sealcast billing settle contract list"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List all contracts by number, also those that are over."""
    from sealcast.cli import acting, output
    from sealcast.cli.billing.settling_asking import read_contracts

    found = read_contracts(acting.operator(context))
    if json:
        output.print_json({"contracts": found})
        return
    headers = ("NUMBER", "BROADCASTER", "CHANNEL", "CURRENCY", "GETS", "FROM", "UNTIL")
    output.print_table(headers, [_cells(row) for row in found], empty="no contract yet")


def terms_text(terms: "ContractTerms") -> str:
    """Return what a contract gives, in a few words: `1/3, 0.01 per GB, at least 500 a month`."""
    from fractions import Fraction

    from sealcast.billing.contracts import share_text
    from sealcast.billing.pricelines import format_rate
    from sealcast.billing.tariffs import Quantity, Step
    from sealcast.ledger.money import format_micro

    parts = []
    if terms.share_parts:
        parts.append(share_text(Fraction(terms.share_parts, terms.share_of)))
    if terms.unit is not None:
        parts.append(format_rate(Quantity(terms.unit), Step(terms.unit_price_micro, terms.unit_per)))
    if terms.minimum_micro:
        parts.append(f"at least {format_micro(terms.minimum_micro)} a month")
    return ", ".join(parts)


def _cells(row: "ContractRow") -> tuple[str, ...]:
    from sealcast.billing.periods import format_instant

    until = "-" if row.until_ms is None else format_instant(row.until_ms)
    terms = row.terms
    names = (str(row.number), terms.broadcaster, terms.channel, terms.currency)
    return (*names, terms_text(terms), format_instant(row.from_ms), until)
