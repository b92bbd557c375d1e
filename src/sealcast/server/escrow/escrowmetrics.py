"""Owns the metrics of an escrow: orders by state, openings, how old its list of revoked certificates is.

What was refused, and why, is among the requests of `server.metrics`, as at every server.
"""

import asyncio
from collections.abc import Callable, Mapping

import sqlalchemy as sa
import structlog
from prometheus_client import CollectorRegistry, Gauge, Histogram

from sealcast.core.errors import SealcastError
from sealcast.core.ports import NS_PER_S, Clock
from sealcast.escrow import store_orders
from sealcast.escrow.orders import OrderState
from sealcast.storage.reading import Reader

LOOK_EVERY_S = 15.0
"""How old the counts of orders may be: as old as what monitoring usually asks for is anyway."""

OPENING_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
UNKNOWN = -1.0
MS_PER_S = 1_000

log = structlog.get_logger("sealcast.server")


class EscrowMetrics:
    """Counts what an escrow does, in the registry of the server's other metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._orders = Gauge("sealcast_escrow_orders", "Orders, by state", ["state"], registry=registry)
        self._openings = Histogram(
            "sealcast_escrow_opening_seconds",
            "From a question that may be opened to its answer; repeats are not worked out again",
            buckets=OPENING_BUCKETS_S,
            registry=registry,
        )
        self._waiting = Gauge(
            "sealcast_escrow_openings_waiting", "Openings that wait for a core", registry=registry
        )
        self._list_age = Gauge(
            "sealcast_escrow_revocation_age_seconds",
            "How old the list of revoked certificates is; -1 without one",
            registry=registry,
        )

    def ask_when_read(
        self, *, waiting: Callable[[], int], list_made_ms: Callable[[], int | None], clock: Clock
    ) -> None:
        """Have these asked whenever the metrics are read; `list_made_ms` gives None without a list."""

        def age_s() -> float:
            made_ms = list_made_ms()
            return UNKNOWN if made_ms is None else clock.wall_ns() / NS_PER_S - made_ms / MS_PER_S

        self._waiting.set_function(waiting)
        self._list_age.set_function(age_s)

    def observe_orders(self, counts: Mapping[str, int]) -> None:
        """Note how many orders there are in each state; a state that is not there has none."""
        for state in OrderState:
            self._orders.labels(state.value).set(counts.get(state.value, 0))

    def observe_opening(self, duration_ns: int) -> None:
        """Note an opening that was worked out, with the time that it waited."""
        self._openings.observe(duration_ns / 1e9)


class OrderCount:
    """Counts the orders every so often, beside the writer."""

    def __init__(self, metrics: EscrowMetrics, reader: Reader) -> None:
        self._metrics, self._reader = metrics, reader

    async def run(self) -> None:
        """Look at once and then again and again, until it is cancelled."""
        while True:
            try:
                await self.look()
            except (SealcastError, sa.exc.SQLAlchemyError) as error:
                log.warning("orders are not counted, and will be", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Count once; the database walks through an index of all orders."""
        self._metrics.observe_orders(await self._reader.read(store_orders.counts_by_state))
