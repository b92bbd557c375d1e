"""Owns what all kinds of server begin with: database, health, way of requests, the operator's document."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import sqlalchemy as sa

from sealcast.core.errors import SealcastError
from sealcast.core.ports import Clock
from sealcast.messages.encoding import encode
from sealcast.messages.enrolment import OperatorDocument
from sealcast.server.app import Public
from sealcast.server.metrics import Metrics
from sealcast.server.newcomers import ReadNewcomer, read_newcomer
from sealcast.server.pipeline import Pipeline
from sealcast.server.principals import Principals
from sealcast.server.state import ServerState
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.unitofwork import UnitOfWork


def open_database(address: Path | str) -> sa.Engine:
    """Open a database and bring it up to date; raises UsageError if it is not ours, or newer than we are."""
    engine = open_engine(address)
    try:
        upgrade(engine)
    except Exception:
        engine.dispose()
        raise
    return engine


def health_of(unit_of_work: UnitOfWork) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether the database takes transactions."""

    async def is_healthy() -> bool:
        try:
            await unit_of_work.run(lambda connection: connection.execute(sa.text("SELECT 1")).scalar())
        except (SealcastError, sa.exc.SQLAlchemyError):
            return False
        return unit_of_work.takes_writes

    return is_healthy


def pipeline_of(
    state: ServerState,
    principals: Principals,
    unit_of_work: UnitOfWork,
    clock: Clock,
    metrics: Metrics,
    *,
    read_newcomer: ReadNewcomer = read_newcomer,
    escrow: str | None = None,
) -> Pipeline:
    """Return the way of signed requests, with the keys of a server's state; `escrow` is an escrow's id."""
    return Pipeline(
        operator=state.operator,
        nonce_key=state.nonce_key,
        signing=state.signing,
        kek=state.kek,
        principals=principals,
        unit_of_work=unit_of_work,
        clock=clock,
        metrics=metrics,
        read_newcomer=read_newcomer,
        escrow=escrow,
    )


def public_without_certificates(
    state: ServerState, urls: tuple[str, ...], unit_of_work: UnitOfWork, metrics: Metrics
) -> Public:
    """Return what a server tells everybody that certifies nobody: its list of revoked ones is empty."""

    async def crl() -> bytes:
        return b""

    def render_metrics() -> bytes:
        return metrics.render(channels_on_air=0, stale_reports=0)

    return Public(health_of(unit_of_work), render_metrics, operator_document(state, urls), crl)


def operator_document(state: ServerState, urls: tuple[str, ...]) -> bytes:
    """Return what newcomers are told of the operator, in JSON."""
    return encode(
        OperatorDocument(
            operator=state.operator,
            ca_pem=state.ca_pem,
            servers=list(urls),
            server_key=state.signing.public(),
            server_kek=state.kek.public(),
        )
    )
