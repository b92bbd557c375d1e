"""Owns settlement's desks over a database of their own: requests as the pipeline carries them out."""

import asyncio
import datetime as dt
import functools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from sealcast.billing.tables import invoice_lines, invoices
from sealcast.core.channel import ChannelSpec
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver import store_channels
from sealcast.keyserver.calls import Call, Handler, Principal
from sealcast.messages.bookkeeping import ContractTerms
from sealcast.messages.channels import ChannelData, channel_spec
from sealcast.messages.operation import Operation
from sealcast.server.billing.contracts import ContractDesk, contract_handlers
from sealcast.server.billing.ledger import ledger_handlers
from sealcast.server.billing.payouts import payout_handlers
from sealcast.server.billing.settling import SettlementDesk, settlement_handlers
from sealcast.server.billing.shared import BillingShared
from sealcast.server.settings import BillingSettings
from sealcast.storage import engine as storage
from sealcast.storage.migrate import upgrade
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork
from sealcast.testing import SimClock
from storage.places import is_on_postgres, open_engine

T = TypeVar("T")

OPERATOR = Principal("admin", "operator", None, None)  # type: ignore[arg-type] # nobody signs or seals here


def at(text: str) -> int:
    """Return an instant in ms since 1970."""
    return int(dt.datetime.fromisoformat(text).timestamp() * 1_000)


class Books:
    """Contracts, statements and ledger of an operator, at an instant that tests set; to be closed."""

    def __init__(self, folder: Path, now: str, zone: str = "Europe/Berlin") -> None:
        path = folder / "books.sqlite"
        if not path.exists() and not is_on_postgres():
            path.write_bytes(_empty())
        engine = open_engine(path, is_upgraded=True)
        self.work = UnitOfWork(engine)
        self.clock = SimClock(wall_ns=at(now) * NS_PER_MS)
        settings = BillingSettings(zone=zone)
        shared = BillingShared("Coast TV", Reader(engine), self.work.run, self.clock, settings)
        handlers = (
            *contract_handlers(ContractDesk()),
            *settlement_handlers(SettlementDesk(shared)),
            *payout_handlers(),
            *ledger_handlers(shared),
        )
        self._handlers = {handler.operation.name: handler for handler in handlers}

    def close(self) -> None:
        """End it."""
        self.work.close()

    def be(self, now: str) -> None:
        """Set the clock."""
        self.clock.jump_wall(at(now) * NS_PER_MS - self.clock.wall_ns())

    def ask(self, operation: Operation, meanwhile: Callable[[], object] = lambda: None, **fields: Any) -> Any:
        """Carry out a request and return its answer; `meanwhile` comes after what is done ahead."""
        handler = self._handlers[operation.name]
        request = operation.request(aud="", op=operation.name, jti="j", nonce="", **fields)
        ahead = asyncio.run(_ahead(handler, request))
        meanwhile()

        def carry_out(connection: sa.Connection) -> Any:
            wall_ms = self.clock.wall_ns() // NS_PER_MS
            call = Call(connection, OPERATOR, self.clock.monotonic_ns(), wall_ms, ahead)
            return handler.carry_out(call, request).answer

        return self.write(carry_out)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run a unit of work."""
        return self.work.run_blocking(work)

    def rows(self, query: str) -> list[Any]:
        """Return what the database says."""
        return self.write(lambda connection: [tuple(row) for row in connection.exec_driver_sql(query)])

    def add_channel(self, name: str) -> int:
        """Add a channel and return its number."""
        spec: ChannelSpec = channel_spec(ChannelData(name=name, group="239.1.2.3", port=5004))
        return self.write(lambda connection: store_channels.add(connection, spec, (), 0))

    def bill(self, when: str, *lines: tuple[int, int, str | None, int, bool], code: str = "EUR") -> int:
        """Keep an invoice with lines of (channel, minor units, quantity, units, whether it is tax)."""
        return self.write(lambda connection: add_invoice(connection, at(when), lines, code))


def net(
    channel: int, minor: int, quantity: str | None = None, units: int = 0
) -> tuple[int, int, str | None, int, bool]:
    """Return a line that is no tax."""
    return channel, minor, quantity, units, False


def terms(broadcaster: str, channel: str = "news", code: str = "EUR", **more: Any) -> ContractTerms:
    """Return what a contract says."""
    return ContractTerms(broadcaster=broadcaster, channel=channel, currency=code, **more)


def add_invoice(
    connection: sa.Connection, at_ms: int, lines: Sequence[tuple[int, int, str | None, int, bool]], code: str
) -> int:
    """Keep an invoice, or a credit note; its document says nothing here."""
    number = (connection.execute(sa.select(sa.func.max(invoices.c.number))).scalar() or 0) + 1
    head = {"kind": "invoice", "customer": "TV-1", "document": b"", "sha256": b""}
    total = sum(line[1] for line in lines)
    connection.execute(
        invoices.insert(),
        {**head, "number": number, "currency": code, "issued_at_ms": at_ms, "total_minor": total},
    )
    same = {"invoice": number, "device": "TV-1", "period_start_ms": 0, "version_from_ms": 0, "counts": True}
    for place, (channel, minor, quantity, units, is_tax) in enumerate(lines, 1):
        what = {
            "channel": channel,
            "due_minor": minor,
            "quantity": quantity,
            "units": units,
            "is_tax": is_tax,
        }
        connection.execute(invoice_lines.insert(), {**same, **what, "line": place, "name": f"line {place}"})
    return number


@functools.cache
def _empty() -> bytes:
    """Return a database without a row: to make one takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.sqlite"
        engine = storage.open_engine(path)
        upgrade(engine)
        engine.dispose()
        return path.read_bytes()


async def _ahead(handler: Handler, request: Any) -> Any:
    return None if handler.ahead is None else await handler.ahead(OPERATOR, request)
