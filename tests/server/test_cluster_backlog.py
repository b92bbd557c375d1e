"""What a master's metrics say of journals that wait on the bus."""

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from sealcast.server.cluster import backlog
from sealcast.server.cluster.backlog import Backlog
from sealcast.server.cluster.clustermetrics import ClusterMetrics
from sealcast.testing.bus import MemoryBus

BOUND_S = 10.0


def test_what_waits_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of batches that nobody has recorded; -1 while the bus is away and while there is no term."""
    monkeypatch.setattr(backlog, "LOOK_S", 0.01)
    registry = CollectorRegistry()
    metrics = ClusterMetrics(registry)

    def told() -> float | None:
        return registry.get_sample_value("sealcast_cluster_journal_batches")

    async def until(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(BOUND_S):
            while not holds():  # noqa: ASYNC110 - a metric tells nobody
                await asyncio.sleep(0.01)

    async def story() -> None:
        bus = MemoryBus()
        client = bus.client("m")
        assert told() == -1
        await client.submit("r", "j:1", b"x")
        looking = asyncio.create_task(Backlog(client, metrics).run())
        await until(lambda: told() == 1)
        bus.cut("m")
        await until(lambda: told() == -1)
        bus.heal("m")
        await until(lambda: told() == 1)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        metrics.master(None)
        assert told() == -1

    asyncio.run(story())
