"""Owns a replica in this process on simulated time, and entries for it as a master makes them."""

import asyncio
import shutil
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from sealcast.cluster.sealing import EntrySealer, JournalSealer
from sealcast.core.ports import NS_PER_MS, NS_PER_S
from sealcast.device.vault import Credential
from sealcast.messages.channels import ChannelData
from sealcast.messages.cluster import (
    AirEntry,
    AirRow,
    Beat,
    ChannelEntry,
    EntryBody,
    EpochEntry,
    FenceEntry,
    GrantedRow,
    Kind,
    PartyEntry,
    ReceptionRow,
    SubscriptionRow,
)
from sealcast.messages.encoding import encode
from sealcast.messages.jwk import new_oct_key, new_sealing_pair, new_signing_pair
from sealcast.messages.requests import RegisteredKeys
from sealcast.server.cluster.open_replica import open_replica
from sealcast.server.cluster.replica import Replica
from sealcast.server.cluster.secrets import NewServer, add_server, load_cluster_secrets
from sealcast.server.settings import ClusterSettings, KeyserverSettings
from sealcast.server.state import load_server_state
from sealcast.testing import SimClock
from sealcast.testing.bus import MemoryBus
from server.inprocess import URL, Guest, template
from server.running import RANDOM, material

T = TypeVar("T")
NAME = "replica-1"
LIFETIME_MS = 600_000


@dataclass
class Device:
    """A device with its keys, as the master knows it and as it asks."""

    name: str
    keys: RegisteredKeys
    registered_at_ms: int

    def entry(self, *channels: int, is_removed: bool = False) -> PartyEntry:
        """Return what is told of it: the lists it stands on, or that it was removed."""
        return PartyEntry(
            id=self.name,
            role="device",
            kind="symmetric",
            registered_at_ms=self.registered_at_ms,
            removed_at_ms=self.registered_at_ms + 1 if is_removed else None,
            keys=None if is_removed else self.keys,
            subscriptions=[
                SubscriptionRow(channel=number, added_at_ms=self.registered_at_ms) for number in channels
            ],
        )


def channel(number: int, epochs: list[EpochEntry], *, floor: int = 0, **more: Any) -> ChannelEntry:
    """Return what is told of the channel `news` of that number; `floor` is the epoch of a fence."""
    data = ChannelData(number=number, name=more.pop("name", "news"), group="239.1.2.3", port=5004)
    return ChannelEntry(
        channel=data,
        added_at_ms=1,
        next_epoch=100,
        senders=["studio"],
        epochs=epochs,
        fences=[FenceEntry(epoch=floor, window_ms=1_000, set_at_ms=1)] if floor else [],
        **more,
    )


def epoch(number: int, turn: int, state: str, *, has_key: bool = True, **more: Any) -> EpochEntry:
    """Return what is told of an epoch, with a key of its own unless told."""
    is_consumed = state not in {"PUBLISHED", "PLANNED"}
    return EpochEntry(
        epoch=turn,
        sender="studio",
        ssrc=1_000 + turn,
        state=state,
        leased_at_ms=1,
        consumed=is_consumed,
        material=material(number, turn, fill=turn % 250 + 1) if has_key else None,
        **more,
    )


class OfMaster:
    """Makes entries as a master does: sealed, signed, with versions that rise."""

    def __init__(self, directory: Path) -> None:
        """`directory` is the master's state."""
        secrets = load_cluster_secrets(load_server_state(directory), "master")
        self.sealer = EntrySealer(secrets.cluster_key, secrets.publisher)
        self.journals = JournalSealer(secrets.cluster_key)
        self.version = 0

    def entry(self, kind: Kind, body: Any, at_ms: int, *, version: int | None = None) -> tuple[str, bytes]:
        """Return an entry by the name it has on the bus, of a version above all before unless told."""
        self.version = self.version + 1 if version is None else max(self.version, version)
        made = EntryBody(
            kind=kind,
            name=name_of(kind, body),
            version=self.version if version is None else version,
            term=1,
            at_ms=at_ms,
            body=msgspec.Raw(encode(body)),
        )
        return self.sealer.place(kind, made.name), self.sealer.seal(made)


def name_of(kind: Kind, body: Any) -> str:
    """Return the name of what an entry is of."""
    if kind == "beat":
        return str(body.master)
    if kind == "party":
        return str(body.id)
    return str(body.channel.number) if kind == "channel" else str(body.channel)


