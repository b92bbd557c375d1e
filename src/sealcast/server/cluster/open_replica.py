"""Owns the wiring of a replica: a key server over a database of its own, which the master's entries fill."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sqlalchemy as sa

from sealcast.cluster import store_outbox, store_versions
from sealcast.cluster.bus import Bus
from sealcast.cluster.freshness import Freshness
from sealcast.cluster.sealing import EntrySealer, JournalSealer, RelayProof
from sealcast.core.errors import RefusedError, UsageError
from sealcast.core.ids import Epoch
from sealcast.core.ports import NS_PER_MS, Clock, Random
from sealcast.keyserver import store_air
from sealcast.keyserver.air import AirState
from sealcast.keyserver.calls import Call, Handler, Principal
from sealcast.keyserver.service_keys import choose_epochs
from sealcast.keyserver.values import ChannelView, refusal
from sealcast.keyserver.views import Views
from sealcast.messages import operations
from sealcast.messages.clusterstatus import ClusterStatus
from sealcast.messages.operations_cluster import CLUSTER_STATUS
from sealcast.server.app import Public, make_app
from sealcast.server.certificates import hosts_of
from sealcast.server.cluster.applying import Applier
from sealcast.server.cluster.bus import open_bus
from sealcast.server.cluster.journal import Forwarder, GrantJournal
from sealcast.server.cluster.journal_receptions import ReceptionJournal
from sealcast.server.cluster.relayapp import RelayingApp
from sealcast.server.cluster.relaying import Relay
from sealcast.server.cluster.replica import Replica
from sealcast.server.cluster.replicametrics import ReplicaMetrics
from sealcast.server.cluster.secrets import ClusterSecrets, load_cluster_secrets
from sealcast.server.cluster.status import live_counts, status_handler_of
from sealcast.server.cluster.taking import Held, Taker
from sealcast.server.cluster.taking_channel import take_channel
from sealcast.server.eventdesk import EventDesk
from sealcast.server.eventing import Eventing, Notices
from sealcast.server.eventports import TellingEnds, event_urls
from sealcast.server.founding import health_of, open_database, operator_document, pipeline_of
from sealcast.server.managers import Managers
from sealcast.server.metrics import Metrics
from sealcast.server.pipeline import Pipeline
from sealcast.server.principals import Principals
from sealcast.server.receiving import ReceivingDesk, receiving_handlers
from sealcast.server.receptions_apart import ReceptionsApart
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.request_key import AllowListAdmission, KeyDesk
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import ServerState
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import Batch, UnitOfWork

HERE = (operations.KEYS, operations.HEARTBEAT, operations.STOP, CLUSTER_STATUS)
"""What a replica carries out itself; all else is the master's."""

RETRY_AFTER_S = 1.0


class _Known(msgspec.Struct, frozen=True):
    """That a replica was told of parties and channels at all."""


class _Parts:
    """What the parts of a replica share while they are put together."""

    def __init__(
        self,
        state: ServerState,
        settings: KeyserverSettings,
        secrets: ClusterSecrets,
        *,
        clock: Clock,
        random: Random,
        bus: Bus,
    ) -> None:
        if settings.cluster is None or isinstance(settings.database, str):
            raise UsageError("a replica keeps a database of its own, in a file: leave out --db")
        self.state, self.settings, self.secrets = state, settings, secrets
        self.clock, self.random, self.bus = clock, random, bus
        self.engine = open_database(settings.database or state.database_path)
        self.metrics, self.air, self.views = Metrics(), AirState(), Views(state.master_key)
        self.principals = Principals(state.operators, state.master_key)
        self.notices = Notices(clock)
        self.principals.on_change = self.notices.look
        self.taker: Taker | None = None
        self.freshness = Freshness(settings.cluster.stale_after_ms)
        self.replica_metrics = ReplicaMetrics(self.metrics.registry)
        self.urls = settings.urls or state.urls
        self.receptions = self._receptions()
        self.unit_of_work = UnitOfWork(self.engine, on_batch=self._committed, on_undone=self._forget_all)
        self.forwarder = Forwarder(
            bus=bus,
            sealer=JournalSealer(self.secrets.cluster_key),
            replica=self.secrets.name,
            unit_of_work=self.unit_of_work,
            reader=Reader(self.engine),
            clock=clock,
            random=random,
        )

    def wall_ms(self) -> int:
        """Return the wall clock's time."""
        return self.clock.wall_ns() // NS_PER_MS

    def is_behind(self) -> bool:
        """Whether what is known is too old to give the next key."""
        return not self.freshness.is_fresh(self.clock.monotonic_ns(), self.wall_ms())

    def choose(self, call: Call, view: ChannelView) -> tuple[Epoch, ...]:
        """Return the epochs whose keys may be given: if what is known is old, the one on air alone."""
        if self.freshness.is_fresh(call.now, call.wall_ms):
            return choose_epochs(view)
        current = view.on_air
        return (current.epoch,) if current is not None and current.has_key else ()

    def read_back(self, connection: sa.Connection) -> None:
        """Take what was known before a restart from the database."""
        now, wall_ms = self.clock.monotonic_ns(), self.wall_ms()
        for stored in store_air.stored_reports(connection):
            self.air.restore(stored, now, wall_ms)
        version = store_versions.version_of(connection, "beat", store_versions.BEAT_NAME)
        self.freshness.version, self.freshness.is_founded = version, version > 0

    def _receptions(self) -> ReceptionsHere | ReceptionsApart:
        heartbeat_ms = self.settings.heartbeat_ms
        if not self.settings.reception:
            return ReceptionsHere(heartbeat_ms, self.secrets.name)
        managers = Managers(self.state, self.settings.reception, self.random)
        return ReceptionsApart(heartbeat_ms, managers, views=self.views, admission=AllowListAdmission)

    def _committed(self, batch: Batch) -> None:
        self.metrics.observe_batch(batch)
        self.notices.committed()
        self.forwarder.wake()

    def _forget_all(self) -> None:
        if self.taker is not None:
            self.taker.forget()
        self.views.clear()
        self.principals.clear()
        self.receptions.on_undone()


