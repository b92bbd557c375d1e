"""Owns `sealcast escrow key`: a seller's keys and prices at an escrow, and the file of one for packages."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sealcast.cli.escrowoptions import At, CurrencyCode
from sealcast.cli.helps import examples
from sealcast.cli.options import Credential, Json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sealcast.client import KeyServerClient
    from sealcast.messages.escrow import EscrowKeyRow

app = typer.Typer(
    help="Keys and prices: add, list, close.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

PriceClass = Annotated[
    str, typer.Argument(metavar="CLASS", help="Name of the price class.", show_default=False)
]
Output = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Save the key for `package pack --escrow FILE`.", show_default=False),
]


@app.command(
    epilog=examples(
        "sealcast escrow key add film 4.99 EUR --credential acme.vault --output film.escrow",
        "sealcast escrow key add gift 0 EUR --credential acme.vault --at https://escrow.example:8446",
        "sealcast escrow key add film 4.99 EUR --upon film.escrow --credential acme.vault"
        " --output two.escrow --at https://two.example:8446",
    )
)
def add(
    context: typer.Context,
    price_class: PriceClass,
    price: Annotated[
        str, typer.Argument(metavar="PRICE", help="In whole currency units: 4.99", show_default=False)
    ],
    currency: CurrencyCode,
    *,
    bits: Annotated[int, typer.Option(metavar="N", help="Length of the RSA key.")] = 3_072,
    upon: Annotated[
        Path | None,
        typer.Option(
            metavar="KEYFILE",
            help="The key of another escrow, where orders are placed: this one opens a further share of the"
            " same packages.",
            show_default=False,
        ),
    ] = None,
    output: Output = None,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Have the escrow make a key for a price; asked again with the same terms, get the same key.

    The price of a class never changes: another price wants another class. Packages under a key are sold at
    its price, whatever else they say. With --upon it takes no orders itself.
    """
    from sealcast.cli import packaging
    from sealcast.cli.escrowoptions import asker_of, servers_of
    from sealcast.core.errors import UsageError
    from sealcast.ledger.money import parse_amount
    from sealcast.messages.escrow import EscrowKeyList
    from sealcast.messages.operations_escrow import ESCROW_KEY_ADD

    fields = {
        "price_class": price_class,
        "price_micro": parse_amount(price),
        "currency": currency,
        "bits": bits,
        "upon": None if upon is None else packaging.lead_in(upon),
    }
    if output is not None and output.exists():
        raise UsageError(f"{output} exists and is never overwritten")
    servers = servers_of(context, at)
    with asker_of(context, credential) as who:
        answer = who.ask(servers, lambda client: client.expect(ESCROW_KEY_ADD, EscrowKeyList, **fields))
    if output is not None:
        _save(output, answer.keys)
    _show(answer.keys, json=json)


@app.command(
    "list",
    epilog=examples(
        "sealcast escrow key list --credential acme.vault",
        "sealcast escrow key list --class film --credential acme.vault --output film.escrow",
    ),
)
def list_(
    context: typer.Context,
    *,
    price_class: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Only that of this price class.")
    ] = None,
    output: Output = None,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """List a seller's keys; to an administrator, all."""
    from sealcast.cli.escrowoptions import asker_of, servers_of

    servers = servers_of(context, at)
    with asker_of(context, credential) as who:
        found = who.ask(servers, _read_all)
    rows = [row for row in found if price_class is None or row.price_class == price_class]
    if output is not None:
        _save(output, rows)
    _show(rows, json=json)


@app.command(epilog=examples("sealcast escrow key close film --credential acme.vault"))
def close(
    context: typer.Context,
    price_class: PriceClass,
    *,
    at: At = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Take no new orders under a key; those that were placed go on."""
    from sealcast.cli.escrowoptions import asker_of, servers_of
    from sealcast.core.errors import UsageError
    from sealcast.messages.escrow import EscrowKeyList
    from sealcast.messages.operations_escrow import ESCROW_KEY_CLOSE

    async def close_it(client: "KeyServerClient") -> "list[EscrowKeyRow]":
        found = [row for row in await _read_all(client) if price_class in {row.price_class, row.key}]
        if len(found) != 1:
            raise UsageError(f"there is no key of the class {price_class!r}; see: sealcast escrow key list")
        return (await client.expect(ESCROW_KEY_CLOSE, EscrowKeyList, key=found[0].key)).keys

    servers = servers_of(context, at)
    with asker_of(context, credential) as who:
        _show(who.ask(servers, close_it), json=json)


async def _read_all(client: "KeyServerClient") -> "list[EscrowKeyRow]":
    """Return all keys that the caller may see; raises as `KeyServerClient.call`."""
    from sealcast.messages.escrow import EscrowKeyList
    from sealcast.messages.operations_escrow import ESCROW_KEY_LIST

    found: list[EscrowKeyRow] = []
    while True:
        page = await client.expect(ESCROW_KEY_LIST, EscrowKeyList, after=len(found))
        found += page.keys
        if page.next is None or not page.keys:
            return found


def _save(path: Path, rows: "Sequence[EscrowKeyRow]") -> None:
    """Write one key to a new file; raises UsageError where it is not one, or the file exists."""
    from sealcast.core.errors import UsageError
    from sealcast.messages.encoding import encode

    if len(rows) != 1:
        raise UsageError(f"one key goes into a file, and these are {len(rows)}: choose one with --class")
    try:
        with path.open("xb") as file:
            file.write(encode(rows[0]) + b"\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def _show(rows: "Sequence[EscrowKeyRow]", *, json: bool) -> None:
    from sealcast.cli import output
    from sealcast.cli.billing.ledger_formats import amount_text

    if json:
        output.print_json({"keys": rows})
        return
    table = [
        (
            row.price_class,
            amount_text(row.price_micro, row.currency),
            row.currency,
            row.seller,
            "open" if row.is_open else "closed",
            str(row.orders),
            row.key,
        )
        for row in rows
    ]
    headers = ("CLASS", "PRICE", "", "SELLER", "STATE", "ORDERS", "KEY")
    output.print_table(headers, table, empty="no key yet")
