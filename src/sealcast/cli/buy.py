"""Owns `sealcast buy`: pay for a package at its escrow, and have it open on this machine's device."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import examples
from sealcast.cli.options import AgentSocket, Json, Package

app = typer.Typer(rich_markup_mode="rich", add_completion=False)


@app.command(
    epilog=examples(
        "sealcast buy film.sealpack",
        "sealcast buy film.sealpack --max-price 5 --confirm --json",
        "sealcast buy https://shop.example/film.sealpack --yes",
        "sealcast buy film.sealpack --licence film.licence",
    )
)
def buy(
    context: typer.Context,
    package: Package,
    *,
    licence: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The order's licence, by the seller, where the package needs one."),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where what the seller needs for a licence goes; else PACKAGE-ORDER.request.json.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Buy without a question.")] = False,
    max_price: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="Buy for no more than this, in the package's currency."),
    ] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Have the seller paid at once, unseen.")] = False,
    agent: AgentSocket = None,
    json: Json = False,
) -> None:
    """Buy a package: its escrow holds the money, and this device opens the content.

    The escrow never learns the key, and nobody sees it. Confirm once you have seen the content, or object:
    see `sealcast order`. Interrupted, type the same again: it goes on, and pays nothing twice.
    """
    from sealcast.cli import acting
    from sealcast.cli.bought import folder_of
    from sealcast.cli.buying import Buying, Wish
    from sealcast.cli.escrowasking import asker
    from sealcast.core.errors import LocalError

    loaded = acting.settings(context)
    wish = Wish(
        package=package,
        licence=licence,
        is_sure=yes,
        price_max=max_price,
        confirms=confirm,
        json=json,
        request=request,
        folder=folder_of(loaded),
    )
    with asker(context, None, agent) as device:
        if device.agent is None:
            raise LocalError("only a device buys")
        Buying(wish, device, device.agent).run()
