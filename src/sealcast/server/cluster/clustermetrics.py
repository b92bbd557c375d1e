"""Owns the metrics of a master: its term, what it published, what came of replicas' journals."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ClusterMetrics:
    """Counts what a master does for its replicas, in the registry of the server's other metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._is_master = Gauge(
            "sealcast_cluster_is_master", "1 while this server holds the lease", registry=registry
        )
        self._term = Gauge(
            "sealcast_cluster_term", "The term of this master, its last if it has none now", registry=registry
        )
        self._version = Gauge(
            "sealcast_cluster_version", "Version of the last round that was published", registry=registry
        )
        self._is_caught_up = Gauge(
            "sealcast_cluster_caught_up", "1 if the bus has all that the database has", registry=registry
        )
        self._published = Counter(
            "sealcast_cluster_published", "Entries published to the bus", registry=registry
        )
        self._bus = Gauge(
            "sealcast_cluster_bus_up", "1 if the bus took the last publication", registry=registry
        )
        self._rows = Counter(
            "sealcast_cluster_journal_rows",
            "Rows of replicas' journals, by what became of them",
            ["outcome"],
            registry=registry,
        )

        self._waiting = Gauge(
            "sealcast_cluster_journal_batches",
            "Batches of replicas' journals that wait on the bus for this master; -1 while that is not known",
            registry=registry,
        )
        self._waiting.set(-1)

    def journal_waits(self, batches: int | None) -> None:
        """Note how many batches wait on the bus, None if it does not tell."""
        self._waiting.set(-1 if batches is None else batches)

    def master(self, term: int | None) -> None:
        """Note that this server is master of a term, or no more."""
        self._is_master.set(0 if term is None else 1)
        if term is not None:
            self._term.set(term)
        else:
            self._is_caught_up.set(0)
            self._waiting.set(-1)

    def published(self, entries: int, version: int, *, is_complete: bool) -> None:
        """Note a round that the bus took."""
        self._published.inc(entries)
        self._version.set(version)
        self._is_caught_up.set(1 if is_complete else 0)
        self._bus.set(1)

    def bus_away(self) -> None:
        """Note that a publication failed."""
        self._bus.set(0)
        self._is_caught_up.set(0)

    def journal_rows(self, *, recorded: int, repeated: int, aside: int) -> None:
        """Note what became of the rows of a batch."""
        for outcome, count in (("recorded", recorded), ("repeated", repeated), ("aside", aside)):
            if count:
                self._rows.labels(outcome).inc(count)
