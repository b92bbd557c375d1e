"""Owns masters of one cluster in this process: one database, a bus in memory, simulated time, no network."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import sqlalchemy as sa

from sealcast.cluster.bus import Bus
from sealcast.cluster.sealing import EntrySealer, JournalSealer, message_id
from sealcast.core.ports import NS_PER_MS
from sealcast.device.vault import Credential
from sealcast.messages.cluster import (
    AirEntry,
    Beat,
    ChannelEntry,
    EntryBody,
    GrantedRow,
    JournalBatch,
    PartyEntry,
    ReceptionRow,
)
from sealcast.server.cluster import publishing
from sealcast.server.cluster.master import Master
from sealcast.server.cluster.open_master import open_master
from sealcast.server.cluster.secrets import ClusterSecrets, NewServer, add_server, found_cluster
from sealcast.server.settings import ClusterSettings, KeyserverSettings
from sealcast.server.state import load_server_state
from sealcast.storage.engine import open_engine
from sealcast.testing import SimClock
from sealcast.testing.bus import MemoryBus
from server.inprocess import MEMORY, Guest, template
from server.running import RANDOM, Caller, Running

LEASE_MS = 4_000
BEAT_S = 0.1
"""In place of a second, so that tests wait less."""

PATIENCE_S = 10.0
"""For what takes milliseconds: a noisy machine is no fault."""

BODIES: dict[str, type[msgspec.Struct]] = {
    "party": PartyEntry,
    "channel": ChannelEntry,
    "air": AirEntry,
    "beat": Beat,
}


class Side(Running):
    """A master as tests of a running key server ask it."""

    def __init__(self, site: "Masters", master: Master) -> None:
        super().__init__(Path(), "", site.guest(master, site.credential), asyncio.Event())
        self.site, self.master = site, master

    def caller(self, credential: Credential) -> Caller:
        """Return another party's side."""
        return self.site.guest(self.master, credential)


class Masters:
    """A place for masters; `open` them, `close` or `crash` them."""

    def __init__(self, folder: Path, database: Path | str | None = None) -> None:
        directory, self.credential = template()
        self.folder = folder
        shutil.copytree(directory, folder / "one")
        self.database: Path | str = database or folder / "common.db"
        self.clock, self.bus = SimClock(), MemoryBus()
        state = load_server_state(folder / "one")
        self.secrets: ClusterSecrets = found_cluster(state, "one", RANDOM)
        new = NewServer("master", "two", ("127.0.0.1",), ("https://127.0.0.1:8444",))
        add_server(folder / "one", folder / "two", new, random=RANDOM, wall_ns=self.clock.wall_ns())
        self._reigning: dict[Master, list[asyncio.Task[None]]] = {}

    async def open(
        self, name: str = "one", *, bus: Bus | None = None, is_awake: bool = True, **more: Any
    ) -> Master:
        """Begin a master; it takes the lease if that is free, and unless `is_awake` never again by itself.

        `bus` is in place of its port to the bus in memory, `more` are settings.
        """
        port = {"one": 8443, "two": 8444}[name]
        settings = KeyserverSettings(
            self.folder / name,
            "127.0.0.1",
            port,
            database=self.database,
            cluster=ClusterSettings("master", ("nats://in.memory",), lease_ms=LEASE_MS),
            **more,
        )
        state = load_server_state(self.folder / name)
        master = await open_master(state, settings, self.clock, RANDOM, bus=bus or self.bus.client(name))
        self._reigning[master] = [asyncio.create_task(each) for each in master.beside()] if is_awake else []
        return master

    async def close(self, master: Master) -> None:
        """End a master in order."""
        await self._end_tasks(master)
        await master.close()

    async def close_all(self) -> None:
        """End all that are open."""
        for master in list(self._reigning):
            await self.close(master)

    async def _end_tasks(self, master: Master) -> None:
        tasks = self._reigning.pop(master, [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def guest(self, master: Master, credential: Credential) -> Guest:
        """Return the side of a party that calls a master."""
        # There is no network, so there is neither a session nor TLS.
        return Guest(credential, "https://127.0.0.1:8443", None, None, app=master.app)  # type: ignore[arg-type]

    def pass_ms(self, duration_ms: int) -> None:
        """Let time pass on all clocks."""
        self.clock.advance(duration_ms * NS_PER_MS)

    @property
    def wall_ms(self) -> int:
        """What time it is."""
        return self.clock.wall_ns() // NS_PER_MS

    @property
    def term(self) -> int:
        """The term that stands in the database."""
        return int(self.read("SELECT term FROM cluster_lease")[0][0])

    def read(self, query: str) -> list[tuple[Any, ...]]:
        """Return what the database says."""
        engine = open_engine(self.database)  # type: ignore[arg-type]
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(sa.text(query))]
        finally:
            engine.dispose()

    def change(self, statement: str) -> None:
        """Change the database behind everybody's back."""
        engine = open_engine(self.database)  # type: ignore[arg-type]
        try:
            with engine.begin() as connection:
                connection.execute(sa.text(statement))
        finally:
            engine.dispose()

    def opened(self) -> list[tuple[EntryBody, Any]]:
        """Return the newest entries on the bus, in the order of publication."""
        sealer = EntrySealer(self.secrets.cluster_key, self.secrets.publisher)
        bodies = [sealer.open(data) for data in self.bus.entries().values()]
        return [(each, msgspec.json.decode(each.body, type=BODIES[each.kind])) for each in bodies]

    def newest(self, kind: str, name: str = "") -> Any:
        """Return what the bus has of one thing; None if nothing."""
        found = [body for entry, body in self.opened() if (entry.kind, entry.name) == (kind, name)]
        return found[-1] if found else None

    async def settled(self) -> Beat:
        """Wait until a beat stands on the bus that was composed from now on, and return it."""
        version = self.read("SELECT version FROM cluster_lease")[0][0]

        def beat() -> Beat | None:
            beats = [(entry, body) for entry, body in self.opened() if entry.kind == "beat"]
            found = [body for entry, body in beats if entry.version > version]
            return found[-1] if found else None

        return await until(beat)  # type: ignore[no-any-return]

    async def hand_in(
        self,
        first: int,
        rows: Iterable[GrantedRow | ReceptionRow],
        *,
        journal: str = "j1",
        replica: str = "far",
    ) -> None:
        """Submit a batch of a replica's journal."""
        batch = JournalBatch(replica=replica, journal=journal, first=first, rows=list(rows))
        data = JournalSealer(self.secrets.cluster_key).seal(batch)
        await self.bus.client(replica).submit(replica, message_id(batch), data)

    async def ingested(self) -> None:
        """Wait until all that was submitted is acknowledged."""
        await until(lambda: self.bus.waiting_batches == 0)


async def until(ready: Any) -> Any:
    """Return what `ready` gives, once that is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := ready()):  # noqa: ASYNC110 - facts of servers, of which no event tells
            await asyncio.sleep(0.01)
        return found


@contextlib.asynccontextmanager
async def masters(database: Path | str | None = None) -> AsyncIterator[Masters]:
    """Give a place for masters, and end all that are left open."""
    memory = MEMORY if MEMORY.is_dir() else None
    with mock.patch.object(publishing, "BEAT_S", BEAT_S), tempfile.TemporaryDirectory(dir=memory) as folder:
        site = Masters(Path(folder), database)
        try:
            yield site
        finally:
            await site.close_all()
