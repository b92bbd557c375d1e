"""Owns the wiring of a replica."""

from sealcast.core.errors import UsageError
from sealcast.core.ports import Clock, Random
from sealcast.server.compose import Keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState


async def open_replica(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Keyserver:
    """Return a replica over its database and the bus."""
    _ = state, settings, clock, random
    raise UsageError("this program cannot be a replica yet")
