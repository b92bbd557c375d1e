"""What the tests of the bus share: how to read some of what is watched, and how to wait, within bounds."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from lab.nats import NatsCluster, NatsServer
from sealcast.cluster.bus import Bus, Delivered, Submitted
from sealcast.cluster.natsbus import NatsBus, open_nats_bus
from sealcast.cluster.natslink import NatsSettings
from sealcast.transport.system import SystemRandom

BOUND_S = 60.0
"""For anything at all on a busy machine."""

RANDOM = SystemRandom()


def settings_of(
    bus: NatsServer | NatsCluster, name: str, *, is_master: bool, prefix: str = "sealcast"
) -> NatsSettings:
    """Return how a server named `name` finds a bus of the laboratory."""
    servers = bus.urls if isinstance(bus, NatsCluster) else (bus.url,)
    return NatsSettings(servers=servers, name=name, is_master=is_master, prefix=prefix)


async def connected(settings: NatsSettings) -> NatsBus:
    """Return a port to a bus that is there, once it is connected: on a busy machine that takes a while."""
    bus = await open_nats_bus(settings, RANDOM)
    await until(lambda: bus.is_up)
    return bus


async def opened(bus: NatsServer | NatsCluster, name: str, *, is_master: bool = False) -> NatsBus:
    """Return a connected port to a bus of the laboratory."""
    return await connected(settings_of(bus, name, is_master=is_master))


async def some(watch: AsyncGenerator[Delivered, None], count: int) -> list[Delivered]:
    """Return the next `count` entries; the watch goes on."""
    async with asyncio.timeout(BOUND_S):
        return [await anext(watch) for _ in range(count)]


async def until_last(watch: AsyncGenerator[Delivered, None]) -> dict[str, bytes]:
    """Return what a watch brings until it has caught up, the newest of each name."""
    found = {}
    async with asyncio.timeout(BOUND_S):
        async for delivered in watch:
            found[delivered.name] = delivered.data
            if delivered.is_last:
                break
    return found


async def next_batch(journal: AsyncGenerator[Submitted, None]) -> Submitted:
    """Return the next batch of a journal."""
    async with asyncio.timeout(BOUND_S):
        return await anext(journal)


async def everything(bus: Bus) -> dict[str, bytes]:
    """Return the newest data of every name."""
    async with aclosing(bus.watch()) as watch:
        return await until_last(watch)


async def persist(attempt: Callable, *errors: type[Exception]):
    """Return what `attempt` gives as soon as it raises none of the errors."""
    async with asyncio.timeout(BOUND_S):
        while True:
            try:
                return await attempt()
            except errors:
                await asyncio.sleep(0.1)


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(BOUND_S):
        while not holds():  # noqa: ASYNC110 - it is told by no event
            await asyncio.sleep(0.05)


async def until_empty(bus: NatsBus) -> None:
    """Wait until the bus has forgotten all batches; where there are several servers, that follows `done`."""
    async with asyncio.timeout(BOUND_S):
        while await bus.journal_batches():  # noqa: ASYNC110 - it is told by no event
            await asyncio.sleep(0.05)
