"""Owns the metrics of a key server (Prometheus text format), in a registry of their own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sealcast.server.eventlink import Counts
from sealcast.storage.unitofwork import Batch

BATCH_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)
COMMIT_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)


class Metrics:
    """Counts what the server does; every method costs about a microsecond."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "sealcast_requests",
            "Requests, by operation and outcome",
            ["operation", "outcome"],
            registry=self._registry,
        )
        self._by_outcome: dict[tuple[str, str], Counter] = {}
        self._grants = Counter("sealcast_grants", "Keys granted to devices", registry=self._registry)
        self._batch = Histogram(
            "sealcast_commit_units",
            "Units of work in a commit",
            buckets=BATCH_BUCKETS,
            registry=self._registry,
        )
        self._commit = Histogram(
            "sealcast_commit_seconds",
            "From the first unit of a commit to its end on disk",
            buckets=COMMIT_BUCKETS_S,
            registry=self._registry,
        )
        self._on_air = Gauge("sealcast_channels_on_air", "Channels on air", registry=self._registry)
        self._stale = Gauge(
            "sealcast_stale_reports",
            "Reports of senders that came late, since the start",
            registry=self._registry,
        )

        self._streams = Gauge(
            "sealcast_event_streams", "Event streams that are open", registry=self._registry
        )
        self._event_counts = Gauge(
            "sealcast_event_process",
            "What the present event process sent (event), dropped (slow) and replaced (displaced)",
            ["what"],
            registry=self._registry,
        )

    @property
    def registry(self) -> CollectorRegistry:
        """What is rendered; whoever has more to count adds it there."""
        return self._registry

    def count_request(self, operation: str, outcome: str) -> None:
        """Count a request; `outcome` is `ok` or the name of a problem."""
        counter = self._by_outcome.get((operation, outcome))
        if counter is None:
            counter = self._by_outcome[operation, outcome] = self._requests.labels(operation, outcome)
        counter.inc()

    def count_grants(self, count: int) -> None:
        """Count new grants."""
        if count:
            self._grants.inc(count)

    def observe_batch(self, batch: Batch) -> None:
        """Note the size and duration of a commit."""
        self._batch.observe(batch.units)
        self._commit.observe(batch.duration_ns / 1e9)

    def observe_events(self, counts: Counts) -> None:
        """Take over what the event process counts since its start."""
        self._streams.set(counts.streams)
        for what, count in (
            ("event", counts.events),
            ("slow", counts.slow),
            ("displaced", counts.displaced),
        ):
            self._event_counts.labels(what).set(count)

    def render(self, *, channels_on_air: int, stale_reports: int) -> bytes:
        """Return all metrics as text."""
        self._on_air.set(channels_on_air)
        self._stale.set(stale_reports)
        return generate_latest(self._registry)
