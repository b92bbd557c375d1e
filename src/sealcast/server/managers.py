"""Owns the key server's calls to reception managers that stand apart: the first that answers, in their order.

A manager that is mute is given up soon, because a device waits for its key meanwhile; the one that answered
last is asked first.
"""

import asyncio
import contextlib
from typing import TypeVar

import msgspec

from sealcast.client import KeyServerClient
from sealcast.core.errors import RefusedError, RemoteError, UnreachableError
from sealcast.core.ports import Random
from sealcast.device.vault import Credential
from sealcast.keyserver.values import refusal
from sealcast.messages.operation import Operation
from sealcast.server.state import ServerState

Answer = TypeVar("Answer", bound=msgspec.Struct)

MANAGER_S_MAX = 1.5
"""How long one manager has for an answer; a device waits 6 s for its own."""

ASKED_MAX = 4
"""Questions under way at one time, as many as a client has connections; more wait."""

TURN_S_MAX = 3.0
"""How long a question waits for its turn: with its answer it stays within what a device waits for its own."""

WAITING_MAX = 2_000
"""Questions that wait; beyond it a device waits too long to be served, and is told so at once."""

RETRY_AFTER_S = 2.0


class Managers:
    """The reception managers of a key server. Calling order: `start`, `ask` as often as needed, `close`."""

    def __init__(self, state: ServerState, urls: tuple[str, ...], random: Random) -> None:
        """Keep what is needed to ask; opens nothing."""
        self._clients = [KeyServerClient(_credential(state, url), random) for url in urls]
        self._stack = contextlib.AsyncExitStack()
        self._turns = asyncio.Semaphore(ASKED_MAX)
        self._waiting = 0

    @property
    def preferred(self) -> str:
        """Address of the manager that answered last."""
        return self._clients[0].server

    async def start(self) -> None:
        """Get ready to ask, in the loop of the server."""
        for client in self._clients:
            await self._stack.enter_async_context(client)

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()

    async def ask(self, operation: Operation, kind: type[Answer], **fields: object) -> Answer:
        """Ask one manager after another and return the first answer; doing it twice must do the same.

        Raises RefusedError: `bad-request` for what is asked, or `reception-unavailable` if none answers.
        """
        if self._waiting >= WAITING_MAX:
            raise unavailable("too many wait for the reception manager")
        self._waiting += 1
        try:
            async with asyncio.timeout(TURN_S_MAX):
                await self._turns.acquire()
        except TimeoutError as error:
            raise unavailable("it is too slow for all who ask") from error
        finally:
            self._waiting -= 1
        try:
            return await self._ask(operation, kind, fields)
        finally:
            self._turns.release()

    async def _ask(self, operation: Operation, kind: type[Answer], fields: dict[str, object]) -> Answer:
        why = "no reception manager is known"
        for client in tuple(self._clients):
            try:
                async with asyncio.timeout(MANAGER_S_MAX):
                    answer = await client.expect(operation, kind, **fields)
            except TimeoutError:
                why = f"{client.server} does not answer in time"
            except RefusedError as error:
                if error.type == "bad-request":
                    raise
                # All else lies between the two servers: no device and no operator could mend their request.
                why = f"{client.server} says: {error}"
            except (UnreachableError, RemoteError) as error:
                why = str(error)
            else:
                self._prefer(client)
                return answer
        raise unavailable(why)

    def _prefer(self, client: KeyServerClient) -> None:
        if self._clients[0] is not client:
            self._clients.remove(client)
            self._clients.insert(0, client)


def unavailable(why: str) -> RefusedError:
    """Return the no to whoever needs a manager, and comes again later."""
    no = refusal("reception-unavailable", f"the reception manager does not answer: {why}")
    return RefusedError(no.type, no.detail, no.status, retry_after_s=RETRY_AFTER_S)


def _credential(state: ServerState, url: str) -> Credential:
    """Return what the key server is known by at a manager; there its role is that of its file in peers/."""
    return Credential(
        role="replica",
        id=state.peer_id,
        operator=state.operator,
        signing=state.signing,
        kek=state.kek,
        ca_pem=state.ca_pem,
        servers=[url],
        server_key=state.signing.public(),
        server_kek=state.kek.public(),
    )
