"""Owns `sealcast init escrow`: the state of an escrow, below the operator of a key server."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.initapart import CaCertificate, CaKey, Port, reached

ESCROW_PORT = 8446

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The escrow's state, made here.")]
KeyServer = Annotated[
    Path, typer.Option("--from", metavar="STATE", help="State of the operator's key server.")
]
Name = Annotated[str, typer.Option("--id", metavar="NAME", help="What the escrow is called.")]
Hosts = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Name or address under which parties reach it (again for more)."),
]


def escrow(
    directory: Directory,
    key_server: KeyServer,
    name: Name = "escrow",
    host: Hosts = None,
    port: Port = ESCROW_PORT,
    *,
    ca_cert: CaCertificate = None,
    ca_key: CaKey = None,
) -> None:
    """Make the state of an escrow: its certificates by the operator's CA, its administrators.

    Nothing that exists is overwritten.
    """
    from sealcast.cli import keyfiles, output
    from sealcast.server.escrow.state import create_escrow_state
    from sealcast.transport.system import SystemClock, SystemRandom

    place = reached(host, port)
    state = create_escrow_state(
        Path.cwd() / directory,
        Path.cwd() / key_server,
        id=name,
        hosts=place.hosts,
        urls=place.urls,
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
        own_ca=keyfiles.own_ca(ca_cert, ca_key),
    )
    identity = state.escrow
    asked = ", ".join(identity.key_servers) if identity is not None else ""
    at = ", ".join(place.urls)
    output.print_line(f"escrow {name} of {state.operator} is set up; parties reach it at {at}")
    output.print_line(f"it asks {asked or 'no key server'} who was revoked")
    output.print_line("next:")
    output.print_line(f"  sealcast serve escrow --state {directory} --listen {place.listen}")
    output.print_line(f"  in [escrow]: urls = {place.listed}")
