"""Owns the answers that wait for the bus: a sender hears that its key is published when replicas can have it.

A sender that has heard so may change to the key at once, and a receiver may ask any replica for it.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from sealcast.messages import operations
from sealcast.server.front import Message, Send, send_answer
from sealcast.server.pipeline import HttpAnswer

DELIVERED = frozenset({operations.PUBLISH.path, operations.GENERATE.path})
"""Operations whose effect replicas need before anybody acts on it."""

DELIVER_S = 2.0
"""For the bus to take a round: usually some milliseconds. A sender asks again, and nothing is done twice."""

NOT_DELIVERED = "the key is kept, but replicas cannot hear of it now; ask again in a second"
OK = 200

log = structlog.get_logger("sealcast.server")


class Delivering:
    """Sends one answer on; that of an operation of `DELIVERED` once `published` says that the bus has it."""

    def __init__(
        self,
        path: str,
        send: Send,
        published: Callable[[], Awaitable[None]],
        unavailable: Callable[[str], HttpAnswer],
    ) -> None:
        self._waits = path in DELIVERED
        self._send, self._published, self._unavailable = send, published, unavailable
        self._is_replaced = False
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        """Send one message of the answer; after a refusal in its place the rest of it goes nowhere."""
        if self._waits and not self.has_begun and message.get("status") == OK:
            self._is_replaced = not await self._is_delivered()
        is_first, self.has_begun = not self.has_begun, True
        if not self._is_replaced:
            await self._send(message)
        elif is_first:
            await send_answer(self._send, self._unavailable(NOT_DELIVERED))

    async def _is_delivered(self) -> bool:
        try:
            async with asyncio.timeout(DELIVER_S):
                await self._published()
        except TimeoutError:
            log.warning("a key was not delivered to replicas in time; its sender asks again")
            return False
        return True
