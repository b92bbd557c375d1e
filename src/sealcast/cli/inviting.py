"""Owns `sealcast registry invite` and `invitations`: one line that lets one newcomer enrol."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

import contextlib
import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

import typer

from sealcast.cli.options import Channels, Json, PartyRole

Id = Annotated[
    str | None,
    typer.Option("--id", metavar="ID", help="The newcomer's name; else it, or the server, chooses."),
]
Expires = Annotated[str, typer.Option(metavar="TIME", help="Until when it may be used.")]
Cancel = Annotated[int | None, typer.Option(metavar="NUMBER", help="Withdraw this one, if it is not used.")]

HEADERS = ("NUMBER", "ROLE", "ID", "CHANNELS", "STATE", "EXPIRES", "USED BY")


def invite(
    context: typer.Context,
    *,
    channel: Channels = None,
    role: Annotated[PartyRole, typer.Option(help="What the newcomer will be.")] = PartyRole.DEVICE,
    id_: Id = None,
    expires: Expires = "24h",
    json: Json = False,
) -> None:
    """Print one line to type at a newcomer's machine. It works once; whoever has it first may use it.

    The key server never has the token in it, only its hash.
    """
    from sealcast.cli import acting, output
    from sealcast.client.enrolment import fingerprint_of
    from sealcast.core.channel import parse_duration_ms
    from sealcast.messages import operations
    from sealcast.messages.enrolment import (
        Invitation,
        InvitationList,
        new_token,
        token_hash,
    )
    from sealcast.transport.system import SystemRandom

    operator = acting.operator(context)
    us = operator.credential
    token = new_token(SystemRandom())
    answer = acting.ask(
        operator,
        operations.INVITE,
        InvitationList,
        token_hash=token_hash(token),
        role=role.value,
        id=id_,
        channels=channel or [],
        valid_s=max(1, parse_duration_ms(expires) // 1_000),
    )
    line = Invitation(us.servers[0], token, fingerprint_of(us.ca_pem)).line()
    if json:
        output.print_json({"line": line, "invitation": answer.invitations[0]})
    else:
        output.print_line(f"sealcast enrol {line}")
        if _is_this_machine(us.servers[0]):
            output.print_line(
                f"only this machine reaches {us.servers[0]}; for others name the key server in three places:"
                " ca renew-server --host NAME, listen and urls under [keyserver]; then start it again",
                to_stderr=True,
            )


def _is_this_machine(url: str) -> bool:
    """Whether an address is one of loopback, where newcomers of other machines find nobody."""
    host = urlsplit(url).hostname or ""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def invitations(context: typer.Context, *, cancel: Cancel = None, json: Json = False) -> None:
    """List the newest invitations and what became of them; or withdraw one."""
    from sealcast.cli import acting, output
    from sealcast.messages import operations
    from sealcast.messages.answers import Done
    from sealcast.messages.enrolment import InvitationList

    operator = acting.operator(context)
    if cancel is not None:
        done = acting.ask(operator, operations.INVITATION_CANCEL, Done, number=cancel)
        if json:
            output.print_json(done)
        else:
            output.print_line(f"invitation {cancel} is withdrawn")
        return
    answer = acting.ask(operator, operations.INVITATION_LIST, InvitationList)
    if json:
        output.print_json(answer)
        return
    rows = [
        (
            str(row.number),
            row.role,
            row.id or "-",
            ", ".join(row.channels) or "-",
            row.state,
            row.expires_at,
            row.used_by or "-",
        )
        for row in answer.invitations
    ]
    output.print_table(HEADERS, rows, empty="no invitation yet; make one with: sealcast registry invite")
