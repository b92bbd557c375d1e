"""Owns what a receiver's run is told."""

from collections.abc import Callable
from dataclasses import dataclass

from sealcast.client import Choice, Use
from sealcast.core.channel import ChannelSpec
from sealcast.device.token import PartyKeys
from sealcast.device.vault import Credential
from sealcast.transport.address import Endpoint


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """What a receiver is told: `target` is a channel's name or number, or the address of a stream.

    `keep` takes the credential when its certificates were renewed; `attach` is given the way to hand over one
    that was read anew. `learned` is called with the channel that a grant told, for the first time.
    `servers` is how to choose among several key servers.
    """

    credential: Credential
    target: str | Endpoint
    interface: str | None = None
    reorder_ms: int = 20
    idle_exit_s: float | None = None
    wait: bool = False
    keep: Callable[[Credential], None] | None = None
    attach: Callable[[Use], None] | None = None
    keys: PartyKeys | None = None
    learned: Callable[[ChannelSpec], None] | None = None
    servers: Choice = Choice.FIXED
