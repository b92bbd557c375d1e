"""Shows that of two masters one at most writes and publishes, whatever stands still, fails or comes late."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sealcast.cluster.sealing import EntrySealer
from sealcast.messages import operations
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.server.cluster.master import Master
from sealcast.testing.bus import MemoryClient
from server.masters import LEASE_MS, PATIENCE_S, Masters, Side, masters
from server.running import RANDOM, Caller
from storage.places import Places

NAMES = ("one", "two")


class GatedBus:
    """A port to the bus in memory whose user stands still at each call while the gate is closed."""

    def __init__(self, inside: MemoryClient, sealer: EntrySealer, terms: list[int]) -> None:
        self._inside, self._sealer, self._terms = inside, sealer, terms
        self.gate = asyncio.Event()
        self.gate.set()
        self.watch, self.submit, self.journal = inside.watch, inside.submit, inside.journal
        self.close, self.journal_batches = inside.close, inside.journal_batches

    async def last_sequence(self) -> int:
        """Do as the port does, once the gate is open."""
        await self.gate.wait()
        return await self._inside.last_sequence()

    async def entry_at(self, sequence: int) -> bytes | None:
        """Do as the port does, once the gate is open."""
        await self.gate.wait()
        return await self._inside.entry_at(sequence)

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Do as the port does, once the gate is open, and note the terms of what the bus took."""
        await self.gate.wait()
        last = await self._inside.publish(entries, after)
        self._terms += [self._sealer.open(data).term for _, data in entries]
        return last


@dataclass
class Pair:
    """Two masters of one database that look for the lease only when told."""

    site: Masters
    terms: list[int] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    asked: int = 0

    async def begin(self) -> None:
        """Open both; the first is master, and has a channel."""
        sealer = EntrySealer(self.site.secrets.cluster_key, self.site.secrets.publisher)
        self.buses = {name: GatedBus(self.site.bus.client(name), sealer, self.terms) for name in NAMES}
        self.masters: dict[str, Master] = {}
        for name in NAMES:
            self.masters[name] = await self.site.open(name, bus=self.buses[name], is_awake=False)
        await Side(self.site, self.masters["one"]).add_channel("news")

    async def step(self, action: str, name: str) -> None:
        """Have something happen to the master of that name."""
        master = self.masters[name]
        match action:
            case "look":
                if master.term is None:
                    await master.begin()
            case "notice":
                if master.term is not None and master.term.is_over:
                    master.stand_by("the test noticed")
            case "ask":
                await self.ask(master)
            case "expire":
                self.site.pass_ms(LEASE_MS + 1)
            case "stop":
                self.buses[name].gate.clear()
            case "go on":
                self.buses[name].gate.set()
        await asyncio.sleep(0.01)

    async def ask(self, master: Master) -> None:
        """Have a new sender registered and lease epochs; a master that is fenced refuses with 503."""
        if master.term is None or master.term.is_over:
            return
        self.asked += 1
        before, term = self.site.read("SELECT count(*) FROM principals"), self.site.term
        side = Side(self.site, master)
        studio, status = await registered(side, f"studio-{self.asked}")
        if master.term is None or master.term.number != term:
            assert status == 503
            assert self.site.read("SELECT count(*) FROM principals") == before
            return
        assert status == 200
        lease = await studio.must(operations.LEASE, channel="news")
        self.epochs += [slot.epoch for slot in lease.slots]

    async def end(self) -> None:
        """Let all go on, and wait until a master has published everything."""
        for bus in self.buses.values():
            bus.gate.set()
        for master in self.masters.values():
            if master.term is not None and master.term.number != self.site.term:
                master.stand_by("the test ends")
        self.site.pass_ms(LEASE_MS + 1)
        last = self.masters["one"]
        if last.term is None:
            await last.begin()
        await self.site.settled()


async def registered(side: Side, name: str) -> tuple[Caller, int]:
    """Register a sender for the channel; return its side, and the answer's status."""
    signing, kek = new_signing_pair(RANDOM), new_sealing_pair(RANDOM)
    sealed = side.sealed_keys(signing.public(), kek.public())
    reply = await side.operator.ask(
        operations.REGISTRY_ADD, id=name, role="sender", sealed_keys=sealed, channels=["news"]
    )
    credential = side.operator.credential
    return side.caller(replace(credential, role="sender", id=name, signing=signing, kek=kek)), reply.status


ACTIONS = st.tuples(
    st.sampled_from(("look", "look", "notice", "ask", "ask", "ask", "expire", "stop", "go on")),
    st.sampled_from(NAMES),
)


def play(database: str | None, steps: Sequence[tuple[str, str]]) -> None:
    """Have things happen to two masters, and look that no rule was broken."""

    async def run() -> None:
        async with masters(database) as site:
            pair = Pair(site)
            await pair.begin()
            for action, name in steps:
                await pair.step(action, name)
            await pair.end()
            assert len(set(pair.epochs)) == len(pair.epochs)
            assert pair.terms == sorted(pair.terms)
            assert len(site.read("SELECT 1 FROM epochs")) == len(pair.epochs)
            entries = [entry for entry, _ in site.opened()]
            assert {entry.term for entry in entries} == {site.term}

    asyncio.run(run())


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTIONS, min_size=4, max_size=12))
def test_any_order(steps: list[tuple[str, str]]) -> None:
    """Whatever happens to two masters: no epoch twice, no older term on the bus after a younger one."""
    play(None, steps)


OVERTAKEN = (
    ("stop", "one"), ("ask", "one"), ("expire", "one"), ("look", "two"),
    ("ask", "one"), ("go on", "one"), ("ask", "two"), ("notice", "one"), ("look", "one"), ("ask", "two"),
)  # fmt: skip


def test_overtaken_on_postgresql(postgres_places: Places, tmp_path: Path) -> None:
    """A master that stood still past its lease is refused by PostgreSQL and by the bus alike."""
    play(postgres_places.address(tmp_path, is_upgraded=True), OVERTAKEN)


def test_overtaken_on_a_file() -> None:
    """As on PostgreSQL."""
    play(None, OVERTAKEN)


def test_waiting_requests_are_answered() -> None:
    """Who waits for a master that has lost its lease is told to come again, and the next one answers."""

    async def run() -> None:
        async with masters() as site:
            one = await site.open("one", is_awake=False)
            side = Side(site, one)
            await side.add_channel("news")
            assert one.term is not None
            assert one.term.interior is not None
            held = threading.Event()
            blocking = asyncio.create_task(
                one.term.interior.unit_of_work.run(lambda _: held.wait(PATIENCE_S))
            )
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(side.operator.ask(operations.CHANNEL_LIST))
            await asyncio.sleep(0.2)
            one.stand_by("the test says so")
            reply = await waiting
            assert (reply.status, reply.problem) == (503, "busy")
            held.set()
            await blocking

    asyncio.run(run())