@dataclass
class Site:
    """A replica, the bus, and what a master says there. `run` what it is asked, and `close` it at the end."""

    folder: Path
    stale_after_ms: int = 30_000
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._runner = asyncio.Runner()
        directory, credential = template()
        self.master_directory = self.folder / "master"
        shutil.copytree(directory, self.master_directory)
        self.directory = self.folder / NAME
        add_server(
            self.master_directory,
            self.directory,
            NewServer("replica", NAME, ("127.0.0.1",), ("https://127.0.0.1:8444",)),
            random=RANDOM,
            wall_ns=SimClock().wall_ns(),
        )
        self.of_master = OfMaster(self.master_directory)
        self.clock = SimClock()
        self.credential: Credential = credential
        self.bus = self.run(_make_bus())
        self.master_port = self.bus.client("master")
        self.sequence = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.replica = self._open()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run something in the replica's loop."""
        return self._runner.run(work)

    def _open(self) -> Replica:
        cluster = ClusterSettings("replica", ("nats://127.0.0.1:1",), stale_after_ms=self.stale_after_ms)
        settings = KeyserverSettings(
            self.directory, "127.0.0.1", 8444, urls=(URL,), cluster=cluster, **self.settings
        )
        state = load_server_state(self.directory)

        async def begin() -> Replica:
            replica = await open_replica(state, settings, self.clock, RANDOM, bus=self.bus.client(NAME))
            self._tasks = [asyncio.create_task(each) for each in replica.beside()]
            return replica

        return self.run(begin())

    def restart(self, *, is_killed: bool = False) -> None:
        """End the replica and begin it again; killed, it has no time for anything."""
        self.run(self._end(is_killed=is_killed))
        self.replica = self._open()

    async def _end(self, *, is_killed: bool) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if is_killed:
            await self.replica.relay.close()
            await asyncio.to_thread(self.replica.unit_of_work.close)
            # What it would store now does not reach the database any more.
            await self.replica.receptions.close()
            await self.replica.bus.close()
        else:
            await self.replica.close()

    def close(self) -> None:
        """End it."""
        self.run(self._end(is_killed=False))
        self._runner.close()

    def now_ms(self) -> int:
        """Return the wall clock's time."""
        return self.clock.wall_ns() // NS_PER_MS

    def tell(self, *bodies: tuple[Kind, Any], beat: bool = True) -> None:
        """Publish entries in one round, with a beat behind them unless told, and wait for the replica."""
        entries = [self.of_master.entry(kind, body, self.now_ms()) for kind, body in bodies]
        if beat:
            entries.append(self.of_master.entry("beat", self.beat(), self.now_ms()))
        self.publish(entries)

    def beat(self) -> Beat:
        """Return the master's beat."""
        return Beat(master="master", at_ms=self.now_ms())

    def publish(self, entries: list[tuple[str, bytes]]) -> None:
        """Publish what is ready made."""

        async def work() -> None:
            self.sequence = await self.master_port.publish(entries, self.sequence)
            await self.settled()

        self.run(work())

    def offer(self, entries: list[tuple[str, bytes]]) -> None:
        """Publish what is ready made, and wait for nobody."""

        async def work() -> None:
            self.sequence = await self.master_port.publish(entries, self.sequence)
            await asyncio.sleep(0.05)

        self.run(work())

    async def settled(self, within_s: float = 10) -> None:
        """Wait until the replica has taken, or rejected, all that it could hear."""
        applier = self.replica.applier
        before = -1
        ends_s = asyncio.get_running_loop().time() + within_s
        while asyncio.get_running_loop().time() < ends_s:
            await asyncio.sleep(0.002)
            done = applier.taken + applier.older + applier.rejected
            if done == before and applier.is_idle:
                return
            before = done
        raise AssertionError("the replica does not come to rest")

    def device(self, name: str) -> Device:
        """Return a symmetric device with fresh keys."""
        keys = RegisteredKeys(signing=new_oct_key(RANDOM), kek=new_oct_key(RANDOM))
        return Device(name, keys, self.now_ms())

    def studio(self) -> PartyEntry:
        """Return the sender of all channels."""
        keys = RegisteredKeys(
            signing=new_signing_pair(RANDOM).public(), kek=new_sealing_pair(RANDOM).public()
        )
        return PartyEntry(id="studio", role="sender", kind="key-pair", registered_at_ms=1, keys=keys)

    def guest(self, device: Device) -> Guest:
        """Return the side of a device."""
        known = self.credential
        kept = {name: getattr(known, name) for name in ("operator", "ca_pem", "servers", "server_key")}
        made = Credential(
            role="device",
            id=device.name,
            signing=device.keys.signing,
            kek=device.keys.kek,
            server_kek=known.server_kek,
            **kept,
        )
        return Guest(made, URL, None, None, app=self.replica.app)  # type: ignore[arg-type] # no network

    def operator(self) -> Guest:
        """Return the operator's side."""
        return Guest(self.credential, URL, None, None, app=self.replica.app)  # type: ignore[arg-type] # as above

    def air(self, number: int, turn: int, *, remaining_ms: int = LIFETIME_MS) -> tuple[Kind, AirEntry]:
        """Return that an epoch is on air."""
        row = AirRow(
            ssrc=1_000 + turn,
            epoch=turn,
            remaining_ms=remaining_ms,
            lifetime_ms=LIFETIME_MS,
            extended=False,
            roc=0,
            seq=7,
            reported_at_ms=self.now_ms(),
        )
        return "air", AirEntry(channel=number, runs=[row])

    def let_pass(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.clock.advance(int(seconds * NS_PER_S))

    def read(self, query: str) -> list[Any]:
        """Return what the replica's database says."""

        def rows(connection: sa.Connection) -> list[Any]:
            return [tuple(row) for row in connection.execute(sa.text(query))]

        return self.run(self.replica.unit_of_work.run(rows))

    def journal(self) -> list[GrantedRow | ReceptionRow]:
        """Return the rows that the bus has as the master takes them: each once and in order."""

        async def work() -> list[GrantedRow | ReceptionRow]:
            found: dict[str, list[GrantedRow | ReceptionRow]] = {}
            numbers: dict[str, int] = {}
            for batch in self.bus.content().batches:
                opened = self.of_master.journals.open(batch.data)
                for number, row in enumerate(opened.rows, opened.first):
                    if number > numbers.get(opened.journal, 0):
                        numbers[opened.journal] = number
                        found.setdefault(opened.journal, []).append(row)
            await asyncio.sleep(0)
            return [row for rows in found.values() for row in rows]

        return self.run(work())

    def flush(self) -> None:
        """Hand the journal in now."""
        self.run(self.replica.forwarder.flush())


async def _make_bus() -> MemoryBus:
    return MemoryBus()