async def open_replica(
    state: ServerState, settings: KeyserverSettings, clock: Clock, random: Random, *, bus: Bus | None = None
) -> Replica:
    """Open the replica's own database and return the application over it; `bus` is connected to unless given.

    Raises UsageError for a state directory that is no replica's, or a database that does not do.
    """
    if settings.cluster is None:
        raise UsageError("a replica needs the addresses of the bus: --bus nats://HOST:4222")
    secrets = load_cluster_secrets(state, "replica")
    bus = bus or await open_bus(settings, secrets.name, random)
    parts = _Parts(state, settings, secrets, clock=clock, random=random, bus=bus)
    await parts.unit_of_work.run(parts.read_back)
    await parts.receptions.start(parts.unit_of_work, clock)
    await parts.forwarder.begin()
    reception_journal = None
    if isinstance(parts.receptions, ReceptionsHere):
        reception_journal = ReceptionJournal(parts.unit_of_work, clock)
        await reception_journal.start(settings.heartbeat_ms)
    return _put_together(parts, reception_journal)


def _put_together(parts: _Parts, reception_journal: ReceptionJournal | None) -> Replica:
    state, settings, clock = parts.state, parts.settings, parts.clock
    pipeline = pipeline_of(state, parts.principals, parts.unit_of_work, clock, parts.metrics)
    keys = _key_desk(parts)
    relay = _relay(parts, pipeline, keys)
    applier = _applier(parts)
    public = _public(parts, applier)
    silence = Silence(is_on=settings.unsold == "silent")
    handlers = _handlers(parts, keys, applier)
    inside = make_app(pipeline, handlers, public=public, silence=silence, served=HERE)
    return Replica(
        app=RelayingApp(
            inside,
            relay,
            here=[operation.path for operation in HERE],
            first_asked=operations.KEYS.path,
            is_behind=parts.is_behind,
            silence=silence,
        ),
        unit_of_work=parts.unit_of_work,
        principals=parts.principals,
        keys=keys,
        receptions=parts.receptions,
        reception_journal=reception_journal,
        public=public,
        silence=silence,
        eventing=_eventing(parts, pipeline),
        applier=applier,
        forwarder=parts.forwarder,
        relay=relay,
        bus=parts.bus,
        clock=clock,
        freshness=parts.freshness,
    )


def _key_desk(parts: _Parts) -> KeyDesk:
    desk = KeyDesk(
        views=parts.views,
        air=parts.air,
        admission=AllowListAdmission,
        receptions=parts.receptions,
        key_servers=parts.urls,
        on_grants=parts.metrics.count_grants,
        evidence=GrantJournal(keeps_evidence=parts.settings.billing.evidence_days > 0),
        choose=parts.choose,
    )
    desk.events = event_urls(parts.settings.events, parts.urls)
    return desk


def _handlers(parts: _Parts, keys: KeyDesk, applier: Applier) -> tuple[Handler, ...]:
    """Return how a replica carries out what it does itself."""
    receptions = parts.receptions
    desk = ReceivingDesk(views=parts.views, receptions=receptions, admission=AllowListAdmission)
    others = [
        each
        for each in receiving_handlers(desk, receptions)
        if each.operation is not operations.RECEPTION_LIST
    ]
    ahead = partial(_known_first, parts.freshness, receptions.ahead.get("keys"))
    status = status_handler_of(partial(_status, parts, applier))
    return (
        *others,
        status,
        Handler(operations.KEYS, keys.request, keys.repeat, ahead, together=keys.request_all),
    )


