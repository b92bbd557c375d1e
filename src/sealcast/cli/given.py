"""Owns what the user gave before the command: it is kept until a command asks for its settings."""

from dataclasses import dataclass, replace

import typer


@dataclass(frozen=True, slots=True)
class Given:
    """The global options: the files named, and by how many steps to log more.

    `servers` is an option of a command that stands in for a setting, whatever asks for the settings.
    """

    config: str | None = None
    louder: int = 0
    passphrase_file: str | None = None
    pin_file: str | None = None
    servers: str | None = None


def given_of(context: typer.Context) -> Given:
    """Return the global options of this run."""
    return context.find_object(Given) or Given()


def choose_servers(context: typer.Context, servers: str | None) -> None:
    """Have the settings say how to choose among key servers, if an option does."""
    if servers is not None:
        context.obj = replace(given_of(context), servers=servers)
