"""Owns the metrics of a replica: how old what it knows is, its journal, what it relayed and took over."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class ReplicaMetrics:
    """Counts what a replica does, in the registry of the server's other metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._age = Gauge(
            "sealcast_replica_state_age_seconds",
            "How old what is known of parties and channels is; -1 if no master was heard since the start",
            registry=registry,
        )
        self._is_fresh = Gauge(
            "sealcast_replica_fresh", "1 while the next key is given as well", registry=registry
        )
        self._version = Gauge(
            "sealcast_replica_version", "Version of the last beat of the master", registry=registry
        )
        self._depth = Gauge(
            "sealcast_replica_journal_depth", "Rows of the journal that wait for the bus", registry=registry
        )
        self._submitted = Gauge(
            "sealcast_replica_journal_submitted",
            "Rows of the journal that the bus took, since the start",
            registry=registry,
        )
        self._entries = Gauge(
            "sealcast_replica_entries",
            "Entries from the bus since the start: taken, older than what was known, or rejected",
            ["outcome"],
            registry=registry,
        )
        self._relayed = Counter(
            "sealcast_replica_relayed",
            "Requests relayed to the master, by outcome: ok or unanswered",
            ["outcome"],
            registry=registry,
        )

    def count_relayed(self, outcome: str) -> None:
        """Count a relayed request."""
        self._relayed.labels(outcome).inc()

    def observe_state(self, *, age_ms: int | None, is_fresh: bool, version: int) -> None:
        """Note how old what is known is."""
        self._age.set(-1 if age_ms is None else age_ms / 1_000)
        self._is_fresh.set(1 if is_fresh else 0)
        self._version.set(version)

    def observe_journal(self, *, depth: int, submitted: int) -> None:
        """Note how far the journal is."""
        self._depth.set(depth)
        self._submitted.set(submitted)

    def observe_entries(self, *, taken: int, older: int, rejected: int) -> None:
        """Note what became of entries."""
        for outcome, count in (("taken", taken), ("older", older), ("rejected", rejected)):
            self._entries.labels(outcome).set(count)
