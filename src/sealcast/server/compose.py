"""Owns the wiring of a key server: stores, services, admission, clock and chance, and the application."""

from dataclasses import dataclass
from typing import Any

from litestar import Litestar, get

from sealcast.core.ports import Clock, Random
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState


@dataclass(frozen=True, slots=True)
class Keyserver:
    """A key server ready to be served."""

    app: Any

    async def close(self) -> None:
        """Write what is waiting and close the database."""


async def open_keyserver(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random
) -> Keyserver:
    """Open the database and return the application over it."""
    _ = state, settings, clock, random

    @get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return Keyserver(Litestar([healthz], openapi_config=None, logging_config=None))
