"""Owns the wiring of an escrow: records, keys, who is revoked, desks, sweep, and the application."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from sealcast.core.errors import UsageError
from sealcast.core.ports import Clock, Random
from sealcast.escrow import store_keys
from sealcast.escrow.house import House
from sealcast.escrow.moving import Treasury
from sealcast.escrow.payments import Payments
from sealcast.keyserver.calls import Handler
from sealcast.messages import operations_escrow
from sealcast.server.app import Public, make_app
from sealcast.server.escrow.escrowmetrics import EscrowMetrics, OrderCount
from sealcast.server.escrow.joining import JoinDesk, Voucher, join_handler
from sealcast.server.escrow.keyring import Keyring
from sealcast.server.escrow.keys import KeyDesk, key_handlers
from sealcast.server.escrow.noticing import noticing_handlers
from sealcast.server.escrow.opening import OpeningDesk, opening_handler
from sealcast.server.escrow.ordering import ordering_handlers
from sealcast.server.escrow.paying import paying_handlers
from sealcast.server.escrow.placing import place_of
from sealcast.server.escrow.revocation import CRL_FILE, RevokedParties
from sealcast.server.escrow.settings import EscrowSettings
from sealcast.server.escrow.settling import settling_handlers
from sealcast.server.escrow.shared import EscrowShared
from sealcast.server.escrow.sweeping import Sweeper
from sealcast.server.escrow.token import EscrowToken
from sealcast.server.escrow.watching import RevocationWatch
from sealcast.server.founding import (
    open_database,
    operator_document,
    pipeline_of,
    public_without_certificates,
)
from sealcast.server.front import Application
from sealcast.server.metrics import Metrics
from sealcast.server.principals import Principals
from sealcast.server.settings import KeyserverSettings
from sealcast.server.silence import Silence
from sealcast.server.state import EscrowIdentity, ServerState
from sealcast.server.state_reception import check_is_escrow
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork

MS_PER_S = 1_000


@dataclass(frozen=True, slots=True)
class EscrowServer:
    """An escrow ready to be served; `close` it at the end."""

    app: Application
    unit_of_work: UnitOfWork
    principals: Principals
    sweeper: Sweeper
    watch: RevocationWatch
    keyring: Keyring
    public: Public
    keys: KeyDesk
    counting: OrderCount

    def beside(self) -> Sequence[Coroutine[None, None, None]]:
        """Return what runs while it is served; it is cancelled at the end."""
        return (self.sweeper.run(), self.watch.run(), self.counting.run())

    async def reload(self, state: ServerState, settings: KeyserverSettings) -> None:
        """Go on with operators and addresses of `state` and `settings`, and read the revoked ones now."""
        await self.unit_of_work.run(lambda _: self.principals.set_operators(state.operators))
        urls = settings.urls or state.urls
        self.keys.urls = urls
        self.public.operator = operator_document(state, urls)
        self.public.place = place_of(state)
        self.watch.asked.set()

    async def close(self) -> None:
        """Finish the writes that wait, close the database, log out of the token."""
        await asyncio.to_thread(self.unit_of_work.close)
        await asyncio.to_thread(self.keyring.close)


def open_escrow(
    state: ServerState,
    settings: EscrowSettings,
    clock: Clock,
    random: Random,
    payments: Payments | None = None,
) -> EscrowServer:
    """Open database and token, bring the database up to date, and return the application over it.

    `payments` is an account elsewhere, in place of the embedded ledger. Raises UsageError if the database is
    not ours or newer than this program, the token does not open, or keys are in one and none is named.
    """
    identity = check_is_escrow(state)
    house = _house(state, settings, identity)
    issuer, max_age_ms = state.issuer.certificate_pem.decode(), int(settings.crl_max_age_s * MS_PER_S)
    revoked = RevokedParties(issuer, max_age_ms, state.directory / CRL_FILE)
    engine, keyring = _open_records(state, settings, random)
    principals, metrics = Principals(state.operators, state.master_key), Metrics()
    unit_of_work = UnitOfWork(engine, on_batch=metrics.observe_batch, on_undone=principals.clear)
    treasury = Treasury(house, payments)
    sweeper = Sweeper(treasury, unit_of_work.run, clock)
    shared = EscrowShared(house, treasury, random, Reader(engine), sweeper.nudge)
    watch = RevocationWatch(
        revoked=revoked,
        ca_pem=state.ca_pem,
        sources=settings.crl_file or settings.key_servers or identity.key_servers,
        every_s=settings.crl_every_s,
        unit_of_work=unit_of_work,
        principals=principals,
        clock=clock,
    )
    keys = KeyDesk(house=house, urls=settings.urls or state.urls, keyring=keyring, reader=shared.reader)
    escrow_metrics = EscrowMetrics(metrics.registry)
    opening = OpeningDesk(
        house=house,
        ca_pem=state.ca_pem,
        keyring=keyring,
        revoked=revoked,
        reader=shared.reader,
        random=random,
        clock=clock,
        on_opened=escrow_metrics.observe_opening,
    )
    escrow_metrics.ask_when_read(
        waiting=lambda: opening.waiting, list_made_ms=lambda: revoked.this_update_ms, clock=clock
    )
    joining = _joining(state, house.id, revoked, principals)
    handlers = (joining, *key_handlers(keys), opening_handler(opening), *_of_orders(shared))
    reading = Voucher.of(state).read_newcomer
    pipeline = pipeline_of(
        state, principals, unit_of_work, clock, metrics, read_newcomer=reading, escrow=house.id
    )
    public = _public(state, settings, unit_of_work, metrics)
    app = make_app(
        pipeline, handlers, public=public, silence=Silence(is_on=False), served=operations_escrow.ESCROW
    )
    counting = OrderCount(escrow_metrics, shared.reader)
    return EscrowServer(app, unit_of_work, principals, sweeper, watch, keyring, public, keys, counting)


def _house(state: ServerState, settings: EscrowSettings, identity: EscrowIdentity) -> House:
    """Return what the escrow is to its records."""
    known = (identity.id, state.operator, state.signing, identity.certificate)
    return House(*known, settings.timeouts, settings.refunds)


def _joining(state: ServerState, escrow: str, revoked: RevokedParties, principals: Principals) -> Handler:
    """Return the handler by which parties become known."""
    voucher, master = Voucher.of(state), state.master_key
    desk = JoinDesk(escrow=escrow, master=master, voucher=voucher, revoked=revoked, principals=principals)
    return join_handler(desk)


def _public(
    state: ServerState, settings: EscrowSettings, unit_of_work: UnitOfWork, metrics: Metrics
) -> Public:
    """Return what the escrow tells everybody."""
    public = public_without_certificates(state, settings.urls or state.urls, unit_of_work, metrics)
    public.place = place_of(state)
    return public


def _of_orders(shared: EscrowShared) -> tuple[Handler, ...]:
    """Return the handlers of orders, their money and notices."""
    return (
        *ordering_handlers(shared),
        *settling_handlers(shared),
        *paying_handlers(shared),
        *noticing_handlers(shared),
    )


def _open_records(state: ServerState, settings: EscrowSettings, random: Random) -> tuple[sa.Engine, Keyring]:
    """Open the database and the token; raises UsageError where keys are in a token and none is named."""
    engine, asked = open_database(settings.database or state.database_path), settings.token
    try:
        _check_token(engine, settings)
        token = EscrowToken(asked.place, asked.pin) if asked is not None else None
    except Exception:
        engine.dispose()
        raise
    return engine, Keyring(state.master_key, random, token)


def _check_token(engine: sa.Engine, settings: EscrowSettings) -> None:
    """Raise UsageError if private keys are in a token and the settings name none."""
    with engine.connect() as connection:
        held = [each for each in store_keys.keys(connection) if each.token_object is not None]
    if held and settings.token is None:
        raise UsageError(f"{len(held)} keys of this escrow are in a PKCS#11 token: name it under [escrow]")
