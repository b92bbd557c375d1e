"""Owns `sealcast cluster`: another key server for an operator, and how those it has are doing."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sealcast.cli.helps import escape, examples
from sealcast.cli.options import Json

app = typer.Typer(
    help="Several key servers as one: add one, see them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
)


class ServerRole(StrEnum):
    """What a key server of a cluster may be."""

    MASTER = "master"
    REPLICA = "replica"


@app.callback()
def cluster() -> None:
    """Several key servers as one: add one, see them."""


@app.command(
    epilog=examples(
        "sealcast cluster add ./keys-2 --role replica --name keys-2 --host keys-2.example.org",
        "sealcast cluster add ./keys-3 --role master --name keys-3 --host 192.0.2.13 --from ./keyserver",
    )
)
def add(
    context: typer.Context,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="The new server's state, made here to be carried there.")
    ],
    *,
    role: Annotated[ServerRole, typer.Option(help="Master: a second one, which stands by.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name among the servers.")],
    host: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="Name or address under which it is reached (again for more)."),
    ],
    url: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL",
            help=escape("Its https:// address as grants tell it. [default: each host with port 8443]"),
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="A master's state, in place of the configuration's."),
    ] = None,
    first_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=escape("That master's own name, the first time. [default: master]")
        ),
    ] = None,
    ca_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CA's certificate, if its key is kept elsewhere.")
    ] = None,
    ca_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The CA's key (PEM, no password).")
    ] = None,
) -> None:
    """Make the state directory of another key server of this operator: on a master's host.

    It holds secrets: carry it to its host by a way that nobody else reads, and remove it here.
    """
    from sealcast.cli import acting, keyfiles, output
    from sealcast.cli.init import PORT
    from sealcast.config.schema import check_url
    from sealcast.server.cluster.secrets import FIRST_NAME, NewServer, add_server
    from sealcast.transport.address import format_place
    from sealcast.transport.system import SystemClock, SystemRandom

    urls = tuple(check_url(each) for each in url or [f"https://{format_place(each, PORT)}" for each in host])
    state = add_server(
        Path.cwd() / (from_ or keyfiles.state_folder(acting.settings(context))),
        Path.cwd() / directory,
        NewServer(role.value, name, tuple(host), urls),
        random=SystemRandom(),
        wall_ns=SystemClock().wall_ns(),
        own_ca=keyfiles.own_ca(ca_cert, ca_key),
        first_name=first_name or FIRST_NAME,
    )
    for line in _what_next(role.value, name, directory, state.urls):
        output.print_line(line)


@app.command(epilog=examples("sealcast cluster status", "sealcast cluster status --json"))
def status(context: typer.Context, *, json: Json = False) -> None:
    """Ask every key server how it stands: role, how old what it knows is, what waits in its journal.

    The servers are those that the configuration names as urls of the key server, else those of the
    administrator's vault. Ends with status 1 if one of them does not answer.
    """
    from sealcast.cli import acting, output
    from sealcast.cli.clusterstatus import HEADERS, ask_all, journal_lines, rows_of

    found = ask_all(acting.operator(context))
    if json:
        output.print_json({"servers": found})
    else:
        output.print_table(HEADERS, rows_of(found), empty="no key server is known")
        for line in journal_lines(found):
            output.print_line(line)
    if any(each.status is None for each in found):
        raise typer.Exit(1)


def _what_next(role: str, name: str, directory: Path, urls: tuple[str, ...]) -> list[str]:
    """Return the lines that tell what was made and what to do next."""
    from sealcast.cli.configuring import toml_string

    database = " --db postgresql://USER@HOST/NAME" if role == "master" else ""
    place = f"--state {directory.name} --listen 0.0.0.0:8443"
    return [
        f"{role} {name} is set up in {directory}; carry it to its host and remove it here",
        "next, on its host:",
        f"  sealcast serve keyserver --role {role} --bus nats://HOST:4222{database} {place}",
        "in [keyserver] of every server, so that all tell the same:",
        f"  urls = [{', '.join(map(toml_string, urls))}]",
    ]
