"""Owns reception managers that stand apart, for tests: their state, and one in a task of this process."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from sealcast.device.vault import Credential
from sealcast.server.serve_reception import serve_reception
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state_reception import create_reception_state
from sealcast.transport.system import SystemClock
from server.running import RANDOM, free_port, make_state

HEARTBEAT_MS = 30_000


@dataclass
class Site:
    """An operator with a key server's state and reception managers, each with its own port."""

    keys: Path
    credential: Credential
    managers: list[Path]
    ports: list[int]
    database: Path | None = None
    running: dict[int, asyncio.Event] = field(default_factory=dict)

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the managers."""
        return tuple(f"https://127.0.0.1:{port}" for port in self.ports)

    def settings(self, which: int, heartbeat_ms: int = HEARTBEAT_MS) -> KeyserverSettings:
        """Return the settings of one manager."""
        return KeyserverSettings(
            self.managers[which],
            "127.0.0.1",
            self.ports[which],
            database=self.database,
            heartbeat_ms=heartbeat_ms,
        )

    @contextlib.asynccontextmanager
    async def manager(self, which: int = 0, heartbeat_ms: int = HEARTBEAT_MS) -> AsyncIterator[None]:
        """Run one manager."""
        listening, stop = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(
            serve_reception(
                self.settings(which, heartbeat_ms),
                clock=SystemClock(),
                ready=lambda _: listening.set(),
                stop=stop,
            )
        )
        waiting = asyncio.create_task(listening.wait())
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            await serving
        try:
            yield
        finally:
            stop.set()
            await serving

    def recorded(self, which: int = 0) -> list[tuple[str, str | None]]:
        """Return the receptions on a manager's disk as (device, reason), in order."""
        path = self.database or self.managers[which] / "keyserver.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT device, reason FROM receptions ORDER BY number").fetchall()


def make_site(folder: Path, managers: int = 1, *, shared: bool = False) -> Site:
    """Make the states; with `shared` all managers have one database."""
    port = free_port()
    credential = make_state(folder / "keys", port)
    paths = [folder / f"manager{number}" for number in range(managers)]
    ports = [free_port() for _ in paths]
    for path, each in zip(paths, ports, strict=True):
        create_reception_state(
            path,
            [folder / "keys"],
            hosts=("127.0.0.1",),
            urls=(f"https://127.0.0.1:{each}",),
            random=RANDOM,
            wall_ns=SystemClock().wall_ns(),
        )
    return Site(folder / "keys", credential, paths, ports, folder / "shared.sqlite" if shared else None)
