"""Owns `sealcast init`: an operator from nothing, with CA, key server, administrator and configuration."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli import initapart, initescrow
from sealcast.cli.helps import escape, examples
from sealcast.cli.initapart import CaKey

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

PORT = 8443
RECEPTION_PORT = 8445
OPERATOR_VAULT = "operator.vault"


Hosts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help=escape(
            "Name or address under which receivers reach the key server (again for more)."
            " [default: this machine alone]"
        ),
    ),
]
Directory = Annotated[
    Path | None, typer.Option("--dir", metavar="DIR", help="Put everything into this folder.")
]
Operator = Annotated[str, typer.Option(metavar="NAME", help="The operator's name.")]
Listen = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help=escape(f"Where the key server listens. [default: 127.0.0.1:{PORT}; with --host 0.0.0.0:{PORT}]"),
    ),
]
CaCertificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate of a CA of your own (PEM), in place of a fresh one."),
]


@dataclass(frozen=True, slots=True)
class Places:
    """Where `init` puts things."""

    config: Path
    vault: Path
    state: Path


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "sealcast init",
        "sealcast init --operator 'Coast TV' --host keys.coast.example --host 192.0.2.10",
        "sealcast init --dir ./trial",
        "sealcast init --ca-cert company-ca.pem --ca-key company-ca.key --host keys.example.org",
        "sealcast init reception ./reception --from ./trial/keyserver --host 192.0.2.11",
        "sealcast init escrow ./escrow --from ./trial/keyserver --id Trust --host 192.0.2.12",
    ),
)
def init(
    context: typer.Context,
    host: Hosts = None,
    directory: Directory = None,
    operator: Operator = "sealcast",
    listen: Listen = None,
    *,
    ca_cert: CaCertificate = None,
    ca_key: CaKey = None,
) -> None:
    """Make an operator: its CA, a key server's state, the administrator's vault and the configuration.

    Nothing that exists is overwritten.
    """
    if context.invoked_subcommand is None:
        _init_operator(context, host, directory, operator, listen, ca_cert=ca_cert, ca_key=ca_key)


def _init_operator(
    context: typer.Context,
    host: list[str] | None,
    directory: Path | None,
    operator: str,
    listen: str | None,
    *,
    ca_cert: Path | None,
    ca_key: Path | None,
) -> None:
    """Make an operator from nothing."""
    from sealcast.cli import keyfiles, output
    from sealcast.config.places import make_dir
    from sealcast.config.schema import check_url, parse_listen
    from sealcast.device.vault import save_vault
    from sealcast.server.state import create_server_state
    from sealcast.transport.address import format_place
    from sealcast.transport.system import SystemClock, SystemRandom

    own_ca = keyfiles.own_ca(ca_cert, ca_key)
    hosts = tuple(host or ())
    where = listen or (f"0.0.0.0:{PORT}" if hosts else f"127.0.0.1:{PORT}")
    address, port = parse_listen(where)
    urls = tuple(check_url(f"https://{format_place(name, port)}") for name in hosts or (_reachable(address),))
    places = _free_places(context, directory)
    for folder in dict.fromkeys((places.config.parent, places.vault.parent)):
        make_dir(folder)
    random = SystemRandom()
    credential = create_server_state(
        places.state,
        operator_name=operator,
        hosts=hosts,
        urls=urls,
        random=random,
        wall_ns=SystemClock().wall_ns(),
        own_ca=own_ca,
    )
    save_vault(places.vault, credential, random)
    _write_config(places, where, urls)
    for line in _what_next(context, places, operator, urls, explicit=directory is not None):
        output.print_line(line)


@app.command(
    epilog=examples(
        "sealcast init reception ./reception --from /var/lib/sealcast/keyserver",
        "sealcast init reception /srv/reception --from ./a --from ./b --host reception.example.org",
    )
)
def reception(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The manager's state, made here.")],
    key_servers: Annotated[
        list[Path],
        typer.Option("--from", metavar="STATE", help="State of a key server that may ask (again for more)."),
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Name or address under which key servers reach it (again for more)."
        ),
    ] = None,
    port: initapart.Port = RECEPTION_PORT,
    *,
    ca_cert: initapart.CaCertificate = None,
    ca_key: CaKey = None,
) -> None:
    """Make the state of a reception manager that stands apart from its key servers.

    Its certificate is signed by the operator's CA. Nothing that exists is overwritten.
    """
    from sealcast.cli import keyfiles, output
    from sealcast.server.state_reception import create_reception_state
    from sealcast.transport.system import SystemClock, SystemRandom

    place = initapart.reached(host, port)
    state = create_reception_state(
        Path.cwd() / directory,
        [Path.cwd() / each for each in key_servers],
        hosts=place.hosts,
        urls=place.urls,
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
        own_ca=keyfiles.own_ca(ca_cert, ca_key),
    )
    output.print_line(f"reception manager {state.directory} is set up for {len(state.peers)} key server(s)")
    output.print_line("next:")
    output.print_line(f"  sealcast serve reception --state {directory} --listen {place.listen}")
    output.print_line(f"  in [keyserver]: reception = {place.listed}")


app.command(
    epilog=examples(
        "sealcast init escrow ./escrow --from /var/lib/sealcast/keyserver",
        "sealcast init escrow /srv/escrow --from ./keyserver --id Trust --host escrow.example.org",
    )
)(initescrow.escrow)


def _reachable(address: str) -> str:
    """Return the address under which a server that listens on `address` is reached from here."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - compared, not bound


