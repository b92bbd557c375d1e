"""Owns the life of a replica: what runs while it is served, what a reload takes over, how it ends."""

import asyncio
import socket
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from sealcast.cluster.bus import Bus
from sealcast.cluster.freshness import Freshness
from sealcast.core.ports import Clock
from sealcast.server.app import Public
from sealcast.server.cluster.applying import Applier
from sealcast.server.cluster.journal import Forwarder
from sealcast.server.cluster.journal_receptions import ReceptionJournal
from sealcast.server.cluster.pruning import prune_for_ever
from sealcast.server.cluster.relayapp import RelayingApp
from sealcast.server.cluster.relaying import Relay
from sealcast.server.eventing import Eventing
from sealcast.server.eventports import event_urls
from sealcast.server.founding import operator_document
from sealcast.server.principals import Principals
from sealcast.server.receptions_apart import ReceptionsApart
from sealcast.server.receptions_here import ReceptionsHere
from sealcast.server.request_key import KeyDesk
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import ServerState
from sealcast.storage.unitofwork import UnitOfWork


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica ready to be served; `close` it at the end."""

    app: RelayingApp
    unit_of_work: UnitOfWork
    principals: Principals
    keys: KeyDesk
    receptions: ReceptionsHere | ReceptionsApart
    reception_journal: ReceptionJournal | None
    public: Public
    silence: Silence
    eventing: Eventing
    applier: Applier
    forwarder: Forwarder
    relay: Relay
    bus: Bus
    clock: Clock
    freshness: Freshness

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served."""
        running = [self.applier.run(), self.forwarder.run(), prune_for_ever(self.unit_of_work, self.clock)]
        return running if self.reception_journal is None else [*running, self.reception_journal.run()]

    async def serve_events(self, listening: socket.socket, certificate: tuple[Path, Path]) -> None:
        """Push events to whoever connects to an open socket, until cancelled."""
        await self.eventing.run(listening, certificate)

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new event streams under another certificate."""
        self.eventing.renew_certificate(certificate, key)

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators, addresses and `unsold` of `state` and `settings`; the rest stays."""
        urls = settings.urls or state.urls
        await self.unit_of_work.run(lambda _: self.principals.set_operators(state.operators))
        self.keys.key_servers = urls
        self.keys.events = event_urls(settings.events, urls)
        self.receptions.heartbeat_ms = settings.heartbeat_ms
        self.silence.is_on = settings.unsold == "silent"
        self.public.operator = operator_document(state, urls)

    async def close(self) -> None:
        """Finish the writes that wait, hand in what is quickly handed in, close the database."""
        await self.relay.close()
        await self.receptions.close()
        if self.reception_journal is not None:
            await self.reception_journal.close()
        await self.forwarder.close()
        await self.bus.close()
        await asyncio.to_thread(self.unit_of_work.close)
