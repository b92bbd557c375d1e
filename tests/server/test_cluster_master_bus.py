"""Shows masters whose way to the bus breaks, and when a new one may say that replicas know all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest

from sealcast.cluster.sealing import EntrySealer
from sealcast.keyserver import store_principals
from sealcast.keyserver.store_principals import RegistryEntry
from sealcast.messages import operations
from sealcast.messages.jwk import new_oct_key
from sealcast.messages.requests import RegisteredKeys
from sealcast.server.cluster import rounds
from sealcast.server.cluster.master import Master
from sealcast.server.state import load_server_state
from sealcast.testing.bus import MemoryClient
from server import masters as places
from server.masters import Masters, Side, masters, until
from server.running import RANDOM
from storage.places import upgraded_engine

LEASE_MS = 1_000
AT_ONCE = 10
"""Parties in one round, in place of 100."""

MORE = 2 * AT_ONCE + 5
"""Parties that go out in three rounds."""


@pytest.fixture(autouse=True)
def _small_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PARTIES_AT_ONCE", AT_ONCE)


class NotingBus(MemoryClient):
    """A port to the bus in memory that notes what was published, entry by entry."""

    __slots__ = ("beats_s", "published", "sealer")

    def __init__(self, site: Masters, name: str) -> None:
        site.bus.client(name)
        super().__init__(site.bus, name)
        self.sealer = EntrySealer(site.secrets.cluster_key, site.secrets.publisher)
        self.published: list[tuple[str, str]] = []
        self.beats_s: list[float] = []

    async def publish(self, entries: Sequence[tuple[str, bytes]], after: int) -> int:
        """Do as the port does, and note what the bus took."""
        last = await super().publish(entries, after)
        opened = [self.sealer.open(data) for _, data in entries]
        self.published += [(each.kind, each.name) for each in opened]
        if opened[-1].kind == "beat":
            self.beats_s.append(asyncio.get_running_loop().time())
        return last


async def many(site: Masters) -> Side:
    """Have a master with a channel and more parties than go into two rounds; all is published."""
    side = Side(site, await site.open())
    await side.add_channel("news")
    await asyncio.gather(*(side.register(f"tv-{number}", "device") for number in range(MORE)))
    await side.operator.must(operations.SUBSCRIBER_ADD, channel="news", device="tv-7")
    await site.settled()
    return side


async def next_term(site: Masters) -> list[tuple[str, str]]:
    """Begin another master's term with a beat due at each round, and return what it publishes at first."""
    bus = NotingBus(site, "two")
    with mock.patch("sealcast.server.cluster.publishing.BEAT_S", 0):
        await site.open("two", bus=bus)
        await until(lambda: len({each for each in bus.published if each[0] == "party"}) == MORE)
        await until(lambda: bus.published[-1][0] == "beat")
    return bus.published


def test_beats_go_out_while_all_is_published_again() -> None:
    """Where the bus has all from before, a new term beats from its first round on, with what changed."""

    async def run() -> None:
        async with masters() as site:
            side = await many(site)
            site.bus.cut("one")
            await side.operator.must(operations.SUBSCRIBER_REMOVE, channel="news", device="tv-7")
            await site.close(side.master)
            published = await next_term(site)
            first_beat = published.index(("beat", ""))
            assert ("party", "tv-7") in published[:first_beat]
            assert first_beat <= AT_ONCE + 2
            assert sum(kind == "party" for kind, _ in published[:first_beat]) < MORE

    asyncio.run(run())


def test_no_beat_before_a_backlog_of_removals() -> None:
    """More changes than go into one round: the beat follows the last of them, and comes before the others."""

    async def run() -> None:
        async with masters() as site:
            side = await many(site)
            site.bus.cut("one")
            gone = [f"tv-{number}" for number in range(AT_ONCE + 1)]
            await asyncio.gather(*(side.operator.must(operations.REGISTRY_REMOVE, id=each) for each in gone))
            await site.close(side.master)
            published = await next_term(site)
            before = published[: published.index(("beat", ""))]
            assert {("party", each) for each in gone} <= set(before)
            assert len({each for each in before if each[0] == "party"}) < MORE

    asyncio.run(run())


@pytest.mark.soak
def test_replicas_stay_fresh_with_many_parties(monkeypatch: pytest.MonkeyPatch) -> None:
    """While 40,000 parties are published again there are beats all along, and not just at the end."""
    monkeypatch.undo()
    many_ids = [f"tv-{number}" for number in range(40_000)]

    async def run() -> None:
        async with masters() as site:
            add_parties(site, many_ids)
            one = await site.open("one")
            while not any(each.startswith("beat") for each in site.bus.entries()):  # noqa: ASYNC110 - as `until`
                await asyncio.sleep(1)
            await site.settled()
            await site.close(one)
            bus = NotingBus(site, "two")
            began_s = asyncio.get_running_loop().time()
            await site.open("two", bus=bus)
            async with asyncio.timeout(600):
                while len(bus.published) < len(many_ids) or bus.published[-1][0] != "beat":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            ends_s = asyncio.get_running_loop().time()
            instants_s = [began_s, *bus.beats_s, ends_s]
            longest_s = max(after - before for before, after in pairwise(instants_s))
            print(f"published in {ends_s - began_s:.1f} s, beats at most {longest_s:.1f} s apart")
            assert longest_s < (ends_s - began_s) / 5

    asyncio.run(run())


