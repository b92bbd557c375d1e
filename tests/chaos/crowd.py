"""Owns a crowd: a program that is many receivers of one host, each whole and with a key client of its own.

Two cores carry the whole laboratory, so receivers share sockets and the arithmetic of signature checks. The
argument is a `Crowd` in JSON. With SIGTERM it ends all of them and writes the `Home` to its file.
"""

import asyncio
import hashlib
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import msgspec

from chaos.records import Crowd, Given, Home, Life, Watcher, extend
from chaos.shared_air import AIR, Air, Member, place_of
from sealcast.client import KeyServerClient
from sealcast.core.errors import SealcastError
from sealcast.messages.answers import Grant
from sealcast.receiver import control, run
from sealcast.receiver.keyring import HeldKey
from sealcast.receiver.session import ReceiverSession
from sealcast.receiver.settings import ReceiveSettings
from sealcast.receiver.values import Slab
from sealcast.transport.system import SystemClock, SystemRandom
from simulation.crowd import SharedKey

ARRIVALS_S = 3.0
"""All receivers come within this, or as many as one core's TLS lets in."""

END_S = 8.0
REORDER_MS = 20

LIFE: ContextVar[Life] = ContextVar("life")
SERVER: ContextVar[Callable[[], str]] = ContextVar("server")


class Watched(ReceiverSession):
    """A session that writes down which packets it opened and which keys it was given."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._life, self._server = LIFE.get(), SERVER.get()

    def _open(self, held: HeldKey, packet: bytes, arrived_ns: int, now: int) -> None:
        before = self.stats.opened
        super()._open(held, packet, arrived_ns, now)
        if self.stats.opened != before:
            extend(self._life.opened, place_of(packet, now))

    def _has_stream(self, waiting: tuple[int, bytes]) -> bool:
        """Have packets that waited for their key go one by one through `_open`, too."""
        del waiting
        return False

    def handle_grant(self, grant: Grant, now: int) -> None:
        """Write the keys down."""
        super().handle_grant(grant, now)
        for each in grant.keys:
            key_id, secret = each.material.key_id, each.material.key + each.material.salt
            given = Given(
                channel=int(key_id[:8], 16),
                epoch=int(key_id[8:], 16),
                digest=hashlib.sha256(secret).hexdigest()[:24],
                at_ns=now,
                server=self._server(),
            )
            self._life.given.append(given)
        self._life.channel = grant.channel.number


class Nowhere:
    """A sink that takes everything."""

    def write(self, slabs: list[Slab]) -> None:
        """Let it go: what was opened is written down before."""

    def close(self) -> None:
        """Do nothing."""


async def watch(watcher: Watcher, life: Life, stop: asyncio.Event) -> None:
    """Be one receiver until told to end."""
    credential = watcher.credential
    LIFE.set(life)
    settings = ReceiveSettings(
        credential, watcher.channel, interface="eth0", reorder_ms=REORDER_MS, wait=True
    )
    try:
        async with KeyServerClient(credential, SystemRandom(), choice=settings.servers) as client:
            SERVER.set(lambda: client.server)
            await run.receive(
                settings, Nowhere(), clock=SystemClock(), random=SystemRandom(), stop=stop, client=client
            )
    except SealcastError as error:
        life.ended = str(error)
    life.ended_ns = time.monotonic_ns()


async def gather(crowd: Crowd, watchers: list[Watcher]) -> Home:
    """Run all receivers until SIGTERM; return what they did."""
    stop, air = asyncio.Event(), Air()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    AIR.set(air)
    listening = asyncio.create_task(air.run())
    lives, tasks = [], []
    for watcher in watchers:
        lives.append(Life(watcher.credential.id, crowd.home))
        tasks.append(asyncio.create_task(watch(watcher, lives[-1], stop)))
        await asyncio.sleep(ARRIVALS_S / len(watchers))
    print("here", flush=True)
    await stop.wait()
    _, late = await asyncio.wait(tasks, timeout=END_S)
    for task in late:
        task.cancel()
    listening.cancel()
    await asyncio.gather(*tasks, listening, return_exceptions=True)
    groups = air.groups.values()
    return Home(
        name=crowd.home,
        arrived=[run for group in groups for run in group.arrived],
        lives=lives,
        drops=sum(group.drops() for group in groups),
        cpu_s=time.process_time(),
        late_s_max=air.late_s_max,
    )


def main() -> None:
    """Be the crowd that the argument describes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    crowd = msgspec.json.decode(sys.argv[1], type=Crowd)
    control.Ed25519PublicKey = SharedKey  # type: ignore[assignment,misc]
    run.ReceiverSession = Watched  # type: ignore[misc]
    run.JoinedGroup = Member  # type: ignore[assignment,misc]
    watchers = msgspec.json.decode(Path(crowd.watchers).read_bytes(), type=list[Watcher])
    home = asyncio.run(gather(crowd, watchers))
    Path(crowd.story).write_bytes(msgspec.json.encode(home))
    print(f"cpu {home.cpu_s:.1f} s", flush=True)


if __name__ == "__main__":
    main()
