"""Owns a receiver without a stream: session, client and attendance, against a real key server."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from msgspec.structs import replace

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, SealcastError
from sealcast.device.vault import Credential
from sealcast.messages import operations
from sealcast.messages.answers import Grant
from sealcast.receiver.attendance import Attendance
from sealcast.receiver.session import ReceiverSession
from sealcast.transport.system import SystemClock, SystemRandom

WAIT_S = 20
CLOCK = SystemClock()
RANDOM = SystemRandom()


class Watcher:
    """Asks as `receiver.run` does; `refused` are the noes to heartbeats, `woken` counts events taken."""

    def __init__(self, client: KeyServerClient) -> None:
        self.client = client
        self.session = ReceiverSession(channel="news", reorder_ms=20, random=RANDOM, now=self.now)
        self.refused: list[str] = []
        self.woken = 0
        self.grants: list[Grant] = []
        self.failures = 0
        self.attendance = Attendance(
            client, self.session, CLOCK, RANDOM, wake=self._wake, refused=self._take_refusal
        )

    @property
    def now(self) -> int:
        """The present instant."""
        return CLOCK.monotonic_ns()

    async def ask(self) -> bool:
        """Make the key request that the session wants to make, as soon as it does; False if it failed."""
        async with asyncio.timeout(WAIT_S):
            while (request := self.session.poll_fetch(self.now)) is None:  # noqa: ASYNC110 - it is due
                await asyncio.sleep(0.01)
        try:
            grant = await self.client.expect(
                operations.KEYS,
                Grant,
                channel=request.channel,
                key_id=request.key_id,
                held=list(request.held),
            )
        except SealcastError:
            self.failures += 1
            self.session.handle_fetch_failed(self.now)
            return False
        self.grants.append(grant)
        self.session.handle_grant(grant, self.now)
        self.attendance.note_grant(grant, self.now)
        return True

    def _wake(self, _: int) -> None:
        self.woken += 1

    def _take_refusal(self, error: RefusedError) -> None:
        self.refused.append(error.type)


@contextlib.asynccontextmanager
async def watching(credential: Credential, *servers: str) -> AsyncIterator[Watcher]:
    """Give a device's watcher, which knows these servers."""
    async with KeyServerClient(replace(credential, servers=[*servers]), RANDOM) as client:
        watcher = Watcher(client)
        try:
            yield watcher
        finally:
            watcher.attendance.close()


async def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(WAIT_S):
        while not what():  # noqa: ASYNC110 - what it waits for is in places that tell nobody
            await asyncio.sleep(0.01)
