"""What every bus does, the one in memory and NATS alike: order, fencing, journals once and in order."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from cluster.buses import RANDOM, connected, everything, next_batch, persist, settings_of, some, until_last
from lab.nats import NatsServer, nats_server
from sealcast.core.errors import FencedError, UnreachableError
from sealcast.testing.bus import MemoryBus


class _Memory:
    """The bus in memory, opened as the other one is."""

    def __init__(self) -> None:
        self.bus = MemoryBus()

    async def open(self, name: str, *, is_master: bool = False):
        """Return a port of this bus."""
        _ = is_master
        return self.bus.client(name)


class _Nats:
    """NATS, each test with a prefix of its own."""

    def __init__(self, server: NatsServer, prefix: str) -> None:
        self.server, self.prefix = server, prefix

    async def open(self, name: str, *, is_master: bool = False):
        """Return a port of this bus."""
        return await connected(settings_of(self.server, name, is_master=is_master, prefix=self.prefix))


@pytest.fixture(scope="module")
def server() -> Iterator[NatsServer]:
    """One NATS server for all tests here."""
    with nats_server() as running:
        yield running


@pytest.fixture(params=["memory", "nats"])
def bus(request):
    """Give a bus on which nothing stands."""
    if request.param == "memory":
        return _Memory()
    prefix = "t" + RANDOM.bytes(6).hex()
    return _Nats(request.getfixturevalue("server"), prefix)


def _entries(first: int, count: int) -> list[tuple[str, bytes]]:
    return [(f"party.{number}", f"{number}".encode()) for number in range(first, first + count)]


def test_entries_come_in_the_order_of_publication(bus) -> None:
    """Who watches is given the newest of each name, then what comes, and knows when it has all."""

    async def story() -> None:
        master, replica = await bus.open("m", is_master=True), await bus.open("r")
        assert await master.last_sequence() == 0
        last = await master.publish([*_entries(1, 3), ("party.2", b"new")], 0)
        assert last == await master.last_sequence() == 4
        async with aclosing(replica.watch()) as watch:
            found = await some(watch, 3)
            assert [each.name for each in found] == ["party.1", "party.3", "party.2"]
            assert [each.data for each in found] == [b"1", b"3", b"new"]
            assert [each.is_last for each in found] == [False, False, True]
            await master.publish([("beat.1", b"b")], last)
            assert [each.name for each in await some(watch, 1)] == ["beat.1"]
        await master.close()
        await replica.close()

    asyncio.run(story())


def test_thousands_of_entries_are_published_at_once(bus) -> None:
    """A publication of several batches stands whole and in order."""

    async def story() -> None:
        master, replica = await bus.open("m", is_master=True), await bus.open("r")
        entries = _entries(1, 2_500)
        assert await master.publish(entries, 0) == 2_500
        async with aclosing(replica.watch()) as watch:
            found = await some(watch, 2_500)
        assert [(each.name, each.data) for each in found] == entries
        assert [each.sequence for each in found] == list(range(1, 2_501))
        await master.close()
        await replica.close()

    asyncio.run(story())


def test_only_one_publisher_goes_on(bus) -> None:
    """Who did not see another's publication is refused, with one entry as with many, and changes nothing."""

    async def story() -> None:
        old, new = await bus.open("old", is_master=True), await bus.open("new", is_master=True)
        last = await old.publish(_entries(1, 2), 0)
        assert await new.last_sequence() == last
        taken = await new.publish([("party.1", b"new")], last)
        for refused in (_entries(1, 1), _entries(1, 5)):
            with pytest.raises(FencedError, match="another master"):
                await old.publish(refused, last)
        assert await everything(new) == {"party.2": b"2", "party.1": b"new"}
        # Who takes over again goes on after what it then sees.
        assert await old.publish(_entries(1, 1), taken) == taken + 1
        await old.close()
        await new.close()

    asyncio.run(story())


