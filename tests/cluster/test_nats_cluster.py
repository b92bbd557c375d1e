"""Three NATS servers of which any may be killed: nothing acknowledged is lost, order and fencing hold."""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from cluster.buses import BOUND_S, everything, opened, persist, until
from lab.nats import NatsCluster, NatsServer, nats_cluster
from sealcast.cluster.bus import Delivered, Submitted
from sealcast.cluster.natsbus import NatsBus
from sealcast.core.errors import FencedError, UnreachableError

NAMES, PER_ROUND = 40, 7

TIMES = pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.soak)])
"""How many leaders are lost; each takes the others six to nine seconds to replace."""


class _Master:
    """Publishes rounds as a master does, each with a higher version, and keeps what was acknowledged."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.after = 0
        self.version = 0
        self.acknowledged: dict[str, int] = {}

    async def round(self) -> None:
        """Publish some names and then a beat, all of one version; try with the next one until it is taken."""
        while True:
            self.version += 1
            names = [f"party.{(self.version * PER_ROUND + i) % NAMES}" for i in range(PER_ROUND)]
            entries = [(name, str(self.version).encode()) for name in [*names, "beat.1"]]
            try:
                self.after = await self.bus.publish(entries, self.after)
            except UnreachableError:
                await asyncio.sleep(0.05)
                continue
            self.acknowledged.update(dict.fromkeys([*names, "beat.1"], self.version))
            return


class _Replica:
    """Takes over what it watches as a replica does, and objects if a version comes after a higher one."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.sequence = 0
        self.beat = 0

    async def follow(self, watch: AsyncGenerator[Delivered, None]) -> None:
        """Take everything; at a beat, nothing that was published before it is missing."""
        async for delivered in watch:
            version = int(delivered.data)
            assert delivered.sequence > self.sequence, "out of order"
            assert version >= self.beat, "what belongs before a beat came after it"
            self.sequence = delivered.sequence
            self.versions[delivered.name] = version
            if delivered.name == "beat.1":
                self.beat = version


async def _leader(cluster: NatsCluster, bus: NatsBus, stream: str) -> NatsServer:
    """Return the server that leads a stream."""

    async def ask() -> NatsServer:
        link = await bus._connection.link()
        message = await link.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout_s=5)
        return cluster.named(json.loads(message.data)["cluster"]["leader"])

    return await persist(ask, UnreachableError, KeyError)


async def _lose_leaders(cluster: NatsCluster, bus: NatsBus, stream: str, *, times: int) -> None:
    """Kill who leads a stream, start it again, and so on."""
    for _ in range(times):
        await asyncio.sleep(0.3)
        leader = await _leader(cluster, bus, stream)
        leader.kill()
        await asyncio.sleep(0.7)
        leader.begin()
        await persist(lambda: _leader(cluster, bus, stream), AssertionError)
        await asyncio.sleep(1.0)


async def _stands(bus: NatsBus, versions: dict[str, int]) -> None:
    """Whoever begins to watch gets these; a server that was away may answer before it has caught up."""
    assert {name: int(data) for name, data in (await everything(bus)).items()} == versions


@TIMES
def test_leaders_are_killed_while_entries_are_published(times: int) -> None:
    """Every acknowledged entry stands, who watches has all of them in order; a stale master is refused."""

    async def story(cluster: NatsCluster) -> None:
        master = _Master(await opened(cluster, "m", is_master=True))
        spectator = await opened(cluster, "r")
        stale = await opened(cluster, "old", is_master=True)
        replica = _Replica()
        watch = spectator.watch()
        following = asyncio.ensure_future(replica.follow(watch))
        killing = asyncio.ensure_future(_lose_leaders(cluster, spectator, "sealcast-entries", times=times))
        while not killing.done():
            await master.round()
        await killing
        await master.round()
        await until(lambda: replica.versions.get("beat.1") == master.version or following.done())
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await watch.aclose()
        await persist(lambda: _stands(spectator, master.acknowledged), AssertionError)
        assert replica.versions == master.acknowledged
        with pytest.raises(FencedError):
            await persist(lambda: stale.publish([("party.1", b"0")], master.after - 1), UnreachableError)
        await asyncio.gather(*(each.close() for each in (master.bus, spectator, stale)))

    with nats_cluster() as cluster:
        asyncio.run(story(cluster))


class _Ingest:
    """Records batches as a master does: each number once, in order, though they come again."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.recorded: list[tuple[str, int]] = []

    async def run(self, journal: AsyncGenerator[Submitted, None]) -> None:
        """Record everything; a gap would be a grant that is lost."""
        async for batch in journal:
            number, last = int(batch.data), self.numbers.get(batch.replica, 0)
            assert number <= last + 1, "a batch was passed over"
            if number == last + 1:
                self.numbers[batch.replica] = number
                self.recorded.append((batch.replica, number))
            try:
                await batch.done()
            except UnreachableError:
                continue


@TIMES
def test_leaders_are_killed_while_journals_are_submitted(times: int) -> None:
    """Every batch is recorded once and in its order, whatever came again."""

    async def story(cluster: NatsCluster) -> None:
        master = await opened(cluster, "m", is_master=True)
        replicas = [await opened(cluster, f"r{number}") for number in (1, 2)]
        ended = asyncio.Event()
        sent = {}

        async def submit(bus: NatsBus, name: str) -> None:
            for number in itertools.count(1):
                await persist(
                    lambda number=number: bus.submit(name, f"{name}:{number}", str(number).encode()),
                    UnreachableError,
                )
                sent[name] = number
                if ended.is_set():
                    return
                await asyncio.sleep(0.01)

        ingest = _Ingest()
        async with aclosing(master.journal()) as journal:
            recording = asyncio.ensure_future(ingest.run(journal))
            submitting = [submit(bus, f"r{number}") for number, bus in enumerate(replicas, start=1)]
            sending = asyncio.gather(*submitting)
            await _lose_leaders(cluster, master, "sealcast-journal", times=times)
            ended.set()
            await asyncio.wait_for(sending, BOUND_S)
            await until(lambda: ingest.numbers == sent or recording.done())
            recording.cancel()
            await asyncio.gather(recording, return_exceptions=True)
        assert ingest.numbers == sent
        assert len(ingest.recorded) == sum(sent.values())
        await asyncio.gather(*(each.close() for each in (master, *replicas)))

    with nats_cluster() as cluster:
        asyncio.run(story(cluster))


@pytest.mark.soak
def test_all_three_are_killed_and_come_back() -> None:
    """What was acknowledged is on their disks: entries, batches, and who is fenced."""

    async def story(cluster: NatsCluster) -> None:
        master = _Master(await opened(cluster, "m", is_master=True))
        replica = await opened(cluster, "r1")
        for _ in range(3):
            await master.round()
        await replica.submit("r1", "r1:1", b"1")
        cluster.stop()
        cluster.start()
        await master.round()
        stands = await persist(lambda: everything(replica), UnreachableError)
        assert {name: int(data) for name, data in stands.items()} == master.acknowledged
        await persist(lambda: replica.submit("r1", "r1:1", b"1"), UnreachableError)
        assert await persist(master.bus.journal_batches, UnreachableError) == 1
        with pytest.raises(FencedError):
            await persist(lambda: replica.publish([("party.1", b"0")], 0), UnreachableError)
        await asyncio.gather(master.bus.close(), replica.close())

    with nats_cluster() as cluster:
        asyncio.run(story(cluster))
