"""Owns the look at what replicas handed in and no master has recorded yet."""

import asyncio

from sealcast.cluster.bus import Bus
from sealcast.core.errors import UnreachableError
from sealcast.server.cluster.clustermetrics import ClusterMetrics

LOOK_S = 5.0
"""Between looks: a third of what Prometheus waits between its own."""


class Backlog:
    """Tells the metrics how many batches wait on the bus, for the length of one term."""

    def __init__(self, bus: Bus, metrics: ClusterMetrics) -> None:
        self._bus, self._metrics = bus, metrics

    async def run(self) -> None:
        """Look until cancelled; while the bus is away, nobody knows."""
        while True:
            try:
                self._metrics.journal_waits(await self._bus.journal_batches())
            except UnreachableError:
                self._metrics.journal_waits(None)
            await asyncio.sleep(LOOK_S)
