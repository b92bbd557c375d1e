"""Owns what bills cost to make: grants metered and rated, invoices closed, a second; and the memory for it.

```
stock ──► record_air ──► meter: SQL, counting, rating of every grant     close: the desk of `invoice close`,
                                                                         documents, lines, ledger on disk
```
Closing goes through the operation's own handler, in pages, as the command line asks for them.
"""

import resource
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sealcast.bench.billing_stock import MONTH_MS, Stock, fill
from sealcast.bench.billing_waits import WaitGauge, Waits
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.rating import rate
from sealcast.billing.store_tariffs import find as find_tariff
from sealcast.core.errors import LocalError
from sealcast.core.ports import NS_PER_MS, NS_PER_S, Clock
from sealcast.keyserver.calls import Call, Handler, Principal
from sealcast.ledger.tables import ledger_entries, ledger_postings
from sealcast.messages import operations_billing as billing
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.invoicing import CloseAnswer
from sealcast.messages.jwk import Jwk
from sealcast.messages.operation import Operation
from sealcast.server.billing.air import record_air
from sealcast.server.billing.handlers import billing_handlers
from sealcast.server.billing.shared import BillingShared
from sealcast.server.billing.source import air_log, spans_of, usage_of_channel
from sealcast.server.founding import open_database
from sealcast.server.settings import BillingSettings
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork
from sealcast.testing import SimClock

TARIFF = "basic"
CURRENCY = "EUR"
TERMS = Terms(
    prices=[
        PriceTerms(name="Subscription", quantity="periods", steps=[StepTerms(price_micro=9_990_000)]),
        PriceTerms(
            name="Data",
            quantity="bytes",
            free=5_000_000_000,
            steps=[
                StepTerms(price_micro=20_000, per=1_000_000_000, up_to=50_000_000_000),
                StepTerms(price_micro=10_000, per=1_000_000_000),
            ],
        ),
        PriceTerms(name="Keys", quantity="epochs", steps=[StepTerms(price_micro=1_000)]),
    ],
    tax_ppm=190_000,
)
"""What many operators sell: a price a month, data in steps beyond an allowance, a little for each key."""

CYCLE = BillingCycle(PeriodKind.MONTHLY)
SETTLED_MS = 86_400_000
PAGE = 200
"""Customers that one request closes."""

ROUNDS_MAX = 1_000_000
NOBODY = Jwk(kty="oct", k="")
OPERATOR = Principal("operator", "operator", NOBODY, NOBODY)
MB = 1_000_000


class BillingFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: rates of wall time; sizes are of the database's files, in 10^6 bytes.

    `waits` is how long others waited for the writer during closing. `peak_rss_mb` is of the whole process,
    `baseline_rss_mb` before anything was metered.
    """

    grants: int
    customers: int
    channels: int
    epochs_per_channel: int
    metered_grants_per_s: float
    metering_s: float
    invoices: int
    invoices_per_s: float
    closing_s: float
    total_minor: int
    waits: Waits
    baseline_rss_mb: float
    peak_rss_mb: float
    stock_mb: float
    database_mb: float
    bytes_per_invoice: int


@dataclass(frozen=True, slots=True)
class _Metered:
    """What metering and rating came to."""

    grants: int
    due_minor: int


async def measure_billing(
    clock: Clock, grants: int, customers: int, tell: Callable[[str, int, int], None]
) -> BillingFigures:
    """Build a database in a temporary folder, meter it, close it; takes about 30 s for a million grants.

    `tell` hears of a step, how much of it is done, and of how much. Raises LocalError if what was closed is
    not what was metered.
    """
    with tempfile.TemporaryDirectory(prefix="sealcast-bench-") as folder:
        return await _measure(Path(folder), clock, grants, customers, tell)


async def _measure(
    folder: Path, clock: Clock, grants: int, customers: int, tell: Callable[[str, int, int], None]
) -> BillingFigures:
    tell("database", 0, 1)
    database = folder / "keyserver.sqlite"
    stock = _make_stock(database, grants, customers)
    stock_bytes, baseline_mb = _size_bytes(folder), _peak_rss_mb()
    tell("database", 1, 1)
    desk = _Desk(open_database(database))
    try:
        await desk.set_up(stock)
        began_ns = clock.monotonic_ns()
        metered = await desk.reader.read(partial(_meter, stock=stock, tell=tell))
        metered_ns = clock.monotonic_ns()
        gauge = WaitGauge(desk.unit_of_work, clock)
        async with gauge.running():
            invoices, total_minor = await desk.close_all(stock, tell)
        closed_ns = clock.monotonic_ns()
        entries, apart_micro = await desk.reader.read(_ledger)
    finally:
        desk.unit_of_work.close()
    if (metered.grants, metered.due_minor, entries, apart_micro) != (stock.grants, total_minor, invoices, 0):
        raise LocalError(
            f"{metered} of {stock.grants} grants, {invoices} invoices of {total_minor} in all, {entries}"
            f" entries of the ledger that add up to {apart_micro}: these do not fit together"
        )
    metering_s, closing_s = (metered_ns - began_ns) / NS_PER_S, (closed_ns - metered_ns) / NS_PER_S
    return BillingFigures(
        grants=stock.grants,
        customers=stock.devices,
        channels=stock.channels,
        epochs_per_channel=stock.epochs,
        metered_grants_per_s=stock.grants / metering_s,
        metering_s=metering_s,
        invoices=invoices,
        invoices_per_s=invoices / closing_s,
        closing_s=closing_s,
        total_minor=total_minor,
        waits=gauge.waits(),
        baseline_rss_mb=baseline_mb,
        peak_rss_mb=_peak_rss_mb(),
        stock_mb=stock_bytes / MB,
        database_mb=_size_bytes(folder) / MB,
        bytes_per_invoice=(_size_bytes(folder) - stock_bytes) // max(1, invoices),
    )


def _make_stock(database: Path, grants: int, customers: int) -> Stock:
    """Fill a new database, and close it: so that its size is that of one file."""
    engine = open_database(database)
    try:
        with engine.begin() as connection:
            return fill(connection, grants, customers)
    finally:
        engine.dispose()


def _meter(connection: sa.Connection, stock: Stock, tell: Callable[[str, int, int], None]) -> _Metered:
    """Meter and rate all devices of all channels, one device at a time."""
    tariff, grants, due_minor = find_tariff(connection, TARIFF), 0, 0
    period = CYCLE.period_at(MONTH_MS[0])
    if tariff is None:
        raise LocalError("the bench has no tariff")
    for number in range(1, stock.channels + 1):
        air = air_log(connection, number)
        for device, events in usage_of_channel(connection, air):
            spans = spans_of(connection, [device])[device, number]
            rated = rate(tariff, period, spans, events, until_ms=MONTH_MS[1], billed_minor={}, is_final=True)
            grants += len(events)
            due_minor += rated.due_minor
        tell("metering", number, stock.channels)
    return _Metered(grants, due_minor)


def _ledger(connection: sa.Connection) -> tuple[int, int]:
    """Return how many entries the ledger has, and what all postings add up to."""
    entries = connection.execute(sa.select(sa.func.count()).select_from(ledger_entries)).scalar_one()
    total = sa.select(sa.func.coalesce(sa.func.sum(ledger_postings.c.amount_micro), 0))
    return entries, connection.execute(total).scalar_one()


class _Desk:
    """Billing's operations over one database, as a key server carries them out."""

    def __init__(self, engine: sa.Engine) -> None:
        self.clock = SimClock(wall_ns=(MONTH_MS[1] + SETTLED_MS) * NS_PER_MS)
        self.unit_of_work = UnitOfWork(engine)
        self.reader = Reader(engine)
        shared = BillingShared("Bench", self.reader, self.unit_of_work.run, self.clock, BillingSettings())
        self._handlers = {handler.operation.name: handler for handler in billing_handlers(shared)}
        self._asked = 0

    async def ask(self, operation: Operation, **fields: object) -> msgspec.Struct | msgspec.Raw:
        """Carry out an operation; what comes before and behind it, signatures and HTTP, is left out."""
        self._asked += 1
        claims = {"aud": "Bench", "op": operation.name, "jti": str(self._asked), "nonce": ""}
        request = msgspec.convert({**claims, **fields}, operation.request)
        handler: Handler = self._handlers[operation.name]
        ahead = None if handler.ahead is None else await handler.ahead(OPERATOR, request)

        def carry_out(connection: sa.Connection) -> msgspec.Struct | msgspec.Raw:
            now, wall_ms = self.clock.monotonic_ns(), self.clock.wall_ns() // NS_PER_MS
            return handler.carry_out(Call(connection, OPERATOR, now, wall_ms, ahead), request).answer

        return await self.unit_of_work.run(carry_out)

    async def set_up(self, stock: Stock) -> None:
        """Make the tariff, and record what was on air."""
        await self.ask(
            billing.TARIFF_ADD,
            name=TARIFF,
            currency=CURRENCY,
            terms=msgspec.to_builtins(TERMS),
            channels=[str(number) for number in range(1, stock.channels + 1)],
            from_ms=MONTH_MS[0],
        )
        wall_ms, settle_ms = self.clock.wall_ns() // NS_PER_MS, BillingSettings().settle_ms
        for _ in range(ROUNDS_MAX):
            if not await self.unit_of_work.run(lambda connection: record_air(connection, wall_ms, settle_ms)):
                return

    async def close_all(self, stock: Stock, tell: Callable[[str, int, int], None]) -> tuple[int, int]:
        """Close page after page, as `sealcast billing invoice close` does; return invoices and their sum."""
        after: str | None = ""
        invoices = total_minor = done = 0
        while after is not None:
            answer = await self.ask(billing.INVOICE_CLOSE, after=after, limit=PAGE)
            if not isinstance(answer, CloseAnswer) or answer.waiting or not answer.customers:
                raise LocalError(f"closing went wrong: {answer!r}")
            invoices += len(answer.issued)
            total_minor += sum(each.total_minor for each in answer.issued)
            done += answer.customers
            tell("closing", done, stock.devices)
            after = answer.next
        return invoices, total_minor


def _size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _peak_rss_mb() -> float:
    """Return the most memory that this process ever had (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB
