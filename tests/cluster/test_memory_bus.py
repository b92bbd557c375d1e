"""The faults that the bus in memory has on command; what it shares with the real one is in test_bus.py."""

import asyncio
from contextlib import aclosing

import pytest

from sealcast.core.errors import FencedError, UnreachableError
from sealcast.testing.bus import MemoryBus

BOUND_S = 5.0


async def _names(client, count: int) -> list[tuple[str, bytes]]:
    """Return the next entries that a fresh watch brings."""
    found = []
    async with asyncio.timeout(BOUND_S), aclosing(client.watch()) as watch:
        async for delivered in watch:
            found.append((delivered.name, delivered.data))
            if len(found) == count:
                break
    return found


def test_who_is_cut_off_hears_nothing_and_then_everything() -> None:
    """A partition of one client stops all it does, and what it watches goes on afterwards."""

    async def story() -> None:
        bus = MemoryBus()
        master, replica = bus.client("m"), bus.client("r")
        after = await master.publish([("a", b"1")], 0)
        watch = replica.watch()
        assert (await anext(watch)).data == b"1"
        bus.cut("r")
        await master.publish([("a", b"2"), ("b", b"3")], after)
        with pytest.raises(UnreachableError):
            await replica.submit("r", "id", b"x")
        waiting = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bus.heal("r")
        assert (await waiting).data == b"2"
        assert (await anext(watch)).is_last

    asyncio.run(story())


def test_a_lost_acknowledgement_fences_nobody() -> None:
    """What was published or submitted stands; going on from before it is no fence, and counts once."""

    async def story() -> None:
        bus = MemoryBus()
        master, other = bus.client("m"), bus.client("o")
        bus.lose_acknowledgements("m", 2)
        with pytest.raises(UnreachableError):
            await master.publish([("a", b"1")], 0)
        with pytest.raises(UnreachableError):
            await master.submit("r", "id", b"x")
        assert await master.publish([("a", b"2")], 0) == 2
        await master.submit("r", "id", b"x")
        assert bus.waiting_batches == 1
        with pytest.raises(FencedError):
            await other.publish([("a", b"3")], 1)
        assert bus.entries() == {"a": b"2"}

    asyncio.run(story())


def test_a_publication_that_breaks_off_stands_in_its_order() -> None:
    """The first entries stand, the others do not, and the same client may go on."""

    async def story() -> None:
        bus = MemoryBus()
        master = bus.client("m")
        bus.break_off("m", 1)
        with pytest.raises(UnreachableError):
            await master.publish([("a", b"1"), ("b", b"2")], 0)
        assert bus.entries() == {"a": b"1"}
        assert await master.publish([("b", b"3")], 0) == 2

    asyncio.run(story())


def test_deliveries_are_held_back_and_repeated() -> None:
    """While one client's deliveries are held back it may submit; later it can be given all of them again."""

    async def story() -> None:
        bus = MemoryBus()
        master, replica = bus.client("m"), bus.client("r")
        bus.hold("r")
        await master.publish([("a", b"1"), ("b", b"2")], 0)
        await replica.submit("r", "id", b"x")
        waiting = asyncio.ensure_future(_names(replica, 4))
        await asyncio.sleep(0.01)
        bus.release("r")
        await asyncio.sleep(0.01)
        bus.repeat("r")
        assert await waiting == [("a", b"1"), ("b", b"2")] * 2

    asyncio.run(story())


def test_a_batch_that_is_not_done_comes_again() -> None:
    """Also if the acknowledgement was lost; the next batch waits for it."""

    async def story() -> None:
        bus = MemoryBus()
        master, replica = bus.client("m"), bus.client("r")
        for number in (1, 2):
            await replica.submit("r", f"id{number}", f"{number}".encode())
        journal = master.journal()
        assert (await anext(journal)).data == b"1"
        again = await anext(journal)
        bus.lose_acknowledgements("m")
        with pytest.raises(UnreachableError):
            await again.done()
        again = await anext(journal)
        assert again.data == b"1"
        assert again.replica == "r"
        await again.done()
        assert (await anext(journal)).data == b"2"

    asyncio.run(story())


def test_close_ends_what_waits() -> None:
    """A watch and a journal that wait end when their client is closed."""

    async def story() -> None:
        client = MemoryBus().client("r")
        waiting = [asyncio.ensure_future(_names(client, 1)), asyncio.ensure_future(_all(client.journal()))]
        await asyncio.sleep(0.01)
        await client.close()
        assert await asyncio.gather(*waiting) == [[], []]

    asyncio.run(story())


async def _all(iterator) -> list[object]:
    return [each async for each in iterator]
