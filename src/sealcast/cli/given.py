"""Owns what the user gave before the command: it is kept until a command asks for its settings."""

from dataclasses import dataclass

import typer


@dataclass(frozen=True, slots=True)
class Given:
    """The global options: the files named, and by how many steps to log more."""

    config: str | None = None
    louder: int = 0
    passphrase_file: str | None = None
    pin_file: str | None = None


def given_of(context: typer.Context) -> Given:
    """Return the global options of this run."""
    return context.find_object(Given) or Given()
