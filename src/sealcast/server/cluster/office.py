"""Owns what a master's process keeps over all its terms: state, settings, database, bus, counters."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from sealcast.cluster.bus import Bus
from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.server.cluster.addresses import own_urls
from sealcast.server.cluster.clustermetrics import ClusterMetrics
from sealcast.server.cluster.secrets import ClusterSecrets
from sealcast.server.metrics import Metrics
from sealcast.server.settings import ClusterSettings, KeyserverSettings
from sealcast.server.state import ServerState

T = TypeVar("T")


@dataclass(slots=True)
class Office:
    """What is there whether or not this server is master; `state` and `settings` change with a reload."""

    state: ServerState
    settings: KeyserverSettings
    clock: Clock
    random: Random
    engine: sa.Engine
    secrets: ClusterSecrets
    bus: Bus
    metrics: Metrics
    cluster_metrics: ClusterMetrics

    @property
    def cluster(self) -> ClusterSettings:
        """How this server is one of several."""
        if self.settings.cluster is None:
            raise LocalError("a master has settings of a cluster")
        return self.settings.cluster

    @property
    def name(self) -> str:
        """This server's name in the cluster."""
        return self.secrets.name

    @property
    def urls(self) -> tuple[str, ...]:
        """Where others relay to this server."""
        return own_urls(self.state, self.settings)

    def wall_ms(self) -> int:
        """Return the wall clock's time."""
        return self.clock.wall_ns() // NS_PER_MS


async def apart(work: Callable[[], T], name: str) -> T:
    """Run `work` in a thread that does not keep the process from ending, and return its result."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result, error = work(), None
        except BaseException as caught:  # noqa: BLE001 - whoever waits hears of it
            result, error = None, caught
        try:
            loop.call_soon_threadsafe(_resolve, future, result, error)
        except RuntimeError:
            return  # The loop has ended, and nobody waits.

    threading.Thread(target=run, name=f"sealcast-{name}", daemon=True).start()
    return await future


def _resolve(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
