"""Owns `sealcast device identify`, `identified` and `renew`: whose person the operator knows, and its proof.

Part of the noun in `cli.device`.
"""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from typing import Annotated

import typer

from sealcast.cli.options import Credential, Json

DeviceId = Annotated[str, typer.Argument(metavar="ID", help="The device, by its id.", show_default=False)]

HEADERS = ("DEVICE", "EVIDENCE", "BY", "SINCE", "CERTIFIED")


def identify(
    context: typer.Context,
    id_: DeviceId,
    *,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What says who it is: a contract, an identity card.", show_default=False
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="It is identified no more.")] = False,
    json: Json = False,
) -> None:
    """Say that the operator knows a device's person; its next certificates say so too.

    Escrows sell to such devices only. The device gets its certificates by itself in time, at once by
    `sealcast device renew`. With --undo the certificates that say so are revoked.
    """
    from sealcast.cli import acting, output
    from sealcast.core.errors import UsageError
    from sealcast.messages import operations_identifying as operations
    from sealcast.messages.identifying import IdentifiedList

    if (evidence is None) is not undo:
        raise UsageError("give either --evidence, what says who the device's person is, or --undo")
    fields = {"device": id_, "evidence": evidence or "", "undo": undo}
    answer = acting.ask(acting.operator(context), operations.DEVICE_IDENTIFY, IdentifiedList, **fields)
    if json:
        output.print_json(answer)
    elif undo:
        output.print_line(f"{id_} is identified no more; its certificates that say so are revoked")
    else:
        output.print_line(f"{id_} is identified; on its machine type: sealcast device renew")


def identified(context: typer.Context, *, json: Json = False) -> None:
    """List the devices whose person is known, and whether their certificates say so by now."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations_identifying as operations
    from sealcast.messages.identifying import IdentifiedList, IdentifiedRow

    found: list[IdentifiedRow] = []

    def take(page: IdentifiedList) -> str | None:
        found.extend(page.devices)
        return page.next

    acting.read_pages(acting.operator(context), operations.IDENTIFIED_LIST, IdentifiedList, take)
    if json:
        output.print_json(IdentifiedList(devices=found))
        return
    rows = [
        (row.device, row.evidence, row.identified_by, row.identified_at, "yes" if row.is_certified else "no")
        for row in found
    ]
    output.print_table(HEADERS, rows, empty="nobody is identified yet; see: sealcast device identify --help")


def renew(context: typer.Context, *, credential: Credential = None, json: Json = False) -> None:
    """Ask for new certificates for this device's keys now, and keep them in its vault.

    By itself it does so in the last third of their life.
    """
    from msgspec.structs import replace

    from sealcast.cli import acting, output
    from sealcast.core.errors import UsageError
    from sealcast.device.certified import check_certificates
    from sealcast.device.chains import read_party
    from sealcast.messages import operations
    from sealcast.messages.enrolment import CertificateAnswer

    vault = acting.open_credential(context, acting.settings(context), "device", credential)
    if vault.credential.certificates is None:
        raise UsageError(f"{vault.path} has no certificate: its keys are known to the operator as such")
    device = acting.Operator(vault.credential, vault.keep_certificates, vault.keys)
    answer = acting.ask(device, operations.CERTIFICATE_RENEW, CertificateAnswer)
    check_certificates(answer.certificates, vault.credential)
    vault.keep_certificates(replace(vault.credential, certificates=answer.certificates))
    party = read_party(answer.certificates, vault.credential.ca_pem)
    if json:
        output.print_json({"id": party.id, "identified": party.is_identified, "vault": str(vault.path)})
    else:
        says = "they say that its person is known" if party.is_identified else "not identified"
        output.print_line(f"{party.id} has new certificates; {says}")