def test_an_unknown_own_publication_is_no_fence(bus) -> None:
    """Who published without hearing of it goes on after it, though it names the sequence before."""

    async def story() -> None:
        master = await bus.open("m", is_master=True)
        await master.publish(_entries(1, 3), 0)
        assert await master.publish([("party.1", b"again")], 0) == 4
        assert await everything(master) == {"party.2": b"2", "party.3": b"3", "party.1": b"again"}
        await master.close()

    asyncio.run(story())


def test_nothing_is_published_in_no_time(bus) -> None:
    """A publication of nothing is none."""

    async def story() -> None:
        master = await bus.open("m", is_master=True)
        assert await master.publish([], 7) == 7
        await master.close()

    asyncio.run(story())


def test_batches_come_once_and_in_order(bus) -> None:
    """The same message id counts once; the next batch comes when the one before is done."""

    async def story() -> None:
        master, replica = await bus.open("m", is_master=True), await bus.open("r1")
        for number in (1, 2, 2, 1, 3):
            await replica.submit("r1", f"j:{number}", f"{number}".encode())
        async with aclosing(master.journal()) as journal:
            for number in (1, 2, 3):
                batch = await next_batch(journal)
                assert (batch.replica, batch.data) == ("r1", f"{number}".encode())
                await batch.done()
            waiting = asyncio.ensure_future(anext(journal))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await replica.submit("r1", "j:4", b"4")
            assert (await waiting).data == b"4"
        await master.close()
        await replica.close()

    asyncio.run(story())


def test_a_batch_that_is_not_done_comes_again(bus) -> None:
    """Before any later one, to the same reader and to another one after it."""

    async def story() -> None:
        master, replica = await bus.open("m", is_master=True), await bus.open("r1")
        for number in (1, 2):
            await replica.submit("r1", f"j:{number}", f"{number}".encode())
        async with aclosing(master.journal()) as journal:
            assert [(await next_batch(journal)).data for _ in range(2)] == [b"1", b"1"]
        other = await bus.open("m2", is_master=True)
        async with aclosing(other.journal()) as journal:
            again = await next_batch(journal)
            assert again.data == b"1"
            await again.done()
            assert (await next_batch(journal)).data == b"2"
        for each in (master, replica, other):
            await each.close()

    asyncio.run(story())


def test_close_ends_what_waits(bus) -> None:
    """A watch and a journal in which nothing comes end with their bus, which raises afterwards."""

    async def story() -> None:
        master = await bus.open("m", is_master=True)

        async def rest(iterator) -> list[object]:
            return [each async for each in iterator]

        waiting = [asyncio.ensure_future(rest(each)) for each in (master.watch(), master.journal())]
        await asyncio.sleep(0.1)
        await master.close()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 5) == [[], []]
        with pytest.raises(UnreachableError):
            await master.publish(_entries(1, 1), 0)

    asyncio.run(story())


def test_two_watch_independently(bus) -> None:
    """Who comes later is given all that stands; nobody takes anything from another."""

    async def story() -> None:
        master, first, second = await bus.open("m", is_master=True), await bus.open("a"), await bus.open("b")
        last = await master.publish(_entries(1, 2), 0)
        early = first.watch()
        assert len(await until_last(early)) == 2
        await master.publish(_entries(3, 1), last)
        assert list(await everything(second)) == ["party.1", "party.2", "party.3"]
        assert await until_last(early) == {"party.3": b"3"}
        await early.aclose()
        for each in (master, first, second):
            await each.close()

    asyncio.run(story())


def test_a_replica_may_come_before_the_master(bus) -> None:
    """It waits for the first entry; a batch is taken once there is somewhere to put it."""

    async def story() -> None:
        replica = await bus.open("r")
        watching = asyncio.ensure_future(everything(replica))
        await asyncio.sleep(0.1)
        master = await bus.open("m", is_master=True)
        await master.publish(_entries(1, 1), 0)
        assert await asyncio.wait_for(watching, 20) == {"party.1": b"1"}
        await persist(lambda: replica.submit("r", "j:1", b"x"), UnreachableError)
        await master.close()
        await replica.close()

    asyncio.run(story())