def _status(parts: _Parts, applier: Applier, call: Call) -> ClusterStatus:
    """Return how this replica stands."""
    freshness = parts.freshness
    beat = freshness.beat
    parties, channels = live_counts(call.connection)
    return ClusterStatus(
        name=parts.secrets.name,
        role="replica",
        version=freshness.version,
        master=beat.master if beat is not None else "",
        age_ms=freshness.age_ms(call.now, call.wall_ms),
        is_fresh=freshness.is_fresh(call.now, call.wall_ms),
        journal_depth=store_outbox.depth(call.connection),
        entries_taken=applier.taken,
        entries_rejected=applier.rejected,
        parties=parties,
        channels=channels,
    )


async def _known_first(
    freshness: Freshness,
    other: Callable[[Principal, Any], Awaitable[msgspec.Struct]] | None,
    caller: Principal,
    request: msgspec.Struct,
) -> msgspec.Struct:
    """Ask a reception manager, if there is one; a refusal while no master was ever heard.

    Who may have what is not known then. It is no decision on the request, so it comes before one.
    """
    if not freshness.is_founded:
        detail = "this replica has heard of no master yet; ask again in a second"
        raise RefusedError("busy", detail, 503, retry_after_s=RETRY_AFTER_S)
    return _Known() if other is None else await other(caller, request)


def _applier(parts: _Parts) -> Applier:
    parts.taker = Taker(_held(parts), take_channel)
    return Applier(
        bus=parts.bus,
        sealer=EntrySealer(parts.secrets.cluster_key, parts.secrets.publisher),
        take=parts.taker.take,
        unit_of_work=parts.unit_of_work,
        freshness=parts.freshness,
        clock=parts.clock,
    )


def _held(parts: _Parts) -> Held:
    return Held(
        master=parts.state.master_key,
        views=parts.views,
        air=parts.air,
        principals=parts.principals,
        receptions=TellingEnds(parts.receptions, parts.notices),
        on_notice=parts.notices,
        clock=parts.clock,
    )


def _relay(parts: _Parts, pipeline: Pipeline, keys: KeyDesk) -> Relay:
    """Return the way to the master: as its beats tell, then any other server that receivers are told of."""
    hosts, port = set(hosts_of(parts.state.certificate_path.read_bytes())), parts.settings.port

    def candidates() -> list[str]:
        beat = parts.freshness.beat
        return [*(beat.urls if beat is not None else ()), *keys.key_servers]

    def own() -> list[str]:
        places = ((url, urlsplit(url)) for url in keys.key_servers)
        return [url for url, place in places if place.hostname in hosts and (place.port or 443) == port]

    return Relay(
        parts.state.ca_pem,
        candidates,
        own=own,
        prove=RelayProof(parts.secrets.cluster_key).of,
        nonce=pipeline.nonce_headers,
        on_relayed=parts.replica_metrics.count_relayed,
    )


def _public(parts: _Parts, applier: Applier) -> Public:
    """Return what the server tells everybody; the revocation list is the master's to sign."""

    def render_metrics() -> bytes:
        now, wall_ms = parts.clock.monotonic_ns(), parts.wall_ms()
        freshness, forwarder, metrics = parts.freshness, parts.forwarder, parts.replica_metrics
        metrics.observe_state(
            age_ms=freshness.age_ms(now, wall_ms),
            is_fresh=freshness.is_fresh(now, wall_ms),
            version=freshness.version,
        )
        metrics.observe_journal(depth=forwarder.depth, submitted=forwarder.submitted)
        metrics.observe_entries(taken=applier.taken, older=applier.older, rejected=applier.rejected)
        return parts.metrics.render(channels_on_air=parts.air.channels, stale_reports=0)

    async def crl() -> bytes:
        raise refusal("busy", "the revocation list is the master's; ask again in a second")

    document = operator_document(parts.state, parts.urls)
    return Public(health_of(parts.unit_of_work), render_metrics, document, crl)


def _eventing(parts: _Parts, pipeline: Pipeline) -> Eventing:
    events = parts.settings.events
    return Eventing(
        pipeline=pipeline,
        desk=EventDesk(views=parts.views, principals=parts.principals),
        notices=parts.notices,
        unit_of_work=parts.unit_of_work,
        clock=parts.clock,
        metrics=parts.metrics,
        streams_max=events.streams_max if events is not None else 0,
    )
