"""Owns finding out whether this server reaches the bus: a question now and then, with little patience."""

import asyncio

from sealcast.cluster.bus import Bus
from sealcast.cluster.lease import RENEWALS
from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_MS, Clock

SOUND_S_MAX = 1.0
"""For an answer, which takes milliseconds: whoever sounds has a lease to look after as well."""


class Sounding:
    """What one server knows of its own way to the bus; no answer yet counts as none."""

    def __init__(self, bus: Bus, clock: Clock, lease_ms: int) -> None:
        self._bus, self._clock = bus, clock
        self._every_ns = lease_ms * NS_PER_MS // RENEWALS
        self._due_ns: int | None = None
        self.reaches_bus = False

    async def sound_if_due(self) -> bool:
        """Ask if that is due, as often as a lease is renewed; return whether it was."""
        if self._due_ns is not None and self._clock.monotonic_ns() < self._due_ns:
            return False
        await self.sound()
        return True

    async def sound(self) -> bool:
        """Ask the bus for something small, and return whether it answered."""
        try:
            async with asyncio.timeout(min(SOUND_S_MAX, self._every_ns / 1e9)):
                await self._bus.last_sequence()
        except (SealcastError, TimeoutError):
            self.reaches_bus = False
        else:
            self.reaches_bus = True
        self._due_ns = self._clock.monotonic_ns() + self._every_ns
        return self.reaches_bus
