"""Owns a server that may be master: it takes the lease when it is free, else it stands by and relays.

```
standing by ── lease free ──► term ── fenced, not renewed, yielded ──► standing by
     └─ requests: relayed to the holder      └─ requests: carried out here
```
"""

import asyncio
import contextlib
import socket
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa
import structlog

from sealcast.cluster import store_lease, store_standby
from sealcast.cluster.lease import Lease, Tenure, look_s
from sealcast.cluster.sealing import RelayProof
from sealcast.core.errors import SealcastError
from sealcast.server.cluster.office import Office, apart
from sealcast.server.cluster.relayapp import RelayingApp
from sealcast.server.cluster.relaying import Relay
from sealcast.server.cluster.sounding import Sounding
from sealcast.server.cluster.standby import Standby
from sealcast.server.cluster.term import Term
from sealcast.server.front import Message, Receive, Send
from sealcast.server.settings import KeyserverSettings
from sealcast.server.state import ServerState

END_S = 2.0
"""At the end, for what terms that were lost still hold."""

log = structlog.get_logger("sealcast.server")


class Master:
    """A server of the role master, as `server.run` serves it."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._term: Term | None = None
        self._holder: Lease | None = None
        self._is_blind = False
        self._sounding = Sounding(office.bus, office.clock, office.cluster.lease_ms)
        self._changed = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._certificate: tuple[Path, Path] | None = None
        standby = Standby(office, is_well=lambda: not self._is_blind)
        self._relay = Relay(
            office.state.ca_pem,
            self._holder_urls,
            own=lambda: office.urls,
            prove=RelayProof(office.secrets.cluster_key).of,
            nonce=standby.nonce_headers,
        )
        self._standby = standby
        self._relaying = RelayingApp(standby.app, self._relay)

    @property
    def app(self) -> "Master":
        """The HTTP application, as ASGI has it."""
        return self

    @property
    def term(self) -> Term | None:
        """The present term; None while standing by."""
        return self._term

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request: here as a master, else by the master."""
        term = self._term
        if term is None or term.is_over:
            await self._relaying(scope, receive, send)
        else:
            await term.serve(scope, receive, send, self._relay.unavailable)

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served: terms, one after another."""
        return (self._reign(),)

    async def begin(self) -> None:
        """Look for the lease once, and begin a term if it is free."""
        await self._look()

    def stand_by(self, reason: str) -> None:
        """End the present term at once: it is over, and another server may be master."""
        term, self._term = self._term, None
        if term is None:
            return
        log.warning("this server is not master any more; it stands by", term=term.number, reason=reason)
        self._office.cluster_metrics.master(None)
        self._holder = None
        self._let_end(term)
        self._tell_changed()

    async def serve_events(self, listening: socket.socket, certificate: tuple[Path, Path]) -> None:
        """Push events while master; while standing by, turn away those who come."""
        self._certificate = certificate
        while True:
            changed, term = self._changed, self._term
            if term is None or term.interior is None:
                await _turn_away(listening, changed)
                continue
            pushing = asyncio.create_task(term.interior.eventing.run(listening, self._certificate))
            try:
                await changed.wait()
            finally:
                pushing.cancel()
                await asyncio.gather(pushing, return_exceptions=True)

    def renew_certificate(self, certificate: Path, key: Path) -> None:
        """Serve new event streams under another certificate."""
        self._certificate = certificate, key
        if self._term is not None and self._term.interior is not None:
            self._term.interior.eventing.renew_certificate(certificate, key)

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators, addresses and `unsold` of `state` and `settings`."""
        self._office.state, self._office.settings = state, settings
        self._standby.reload()
        if self._term is not None:
            await self._term.reload(state, settings)

    async def close(self) -> None:
        """End the term in order and give up the lease, then close database and bus."""
        term, self._term = self._term, None
        if term is not None and not term.is_over:
            await term.close()
        if self._ending:
            await asyncio.wait(self._ending, timeout=END_S)
        await self._relay.close()
        await self._office.bus.close()
        await apart(self._office.engine.dispose, "database-end")

    async def _reign(self) -> None:
        """Take the lease whenever it is free, and keep it as long as that goes."""
        while True:
            if self._term is None:
                await asyncio.sleep(look_s(self._office.cluster.lease_ms))
                await self._look()
                continue
            reason = await self._term.run()
            self.stand_by(reason)

    async def _look(self) -> None:
        """Take the lease if it is free and begin its term; else note who holds it."""
        office = self._office
        has_sounded = await self._sounding.sound_if_due()
        asked_ns = office.clock.monotonic_ns()
        try:
            taken = await apart(partial(self._take_or_read, has_sounded), "lease")
        except (sa.exc.DBAPIError, SealcastError) as error:
            self._note_blind(str(error))
            return
        if self._is_blind:
            self._is_blind = False
            log.warning("the database answers again")
        if not taken[1]:
            self._holder = taken[0]
            return
        term = Term(office, taken[0], Tenure(office.cluster.lease_ms, asked_ns))
        try:
            await term.begin()
        except (sa.exc.DBAPIError, SealcastError) as error:
            log.error("a term did not begin", reason=str(error))  # noqa: TRY400 - a line, no traceback
            self._let_end(term)
            return
        self._term = term
        self._tell_changed()
        log.info("this server is master", term=term.number, name=office.name)

    def _take_or_read(self, has_sounded: bool) -> tuple[Lease, bool]:  # noqa: FBT001 - for `partial`
        """Return the lease, and whether it is ours now; if not, say that we stand by and reach the bus."""
        office, reaches_bus = self._office, self._sounding.reaches_bus
        with office.engine.begin() as connection:
            lease_ms, wall_ms = office.cluster.lease_ms, office.wall_ms()
            taken = store_lease.take(
                connection, office.name, office.urls, lease_ms, wall_ms, reaches_bus=reaches_bus
            )
            if taken is not None:
                return taken, True
            if has_sounded and reaches_bus:
                store_standby.note(connection, office.name, store_lease.now_ms(connection, wall_ms))
            held = store_lease.read(connection)
        return held or Lease(0, 0, "", (), 0), False

    def _let_end(self, term: Term) -> None:
        ending = term.abandon()
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    def _holder_urls(self) -> tuple[str, ...]:
        return () if self._holder is None else self._holder.urls

    def _tell_changed(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _note_blind(self, reason: str) -> None:
        if not self._is_blind:
            self._is_blind = True
            log.warning("the lease cannot be looked at", reason=reason)


async def _turn_away(listening: socket.socket, changed: asyncio.Event) -> None:
    """Close connections for events as they come, until something changes: another server pushes them."""
    loop = asyncio.get_running_loop()
    listening.setblocking(False)

    def close_one() -> None:
        with contextlib.suppress(OSError):
            listening.accept()[0].close()

    loop.add_reader(listening, close_one)
    try:
        await changed.wait()
    finally:
        loop.remove_reader(listening)
