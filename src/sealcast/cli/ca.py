"""Owns `sealcast ca`: the certificates of an operator's parties, and the key server's own."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Channels, Json, PartyRole

app = typer.Typer(
    help="Certificates: issue, list, revoke, crl, renew-server.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)

HEADERS = ("SERIAL", "ID", "ROLE", "USE", "STATE", "EXPIRES", "REASON")


@app.command(
    epilog=examples(
        "sealcast ca issue TV-0002 --csr tv.csr --kek tv-kek.pub.pem --channel news --output tv.pem",
    )
)
def issue(
    context: typer.Context,
    id_: Annotated[
        str,
        typer.Argument(metavar="ID", help="The party's name, which is not known yet.", show_default=False),
    ],
    *,
    csr: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Request for its signing key (PKCS #10, PEM).", show_default=False),
    ],
    kek: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Public key that answers are sealed to (PEM or JWK).", show_default=False
        ),
    ],
    role: Annotated[PartyRole, typer.Option(help="What it is.")] = PartyRole.DEVICE,
    channel: Channels = None,
    output: Annotated[
        str, typer.Option(metavar="FILE", help="Where the certificates go, in PEM; - for standard output.")
    ] = "-",
    json: Json = False,
) -> None:
    """Register a party that made its keys by itself, and certify them: for keys that cannot be enrolled."""
    from sealcast.cli import acting, keyfiles
    from sealcast.cli import output as out
    from sealcast.messages import operations
    from sealcast.messages.enrolment import CertificateAnswer

    if output != "-":
        keyfiles.check_free(Path(output))
    answer = acting.ask(
        acting.operator(context),
        operations.CERTIFICATE_ISSUE,
        CertificateAnswer,
        id=id_,
        role=role.value,
        csr=keyfiles.read_text(csr),
        kek=keyfiles.read_public_key(kek),
        channels=channel or [],
    )
    issued = answer.certificates
    pem = issued.signing + issued.kek + issued.issuer
    if output != "-":
        keyfiles.write(Path(output), pem.encode())
    if json:
        out.print_json(answer)
    elif output == "-":
        out.print_line(pem.rstrip())
    else:
        out.print_line(f"{role.value} {id_} is registered; its certificates and their issuer are in {output}")


@app.command("list", epilog=examples("sealcast ca list", "sealcast ca list --json"))
def list_(context: typer.Context, *, json: Json = False) -> None:
    """List every certificate that was issued to a party."""
    from sealcast.cli import acting
    from sealcast.cli import output as out
    from sealcast.messages import operations
    from sealcast.messages.enrolment import CertificateList

    answer = acting.ask(acting.operator(context), operations.CERTIFICATE_LIST, CertificateList)
    if json:
        out.print_json(answer)
        return
    rows = [
        (row.serial, row.id, row.role, row.use, row.state, row.expires_at, row.reason or "-")
        for row in answer.certificates
    ]
    out.print_table(HEADERS, rows, empty="no certificate yet; parties get theirs when they enrol")


@app.command(
    epilog=examples(
        "sealcast ca revoke --id TV-0002",
        "sealcast ca revoke 5D0C... --reason keyCompromise",
        "sealcast ca revoke --escrow film.escrow",
    )
)
def revoke(
    context: typer.Context,
    serial: Annotated[
        str | None, typer.Argument(metavar="SERIAL", help="Serial number of one of its certificates.")
    ] = None,
    *,
    id_: Annotated[str | None, typer.Option("--id", metavar="ID", help="The party, by its name.")] = None,
    escrow: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An escrow, by its certificate: its escrow.json, a key file of it (NAME.escrow), or PEM.",
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(metavar="REASON", help="As RFC 5280 has it: keyCompromise, superseded ...")
    ] = "unspecified",
    json: Json = False,
) -> None:
    """Revoke a party's certificates: it is refused from now on, whatever clock it has.

    Its id stays taken; `registry remove` frees it. Nobody buys at an escrow that was revoked, and no other
    escrow opens upon its word.
    """
    from sealcast.cli import acting, keyfiles
    from sealcast.cli import output as out
    from sealcast.core.errors import UsageError
    from sealcast.messages import operations
    from sealcast.messages.enrolment import CertificateList

    if [serial, id_, escrow].count(None) != 2:
        raise UsageError("name a certificate by its serial number, a party with --id, or an --escrow")
    certificate = None if escrow is None else keyfiles.escrow_certificate(escrow)
    fields = {"serial": serial, "id": id_, "escrow": certificate, "reason": reason}
    answer = acting.ask(acting.operator(context), operations.CERTIFICATE_REVOKE, CertificateList, **fields)
    if json:
        out.print_json(answer)
        return
    for row in answer.certificates:
        out.print_line(f"revoked {row.serial} ({row.use} of {row.role} {row.id})")


@app.command(epilog=examples("sealcast ca crl", "sealcast ca crl --output parties.crl"))
def crl(
    context: typer.Context,
    *,
    output: Annotated[
        str,
        typer.Option(metavar="FILE", help="Where it goes: PEM on standard output (-), DER into a file."),
    ] = "-",
) -> None:
    """Fetch the list of revoked certificates (RFC 5280), for other programs that take these certificates."""
    from sealcast.cli import acting, keyfiles
    from sealcast.cli import output as out

    der = keyfiles.fetch_crl(acting.operator(context).credential)
    if output == "-":
        out.print_line(keyfiles.crl_pem(der).rstrip())
    else:
        keyfiles.write(Path(output), der)
        out.print_line(f"the list of revoked certificates is in {output}")


@app.command(
    "renew-server",
    epilog=examples(
        "sealcast ca renew-server",
        "sealcast ca renew-server --host keys.example --ca-cert ca.pem --ca-key /media/safe/ca.key",
    ),
)
def renew_server(
    context: typer.Context,
    *,
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=escape("Name or address of the key server (again for more). [default: those it has]"),
        ),
    ] = None,
    ca_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CA's certificate, if its key is kept elsewhere.")
    ] = None,
    ca_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CA's key (PEM, no password).")
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The key server's state, in place of the configuration's."),
    ] = None,
    json: Json = False,
) -> None:
    """Give the key server on this machine a new TLS certificate, under the CA that every device pins.

    A running server takes it up on SIGHUP.
    """
    from sealcast.cli import acting, keyfiles
    from sealcast.cli import output as out
    from sealcast.server.state import renew_server_certificate
    from sealcast.transport.system import SystemClock, SystemRandom

    folder = state or keyfiles.state_folder(acting.settings(context))
    own_ca = keyfiles.own_ca(ca_cert, ca_key)
    hosts = renew_server_certificate(
        folder, SystemRandom(), SystemClock().wall_ns(), hosts=tuple(host or ()), own_ca=own_ca
    )
    if json:
        out.print_json({"state": str(folder), "hosts": list(hosts)})
        return
    out.print_line(f"the key server in {folder} has a new certificate for {', '.join(hosts)}")
    out.print_line("a running one takes it up on SIGHUP, or when it starts again")
