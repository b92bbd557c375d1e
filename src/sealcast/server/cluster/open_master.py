"""Owns the wiring of a master: database, bus, counters, and the first look for the lease."""

import sqlalchemy as sa

from sealcast.cluster.bus import Bus
from sealcast.core.ports import Clock, Random
from sealcast.server.cluster.bus import open_bus
from sealcast.server.cluster.clustermetrics import ClusterMetrics
from sealcast.server.cluster.master import Master
from sealcast.server.cluster.office import Office
from sealcast.server.cluster.secrets import load_cluster_secrets
from sealcast.server.founding import open_database
from sealcast.server.metrics import Metrics
from sealcast.server.settings import ClusterSettings, KeyserverSettings
from sealcast.server.state import ServerState


async def open_master(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random, *, bus: Bus | None = None
) -> Master:
    """Open the database, bring it up to date, and be master if nobody else is.

    `bus` is that of the settings unless given. Raises UsageError if the state directory is not a master's, or
    the database is not ours, or newer than this program.
    """
    secrets = load_cluster_secrets(state, "master")
    engine = open_database(settings.database or state.database_path)
    if settings.cluster is not None:
        _let_go_in_time(engine, settings.cluster)
    metrics = Metrics()
    office = Office(
        state=state,
        settings=settings,
        clock=clock,
        random=random,
        engine=engine,
        secrets=secrets,
        bus=bus or await open_bus(settings, secrets.name, random),
        metrics=metrics,
        cluster_metrics=ClusterMetrics(metrics.registry),
    )
    master = Master(office)
    await master.begin()
    return master


def _let_go_in_time(engine: sa.Engine, cluster: ClusterSettings) -> None:
    """Have PostgreSQL end a transaction in which a master stands still, within half its lease.

    It holds the lease's row: nobody could take the lease from a master that stopped in its middle.
    """
    if engine.dialect.name != "postgresql":
        return
    idle_ms = max(500, cluster.lease_ms // 2)

    @sa.event.listens_for(engine, "connect")
    def _set(raw: object, _record: object) -> None:
        raw.execute(f"SET idle_in_transaction_session_timeout = {idle_ms}")  # type: ignore[attr-defined]
        raw.commit()  # type: ignore[attr-defined]
