"""Owns what load tests of event streams stand on: a server that knows thousands, crowds, steady requests."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import msgspec
import psutil

from sealcast.core.ids import ChannelNumber
from sealcast.device.vault import Credential
from sealcast.keyserver import store_principals
from sealcast.keyserver.store_principals import RegistryEntry
from sealcast.messages import operations
from sealcast.messages.encoding import encode
from sealcast.messages.requests import RegisteredKeys
from sealcast.server.state import load_server_state
from sealcast.storage.engine import open_engine
from sealcast.subscribers import store as allow_list
from sealcast.subscribers.store import Subscription
from server.crowd import Crowd, Status, device_keys, device_name
from server.running import Caller, Running, client, free_port, make_state, material

PROGRAM = Path(__file__).with_name("serve.py")
WAIT_S = 120


@dataclass
class Loaded:
    """A server process, with a channel on air and devices that are subscribed to it."""

    server: Running
    events_port: int
    process: asyncio.subprocess.Process
    sender: Caller
    number: int
    slots: list[tuple[int, int]]
    used: int = 0
    published: list[str] = field(default_factory=list)

    def device(self, number: int) -> Caller:
        """Return the side of a device."""
        signing, kek = device_keys(number)
        credential = msgspec.structs.replace(
            self.server.operator.credential, role="device", id=device_name(number), signing=signing, kek=kek
        )
        return self.server.caller(credential)

    @property
    def event_process(self) -> psutil.Process:
        """The event process."""
        (child,) = psutil.Process(self.process.pid).children()
        return child

    async def restart(self) -> None:
        """Kill the key server with SIGKILL and start it again."""
        self.process.kill()
        await self.process.wait()
        self.process = await _started(self.server.directory, self.server.url, self.events_port)

    async def publish_next(self) -> str:
        """Publish the next key and return its key ID."""
        _, epoch = self.slots[self.used]
        self.used += 1
        key = material(self.number, epoch)
        assert (await self.server.publish(self.sender, "news", key)).status == 200
        return key.key_id


@contextlib.asynccontextmanager
async def loaded(directory: Path, devices: int) -> AsyncIterator[Loaded]:
    """Run a server that knows `devices` devices, with channel `news` on air."""
    port, events_port = free_port(), free_port()
    credential = make_state(directory, port)
    url = f"https://127.0.0.1:{port}"
    async with client(credential, url) as operator:
        server = Running(directory, url, operator)
        process = await _started(directory, url, events_port)
        place = Loaded(server, events_port, process, operator, 0, [])
        try:
            place.number = (await server.add_channel("news")).channel.number
            await asyncio.to_thread(_register, directory, place.number, devices)
            place.sender = await server.register("studio", "sender", channels=["news"])
            lease = await place.sender.must(operations.LEASE, channel="news")
            place.slots = [(slot.ssrc, slot.epoch) for slot in lease.slots]
            await place.publish_next()
            assert (await server.report(place.sender, "news", *place.slots[0])).status == 200
            yield place
        finally:
            if place.process.returncode is None:
                place.process.kill()
            await place.process.wait()


async def _started(directory: Path, url: str, events_port: int) -> asyncio.subprocess.Process:
    """Start a key server and return it once it is ready."""
    arguments = str(PROGRAM), str(directory), url.rpartition(":")[2], str(events_port)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert (await asyncio.wait_for(process.stdout.readline(), WAIT_S)).startswith(b"https://")
    return process


def _register(directory: Path, channel: int, devices: int) -> None:
    """Write devices and subscriptions into the database, 100 at a time: by requests it takes a minute."""
    master = load_server_state(directory).master_key
    engine = open_engine(directory / "keyserver.sqlite")
    for begin in range(0, devices, 100):
        with engine.connect() as connection, connection.begin():
            for number in range(begin, min(devices, begin + 100)):
                signing, kek = device_keys(number)
                entry = RegistryEntry(device_name(number), "device", store_principals.SYMMETRIC, 1)
                store_principals.add(connection, entry, RegisteredKeys(signing=signing, kek=kek), master)
                allow_list.add(connection, Subscription(ChannelNumber(channel), entry.id, 1))
    engine.dispose()


@dataclass
class CrowdProcess:
    """A crowd that runs."""

    process: asyncio.subprocess.Process

    async def status(self) -> Status:
        """Ask what was heard so far."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        return await self.said()

    async def said(self) -> Status:
        """Wait for what the crowd says next."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), WAIT_S)
        return msgspec.json.decode(line, type=Status)

    async def heard(self, key_id: str, count: int, within_s: float = 30.0) -> Status:
        """Wait until so many have heard of a key, and return the status then."""
        for _ in range(int(within_s / 0.2)):
            status = await self.status()
            if any(each.key_id == key_id and each.count >= count for each in status.heard):
                return status
            await asyncio.sleep(0.2)
        raise AssertionError(f"{count} were to hear of {key_id}: {status}")

    async def all_open_again(self, count: int, *, cuts: int) -> None:
        """Wait until so many are open after so many cuts."""
        for _ in range(int(WAIT_S / 0.2)):
            status = await self.status()
            if status.open == count and status.cut_off >= cuts:
                return
            await asyncio.sleep(0.2)
        raise AssertionError(f"{count} were to be open again: {status}")


@contextlib.asynccontextmanager
async def crowd(
    place: Loaded, first: int, count: int, *, at_once: int = 64, returns: bool = False
) -> AsyncIterator[CrowdProcess]:
    """Run devices `first` and on at their event streams."""
    credential: Credential = place.server.operator.credential
    settings = Crowd(
        keyserver=place.server.url,
        port=place.events_port,
        ca_pem=credential.ca_pem,
        operator=credential.operator,
        channel="news",
        first=first,
        count=count,
        at_once=at_once,
        returns=returns,
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("crowd.py")),
        encode(settings).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield CrowdProcess(child)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


class SteadyRequests:
    """Key requests at an even rate, whatever becomes of those before; used in an `async with`.

    A latency counts from the instant at which a request was due, in seconds.
    """

    def __init__(self, devices: list[Caller], per_s: float) -> None:
        self._devices, self._per_s = devices, per_s
        self.done: list[tuple[float, float]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        for device in self._devices:
            await device.must(operations.KEYS, channel="news")
        self._runner = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        await asyncio.gather(*self._tasks)

    def between(self, begin_s: float, end_s: float) -> list[float]:
        """Return the latencies of requests that were due in a stretch of time, sorted."""
        return sorted(latency for due, latency in self.done if begin_s <= due < end_s)

    async def _run(self) -> None:
        due = time.monotonic()
        for turn in range(1_000_000):
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            task = asyncio.create_task(self._ask(self._devices[turn % len(self._devices)], due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            due += 1 / self._per_s

    async def _ask(self, device: Caller, due: float) -> None:
        await device.must(operations.KEYS, channel="news")
        self.done.append((due, time.monotonic() - due))


def percentile(latencies: list[float], part: float) -> float:
    """Return the latency that `part` of sorted ones do not exceed, in ms."""
    return 1_000 * latencies[min(len(latencies) - 1, int(part * len(latencies)))]
