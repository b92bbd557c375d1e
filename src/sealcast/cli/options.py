"""Owns the options and arguments that several commands have in common."""

from enum import StrEnum
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
ChannelName = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="Name or number of the channel.", show_default=False)
]
Interface = Annotated[
    str | None,
    typer.Option(
        metavar="IF", help="Network interface, by name or address; else the one that routes lead to."
    ),
]
Credential = Annotated[
    str | None, typer.Option(metavar="FILE.vault", help="Vault to use, in place of the configuration's.")
]
AgentSocket = Annotated[
    str | None,
    typer.Option(
        "--agent",
        metavar="SOCKET",
        help="Where the device agent listens, in place of $SEALCAST_AGENT or the usual place.",
    ),
]
Package = Annotated[
    str,
    typer.Argument(
        metavar="PACKAGE", help="A package, by its file or its address (https://…).", show_default=False
    ),
]
ChannelsFile = Annotated[
    str | None,
    typer.Option(
        "--config", metavar="FILE", help="All channels of this configuration file.", show_default=False
    ),
]
AllChannels = Annotated[
    bool, typer.Option("--all", help="All channels of the usual configuration file.", show_default=False)
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="CHANNEL",
        help="A channel that a device may receive, or a sender send on (again for more).",
    ),
]


class PartyRole(StrEnum):
    """What a registered party does."""

    DEVICE = "device"
    SENDER = "sender"
    OPERATOR = "operator"
    REPLICA = "replica"
    SELLER = "seller"


class ServerChoice(StrEnum):
    """How to choose among key servers (`client.choosing`); a copy of its names, for help."""

    FIXED = "fixed"
    ROUND_ROBIN = "round-robin"
    LISTED = "listed"


class KeyChoice(StrEnum):
    """Which keys a newcomer makes (`device.newkeys`); a copy of its names, which help needs without it."""

    SYMMETRIC = "symmetric"
    ED25519 = "ed25519"
    P256 = "p256"
    RSA = "rsa"
