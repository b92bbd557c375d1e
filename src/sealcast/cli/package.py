"""Owns `sealcast package`: make packages and licences, look into them, check and unpack them."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli import unpack
from sealcast.cli.helps import examples
from sealcast.cli.options import Credential, Json

app = typer.Typer(
    help="Packages: pack, inspect, verify, unpack, licence.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

PackageFile = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="The file of a package.", show_default=False)
]
CaFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE.pem", help="The operator's CA certificate, that vouches for the seller."),
]
CaVault = Annotated[
    str | None, typer.Option(metavar="FILE.vault", help="A vault of the operator, for its CA certificate.")
]
Escrows = Annotated[
    list[Path],
    typer.Option(
        metavar="KEYFILE",
        help="An escrow's key, as `escrow key add --output` saves it (again for more); the first escrow"
        " holds the money, and the keys of the others were made with --upon its own.",
        show_default=False,
    ),
]
Threshold = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="How many shares open it, else all; those of more than half of the escrows.",
        show_default=False,
    ),
]


@app.command(
    epilog=examples(
        "sealcast package pack film.mp4 --escrow film.escrow --credential acme.vault",
        "sealcast package pack film.mp4 --escrow one.escrow --escrow two.escrow --escrow three.escrow"
        " --threshold 2 --credential acme.vault",
        "sealcast package pack film.mp4 --escrow film.escrow --licensed --credential acme.vault",
    )
)
def pack(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What is sold.", show_default=False)],
    *,
    escrow: Escrows,
    title: Annotated[
        str | None, typer.Option(help="What buyers read; else the file's name without its ending.")
    ] = None,
    media_type: Annotated[
        str | None, typer.Option(metavar="TYPE", help="For instance video/mp4; else by the file's name.")
    ] = None,
    threshold: Threshold = None,
    licensed: Annotated[
        bool, typer.Option("--licensed", help="Each order needs a licence, with a share for its device.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.sealpack", help="The package; else beside FILE.")
    ] = None,
    sync: Annotated[bool, typer.Option("--sync", help="End when all of it is on the disk.")] = False,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Pack a file: encrypted, to be opened by whoever paid at its escrow, and passed on by anybody.

    With --licensed the content key is kept beside the package, in NAME.sealkey, for `package licence`.
    Interrupted, it leaves nothing; nothing is ever overwritten.
    """
    from sealcast.cli.signals import expect_interruption

    expect_interruption()

    from sealcast.cli import output as out
    from sealcast.cli import packaging

    order = packaging.Order(
        source=file,
        target=output or file.with_suffix(packaging.PACKAGE_SUFFIX),
        escrows=escrow,
        title=title,
        media_type=media_type,
        threshold=threshold,
        is_licensed=licensed,
        is_synced=sync,
    )
    packed = packaging.pack(packaging.open_seller(context, credential), order)
    if json:
        out.print_json(packed)
        return
    out.print_line(
        f"{packed.file}: {packed.title}, {packed.bytes:,} bytes, for {' and '.join(packed.escrows)}"
    )
    if packed.key_file is not None:
        out.print_line(f"{packed.key_file} holds the content key for licences: keep it, nobody else has it")


@app.command(
    epilog=examples(
        "sealcast package inspect film.sealpack",
        "sealcast package inspect film.sealpack --ca operator-ca.pem --json",
    )
)
def inspect(
    context: typer.Context,
    package: PackageFile,
    *,
    ca: CaFile = None,
    credential: CaVault = None,
    json: Json = False,
) -> None:
    """Show what a package says: title, size, seller, escrows and prices; no key and no server is needed.

    It is the seller's word only if the operator's CA vouches for the seller: name it with --ca, or a vault.
    """
    from sealcast.cli import output as out
    from sealcast.cli import packaging

    seen = packaging.inspect(package, packaging.ca_of(context, ca, credential))
    if json:
        out.print_json(seen)
        return
    for name, value in packaging.described(seen):
        out.print_line(f"{name:<9} {value}".rstrip())


@app.command(
    epilog=examples(
        "sealcast package verify film.sealpack --ca operator-ca.pem",
        "sealcast package verify /media/usb/film.sealpack",
    )
)
def verify(
    context: typer.Context,
    package: PackageFile,
    *,
    ca: CaFile = None,
    credential: CaVault = None,
    json: Json = False,
) -> None:
    """Check that a package is whole: every chunk of it is the one that its header stands for.

    It takes no key and needs no server. Without --ca or a vault, who signed the header is not checked.
    """
    from sealcast.cli.signals import expect_interruption

    expect_interruption()

    from sealcast.cli import output as out
    from sealcast.cli import packaging

    found = packaging.verify(package, packaging.ca_of(context, ca, credential))
    if json:
        out.print_json(found)
        return
    by = (
        f"as {found.seller} packed it"
        if found.is_verified
        else "as its header says; who signed it is not known"
    )
    out.print_line(f"{package}: all {found.chunks:,} chunks are {by}")


@app.command(
    epilog=examples(
        "sealcast package licence film.sealpack --device film-uVt0cYxwTnm8p3ZlqgA4Bw.request.json"
        " --credential acme.vault"
    )
)
def licence(
    context: typer.Context,
    package: PackageFile,
    *,
    device: Annotated[
        Path,
        typer.Option(
            metavar="FILE.json",
            help="What `sealcast buy` wrote for the seller: the order, and the device's certificates.",
            show_default=False,
        ),
    ],
    order: Annotated[
        str | None,
        typer.Option(metavar="ORDER", help="The order that it is for, where the file names none."),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(metavar="FILE.sealkey", help="The kept content key; else that beside the package."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE.licence", help="The licence; else PACKAGE-ORDER.licence.")
    ] = None,
    credential: Credential = None,
    json: Json = False,
) -> None:
    """Make the licence of one order of a package that was packed with --licensed.

    It has fresh shares of the content key, one of them for that device alone, and is no secret: without the
    escrow, which opens for a paid order, it opens nothing.
    """
    from sealcast.cli import output as out
    from sealcast.cli import packaging

    made = packaging.licence(
        packaging.open_seller(context, credential),
        package,
        order=order,
        device=device,
        key=key or package.with_suffix(packaging.KEY_SUFFIX),
        target=output,
    )
    if json:
        out.print_json(made)
    else:
        out.print_line(f"{made.file}: for the order {made.order} of {made.device}")


app.command(
    epilog=examples(
        "sealcast package unpack film.sealpack", "sealcast package unpack film.sealpack --output film.mp4"
    )
)(unpack.unpack)