def add_parties(site: Masters, ids: Sequence[str]) -> None:
    """Add devices to the database, before there is a master."""
    state = load_server_state(site.folder / "one")
    keys = RegisteredKeys(signing=new_oct_key(RANDOM), kek=new_oct_key(RANDOM))
    engine = upgraded_engine(Path(site.database))
    with engine.begin() as connection:
        for each in ids:
            entry = RegistryEntry(each, "device", "symmetric", 1)
            store_principals.add(connection, entry, keys, state.master_key)
    engine.dispose()


def set_back(site: Masters) -> None:
    """Have the bus lose the beats at its end: all else stands, and less than it once acknowledged."""
    content = site.bus.content()
    while not content.log[-1].data or content.log[-1].name.startswith("beat"):
        content.newest.pop(content.log.pop().name, None)


def test_no_beat_before_all_where_the_bus_lost_something() -> None:
    """A bus that was made anew, one that was set back, and one that is ahead of a restored database."""

    async def run(harm: str) -> None:
        async with masters() as site:
            side = await many(site)
            await site.settled()
            await site.close(side.master)
            match harm:
                case "anew":
                    site.bus.forget()
                case "set back":
                    set_back(site)
                case "restored":
                    site.change("UPDATE cluster_lease SET version = 1")
            published = await next_term(site)
            before = published[: published.index(("beat", ""))]
            assert len({each for each in before if each[0] == "party"}) == MORE

    for harm in ("anew", "set back", "restored"):
        asyncio.run(run(harm))


def test_a_broken_off_first_publication_is_not_relied_on() -> None:
    """A term that ended before it had published everything to a bus made anew leaves no beat to the next."""

    async def run() -> None:
        async with masters() as site:
            side = await many(site)
            await site.close(side.master)
            site.bus.forget()
            site.bus.break_off("one", AT_ONCE)
            one = await site.open("one")
            await until(lambda: len(site.opened()) >= AT_ONCE)
            site.bus.cut("one")
            await site.close(one)
            published = await next_term(site)
            before = published[: published.index(("beat", ""))]
            assert len({each for each in before if each[0] == "party"}) == MORE

    asyncio.run(run())


def test_a_master_without_the_bus_yields_to_one_that_has_it() -> None:
    """After a lease without the bus another takes over that reaches it, and the first does not come back."""

    async def run() -> None:
        async with two_masters() as (site, one, two):
            await cut(site, "one")
            await leases_pass(site, until_term=2)
            await until(lambda: two.term is not None and one.term is None)
            assert (await site.settled()).master == "two"
            await leases_pass(site)
            assert (site.term, one.term) == (2, None)

    asyncio.run(run())


def test_nobody_yields_where_nobody_has_the_bus() -> None:
    """Two masters without the bus: the first stays, and at its end the other is master all the same."""

    async def run() -> None:
        async with two_masters() as (site, one, two):
            await cut(site, "two")
            await cut(site, "one")
            await leases_pass(site)
            assert (site.term, two.term) == (1, None)
            await site.close(one)
            await until(lambda: two.term is not None)

    asyncio.run(run())


def test_a_bus_that_takes_nothing_is_no_reason_to_yield() -> None:
    """A bus that answers and takes no entries would take none of another master's either."""

    async def run() -> None:
        async with two_masters() as (site, one, two):
            site.bus.lose_acknowledgements("one", 1_000)
            await leases_pass(site)
            assert (site.term, two.term) == (1, None)
            assert one.term is not None

    asyncio.run(run())


@contextlib.asynccontextmanager
async def two_masters() -> AsyncIterator[tuple[Masters, Master, Master]]:
    """Give a master and another that stands by, with short leases."""
    with mock.patch.object(places, "LEASE_MS", LEASE_MS):
        async with masters() as site:
            one, two = await site.open("one"), await site.open("two")
            await site.settled()
            yield site, one, two


async def cut(site: Masters, name: str) -> None:
    """Cut a master off from the bus, and let those who stand by say whether they reach it."""
    site.bus.cut(name)
    await leases_pass(site, turns=1)


async def leases_pass(site: Masters, *, turns: int = 5, until_term: int | None = None) -> None:
    """Let most of a lease pass on all clocks, `turns` times or to a term, each time until it was renewed."""
    for _ in range(20 if until_term else turns):
        site.pass_ms(LEASE_MS * 7 // 10)
        await asyncio.sleep(0.05)
        await until(lambda: lease_of(site)[1] in (0, site.wall_ms + LEASE_MS))
        if lease_of(site)[0] == until_term or lease_of(site)[1] == 0:
            await until(lambda: lease_of(site)[1] != 0)
            return
    assert until_term is None, "no other master took over"


def lease_of(site: Masters) -> tuple[int, int]:
    """Return the lease's term and when it expires."""
    ((term, expires_at_ms),) = site.read("SELECT term, expires_at_ms FROM cluster_lease")
    return int(term), int(expires_at_ms)
