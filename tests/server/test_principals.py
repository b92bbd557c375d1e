"""Shows what is remembered of callers: found once, forgotten at every change, and unknown ones bounded."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from sealcast.core.secret import Secret
from sealcast.keyserver import store_principals
from sealcast.keyserver.store_principals import KEY_PAIR, RegistryEntry
from sealcast.messages.jwk import new_sealing_pair, new_signing_pair
from sealcast.messages.requests import RegisteredKeys
from sealcast.server import principals as subject
from sealcast.server.principals import Principals
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.unitofwork import Batch, UnitOfWork
from sealcast.testing import SimRandom

RANDOM = SimRandom(1)
MASTER = Secret(bytes(32))


class Registry:
    """A database with its principals, that counts the units of work that were asked of it."""

    def __init__(self, directory: Path) -> None:
        engine = open_engine(directory / "keyserver.sqlite")
        upgrade(engine)
        self.units = 0
        self.principals = Principals((), MASTER)
        self.unit_of_work = UnitOfWork(engine, on_batch=self._count)

    def _count(self, batch: Batch) -> None:
        self.units += batch.units

    async def find(self, name: str) -> subject.Principal | None:
        """Look for a caller."""
        return await self.principals.find(name, self.unit_of_work)

    async def register(self, name: str) -> None:
        """Register a device with fresh keys."""
        keys = RegisteredKeys(new_signing_pair(RANDOM).public(), new_sealing_pair(RANDOM).public())
        entry = RegistryEntry(name, "device", KEY_PAIR, 1)

        def work(connection: sa.Connection) -> None:
            store_principals.add(connection, entry, keys, MASTER)
            self.principals.forget(name)

        await self.unit_of_work.run(work)

    async def remove(self, name: str) -> None:
        """Remove a device."""

        def work(connection: sa.Connection) -> None:
            store_principals.remove(connection, name, 2)
            self.principals.forget(name)

        await self.unit_of_work.run(work)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Give an empty registry."""
    made = Registry(tmp_path)
    yield made
    made.unit_of_work.close()


def test_flood_of_one_unknown_kid_costs_one_read(registry: Registry) -> None:
    """An id that belongs to nobody is read once, until somebody registers under it."""

    async def story() -> None:
        for _ in range(1_000):
            assert await registry.find("stranger") is None
        assert registry.units == 1
        await registry.register("stranger")
        found = await registry.find("stranger")
        assert found is not None
        assert await registry.find("stranger") is found

    asyncio.run(story())


def test_flood_of_unknown_kids_takes_bounded_memory(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ever new unknown ids push each other out of a bounded memory; known parties are still found."""

    async def story() -> None:
        await registry.register("tv")
        monkeypatch.setattr(subject, "UNKNOWN_MAX", 10)
        for number in range(100):
            assert await registry.find(f"stranger-{number}") is None
            assert len(registry.principals._unknown) <= 10
        assert await registry.find("tv") is not None

    asyncio.run(story())


def test_changed_party_is_not_remembered(registry: Registry) -> None:
    """After removal nobody is found, after a new registration the new keys, also for a waiting request."""

    async def story() -> None:
        await registry.register("tv")
        first = await registry.find("tv")
        assert first is not None
        run, current = registry.unit_of_work.run, registry.principals.current
        assert await run(lambda connection: current(connection, first)) is first
        await registry.remove("tv")
        assert await registry.find("tv") is None
        assert await run(lambda connection: current(connection, first)) is None
        await registry.register("tv")
        second = await registry.find("tv")
        assert second is not None
        assert second.signing != first.signing
        assert await run(lambda connection: current(connection, first)) is second

    asyncio.run(story())


def test_full_memory_is_read_anew(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more parties than are remembered each is still found as it is."""

    async def story() -> None:
        monkeypatch.setattr(subject, "REMEMBERED_MAX", 2)
        for number in range(5):
            await registry.register(f"tv-{number}")
        for number in (0, 1, 2, 3, 4, 0):
            found = await registry.find(f"tv-{number}")
            assert found is not None
            assert found.id == f"tv-{number}"

    asyncio.run(story())