def _free_places(context: typer.Context, directory: Path | None) -> Places:
    """Return where things go; raises UsageError if the configuration or the vault is there already."""
    import os

    from sealcast.cli.configuring import config_path, is_config_named
    from sealcast.config.places import FILE_NAME, state_dir
    from sealcast.core.errors import UsageError

    base = (Path.cwd() / directory) if directory else None
    config = base / FILE_NAME if base and not is_config_named(context) else config_path(context)
    places = Places(
        config=config,
        vault=(base or config.parent) / OPERATOR_VAULT,
        state=(base or state_dir(os.environ)) / "keyserver",
    )
    for path in (places.config, places.vault):
        if path.exists():
            raise UsageError(f"{path} exists and is never overwritten; move it away or choose another --dir")
    return places


def _write_config(places: Places, listen: str, urls: tuple[str, ...]) -> None:
    """Write the configuration that the programs of this operator's machine read."""
    from sealcast.cli.configuring import MARK, beside, toml_string
    from sealcast.device.files import write_private

    lines = [
        MARK,
        "[keyserver]",
        f"listen = {toml_string(listen)}",
        f"urls = [{', '.join(map(toml_string, urls))}]",
        f"state = {toml_string(beside(places.state, places.config))}",
        "",
        "[admin]",
        f"credential = {toml_string(beside(places.vault, places.config))}",
        "",
    ]
    write_private(places.config, "\n".join(lines).encode())


def _what_next(
    context: typer.Context, places: Places, operator: str, urls: tuple[str, ...], *, explicit: bool
) -> list[str]:
    """Return the lines that tell what was made and what to type next."""
    from sealcast.cli.given import given_of

    command = f"sealcast --config {places.config}" if explicit or given_of(context).config else "sealcast"
    return [
        f"operator {operator} is set up; its key server is known as {', '.join(urls)}",
        f"configuration  {places.config}",
        f"administrator  {places.vault} (keep it and its key file apart from the server)",
        f"key server     {places.state} (back it up: without it every vault is worthless)",
        "",
        "next:",
        f"  {command} serve keyserver",
        f"  {command} channel add news --group 239.255.1.1:5004 --new-sender studio",
        f"  {command} registry invite --channel news",
    ]
