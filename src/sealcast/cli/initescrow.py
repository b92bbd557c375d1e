"""Owns `sealcast init escrow`: the state of an escrow, below the operator of a key server."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from pathlib import Path
from typing import Annotated

import typer

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
Port = Annotated[int, typer.Option(metavar="PORT", help="Port under which they do.")]
CaCertificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate of the key server's CA (PEM), if its key is not there."),
]
CaKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its key (PEM, no password); it signs here and is not kept."),
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
    from sealcast.cli.configuring import toml_string
    from sealcast.config.schema import check_url
    from sealcast.server.escrow.state import create_escrow_state
    from sealcast.transport.address import format_place
    from sealcast.transport.system import SystemClock, SystemRandom

    hosts = tuple(host or ())
    urls = tuple(check_url(f"https://{format_place(each, port)}") for each in hosts or ("127.0.0.1",))
    state = create_escrow_state(
        Path.cwd() / directory,
        Path.cwd() / key_server,
        id=name,
        hosts=hosts,
        urls=urls,
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
        own_ca=keyfiles.own_ca(ca_cert, ca_key),
    )
    listen = f"0.0.0.0:{port}" if hosts else f"127.0.0.1:{port}"
    identity = state.escrow
    asked = ", ".join(identity.key_servers) if identity is not None else ""
    output.print_line(f"escrow {name} of {state.operator} is set up; parties reach it at {', '.join(urls)}")
    output.print_line(f"it asks {asked or 'no key server'} who was revoked")
    output.print_line("next:")
    output.print_line(f"  sealcast serve escrow --state {directory} --listen {listen}")
    output.print_line(f"  in [escrow]: urls = [{', '.join(map(toml_string, urls))}]")
