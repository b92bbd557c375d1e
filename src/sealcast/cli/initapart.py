"""Owns what `init reception` and `init escrow` have in common: the CA, where others reach what they make."""
# ruff: noqa: PLC0415 - what costs time to import is imported when a command runs, not for its help

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

CaCertificate = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Certificate of the key servers' CA (PEM), if its key is not there."),
]
CaKey = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Its key (PEM, no password); it signs here and is not kept."),
]
Port = Annotated[int, typer.Option(metavar="PORT", help="Port under which they do.")]


@dataclass(frozen=True, slots=True)
class Reached:
    """Where others reach a server, and where it listens for that: on this machine alone without `hosts`."""

    hosts: tuple[str, ...]
    urls: tuple[str, ...]
    listen: str

    @property
    def listed(self) -> str:
        """The addresses as a list of the configuration."""
        from sealcast.cli.configuring import toml_string

        return f"[{', '.join(map(toml_string, self.urls))}]"


def reached(hosts: Sequence[str] | None, port: int) -> Reached:
    """Return where a server is reached under names and a port; raises UsageError."""
    from sealcast.config.schema import check_url
    from sealcast.transport.address import format_place

    names = tuple(hosts or ())
    urls = tuple(check_url(f"https://{format_place(each, port)}") for each in names or ("127.0.0.1",))
    return Reached(names, urls, f"0.0.0.0:{port}" if names else f"127.0.0.1:{port}")
