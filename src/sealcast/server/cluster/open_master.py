"""Owns the wiring of a master."""

from sealcast.core.errors import UsageError
from sealcast.core.ports import Clock, Random
from sealcast.server.compose import Keyserver
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState


async def open_master(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Keyserver:
    """Return a master over its database and the bus."""
    _ = state, settings, clock, random
    raise UsageError("this program cannot be a master yet")
