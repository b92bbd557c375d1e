"""Shows a key server and a reception manager, as processes, each killed in the middle of key requests."""

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from cli.terminal import Terminal
from faults.nursery import Child, Forks, Nursery
from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, UnreachableError
from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.messages.subscribing import Stopped
from server.apart import Site, make_site
from server.running import RANDOM, Caller, Running, client
from server.test_request_key import on_air, subscriber

DEVICES = 4
READY_S, PATIENCE_S = 60, 60
READY_LINES = {"keyserver": "key server listens on", "reception": "reception manager listens on"}
UNAVAILABLE = {"reception-unavailable", "busy", "internal"}


class Program:
    """`sealcast serve`, killed and started again under the same address."""

    def __init__(self, nursery: Nursery, *arguments: str, **environment: str) -> None:
        self.nursery, self.arguments, self.environment = nursery, arguments, environment
        self.child: Child | None = None

    async def start(self) -> None:
        """Start it; it listens when this returns."""
        self.child = self.nursery.start("serve", *self.arguments, **self.environment)
        await asyncio.to_thread(self.child.wait_for_line, READY_LINES[self.arguments[0]], READY_S)

    async def kill(self) -> None:
        """End it as a power failure does."""
        assert self.child is not None
        await asyncio.to_thread(self.child.kill)


def programs_of(site: Site, port: int, nursery: Nursery) -> dict[str, Program]:
    """Return a key server and its reception manager, not started yet."""
    place = f"127.0.0.1:{site.ports[0]}"
    return {
        "manager": Program(nursery, "reception", "--state", str(site.managers[0]), "--listen", place),
        "key server": Program(
            nursery,
            *("keyserver", "--state", str(site.keys), "--listen", f"127.0.0.1:{port}", "--events", "off"),
            SEALCAST_KEYSERVER_RECEPTION=site.urls[0],
            SEALCAST_KEYSERVER_URLS=f"https://127.0.0.1:{port}",
        ),
    }


async def insist(device: KeyServerClient, operation: operations.Operation, kind: type[msgspec.Struct]):
    """Ask until there is an answer, as a receiver does."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await device.expect(operation, kind, channel="news")
            except UnreachableError:
                await asyncio.sleep(0.05)
            except RefusedError as no:
                if no.type not in UNAVAILABLE:
                    raise
                await asyncio.sleep(0.05)


async def view(credential: Credential, ended: asyncio.Event) -> Counter[str]:
    """Ask for keys again and again, stop now and then; return how often each was answered."""
    done: Counter[str] = Counter()
    async with KeyServerClient(credential, RANDOM) as device:
        while not ended.is_set():
            grant = await insist(device, operations.KEYS, Grant)
            assert len(grant.keys) == 2
            done["keys"] += 1
            if done["keys"] % 5 == 0:
                stopped = await insist(device, operations.STOP, Stopped)
                done["stopped"] += stopped.number is not None
        await insist(device, operations.KEYS, Grant)
    return done


def rows(path: Path, query: str) -> list[tuple]:
    """Read a database that is in use."""
    with contextlib.closing(sqlite3.connect(path / "keyserver.sqlite", timeout=10)) as database:
        return database.execute(query).fetchall()


def check(site: Site, answered: list[Counter[str]]) -> None:
    """Assert that what was answered is on disk on both sides, and that history agrees with itself."""
    granted = {device for (device,) in rows(site.keys, "SELECT DISTINCT device FROM grants")}
    found = rows(
        site.managers[0],
        "SELECT device, since_ms, ended_at_ms, reason FROM receptions ORDER BY device, number",
    )
    assert granted == {device for device, *_ in found} == {f"tv-{number}" for number in range(DEVICES)}
    for number, done in enumerate(answered):
        mine = [row for row in found if row[0] == f"tv-{number}"]
        assert [row[2] is None for row in mine] == [False] * (len(mine) - 1) + [True]
        assert {row[3] for row in mine[:-1]} <= {"stopped"}
        for before, after in pairwise(mine):
            assert before[2] <= after[1]
        # A stop that was recorded may have been answered by nobody; never the other way round.
        assert len(mine) - 1 >= done["stopped"] > 0


async def prepare(operator: Caller, directory: Path) -> list[Caller]:
    """Put a channel on air and subscribe the devices."""
    server = Running(directory, operator.url, operator)
    await on_air(server)
    return [await subscriber(server, f"tv-{number}") for number in range(DEVICES)]


async def story(site: Site, port: int, nursery: Nursery, victims: list[str], seed: int) -> None:
    """Kill one program after the other while the devices ask."""
    chance, ended = random.Random(seed), asyncio.Event()  # noqa: S311 - a seeded story
    programs = programs_of(site, port, nursery)
    await asyncio.gather(*(each.start() for each in programs.values()))
    async with client(site.credential, f"https://127.0.0.1:{port}") as operator:
        callers = await prepare(operator, site.keys)
    viewing = [asyncio.create_task(view(each.credential, ended)) for each in callers]
    for victim in victims:
        await asyncio.sleep(chance.uniform(0.3, 0.8))
        await programs[victim].kill()
        await programs[victim].start()
    await asyncio.sleep(0.5)
    ended.set()
    check(site, await asyncio.gather(*viewing))


def run(folder: Path, forks: Forks, victims: list[str], seed: int) -> None:
    """Run a story over fresh states."""
    site = make_site(folder)
    port = int(site.credential.servers[0].rpartition(":")[2])
    (folder / "sealcast.toml").touch()
    with Nursery(Terminal(folder), forks) as nursery:
        asyncio.run(story(site, port, nursery, victims, seed))


def test_each_killed_once(tmp_path: Path, forks: Forks) -> None:
    """After each kill every device is answered again; what was answered is recorded, and one lives."""
    run(tmp_path, forks, ["key server", "manager"], seed=1)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3])
def test_killed_again_and_again(tmp_path: Path, forks: Forks, seed: int) -> None:
    """The same over twenty kills, in any order."""
    chance = random.Random(seed)  # noqa: S311 - a seeded story
    run(tmp_path, forks, [chance.choice(["key server", "manager"]) for _ in range(20)], seed)
