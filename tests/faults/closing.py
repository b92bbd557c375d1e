"""Owns a month to be closed, and what the death of its key server at any write leaves behind.

A month is closed in pages of `PAGE` customers. Its clock stands still, so what is issued after a death has to
be, byte by byte, what is issued without one.
"""

import asyncio
import hashlib
import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sealcast.billing import store_assignments, store_customers, store_tariffs
from sealcast.billing.periods import BillingCycle, PeriodKind
from sealcast.billing.store_customers import Customer
from sealcast.billing.tariffs import Price, Quantity, Step, TariffVersion
from sealcast.billing.timeline import Assignment
from sealcast.core.ports import NS_PER_MS
from sealcast.keyserver.calls import Call, Principal
from sealcast.keyserver.tables import channels, grants, principals
from sealcast.messages import operations_billing
from sealcast.messages.invoicing import CloseAnswer, CloseRequest
from sealcast.messages.jwk import Jwk
from sealcast.server.billing.handlers import billing_handlers
from sealcast.server.billing.shared import BillingShared
from sealcast.server.settings import BillingSettings
from sealcast.storage.engine import open_engine
from sealcast.storage.migrate import upgrade
from sealcast.storage.reading import Reader
from sealcast.storage.unitofwork import UnitOfWork
from sealcast.subscribers.tables import subscriptions
from sealcast.testing import SimClock
from server.billing_site import HOUR_MS, check_books, every_hour, put_on_air

START_MS, NOW_MS = 1_767_225_600_000, 1_770_000_000_000
"""Midnight on 1 January 2026, and a day in February."""

PAGE = 2
FAMILY = "family"
TABLES = {
    "invoices": "number",
    "invoice_lines": "invoice, line",
    "billed_periods": "customer, start_ms",
    "ledger_entries": "number",
    "ledger_postings": "entry, place",
    "customers": "id",
    "aired": "number",
}

BASIC = TariffVersion(
    currency="EUR",
    valid_from_ms=START_MS,
    prices=(
        Price("Subscription", Quantity.PERIODS, (Step(9_990_000),)),
        Price("Data", Quantity.BYTES, (Step(100_000, per=10**9),)),
    ),
    tax_ppm=190_000,
)


def fill(connection: sa.Connection, devices: int, start_ms: int = START_MS) -> None:
    """Put a channel on record that was on air for three hours, and devices that were granted all of it."""
    names = [f"TV-{number:03}" for number in range(devices)]
    party = {"role": "device", "kind": "symmetric", "registered_at_ms": 0}
    connection.execute(principals.insert(), [{**party, "id": name} for name in names])
    connection.execute(
        channels.insert(),
        {
            "number": 1,
            "name": "news",
            "group": "239.255.9.1",
            "port": 5004,
            "suite": "aes-128-gcm",
            "keys": "sender",
            "lifetime_ms": HOUR_MS,
            "publish_at": "0.5",
            "prefetch_at": "0.5",
            "next_epoch": 4,
            "added_at_ms": start_ms,
        },
    )
    epochs = put_on_air(connection, 1, every_hour(start_ms, 3), size=12 * 10**9)
    rows = [{"channel": 1, "device": name, "added_at_ms": start_ms} for name in names]
    connection.execute(subscriptions.insert(), rows)
    connection.execute(
        grants.insert(),
        [
            {"device": name, "channel": 1, "epoch": epoch, "granted_at_ms": start_ms}
            for name in names
            for epoch in epochs
        ],
    )
    store_tariffs.add(connection, "basic", BASIC, start_ms)
    store_assignments.add(connection, 1, Assignment(start_ms, "basic"), start_ms)


class Office:
    """The desks of billing over a database; close it at the end. It does not wait for the disk."""

    def __init__(self, folder: Path) -> None:
        self._engine = open_engine(folder / "keyserver.sqlite")
        self.unit_of_work = UnitOfWork(self._engine)
        self.unit_of_work._driver.execute("PRAGMA synchronous = OFF")
        self._clock = SimClock(wall_ns=NOW_MS * NS_PER_MS)
        self._operator = Principal("admin", "operator", Jwk(kty="oct"), Jwk(kty="oct"))

    def close_month(self) -> None:
        """Close all customers page by page, as the command does."""
        asyncio.run(self._close_all())

    async def _close_all(self) -> None:
        shared = BillingShared(
            "Operator", Reader(self._engine), self.unit_of_work.run, self._clock, BillingSettings()
        )
        handlers = {each.operation.name: each for each in billing_handlers(shared)}
        closing = handlers[operations_billing.INVOICE_CLOSE.name]
        assert closing.ahead is not None
        after: str | None = ""
        while after is not None:
            request = CloseRequest(aud="", op="", jti="", nonce="", after=after, limit=PAGE)
            page = await closing.ahead(self._operator, request)

            def issue(connection: sa.Connection, page: Any = page, request: Any = request) -> CloseAnswer:
                call = Call(connection, self._operator, 0, NOW_MS, page)
                answer = closing.carry_out(call, request).answer
                assert isinstance(answer, CloseAnswer)
                return answer

            answer = await self.unit_of_work.run(issue)
            assert not answer.waiting
            after = answer.next

    def close(self) -> None:
        """Close the database."""
        self.unit_of_work.close()


def new_site(folder: Path, devices: int = 5) -> None:
    """Make a database with a month to be closed; two of the devices are one family's."""
    folder.mkdir(parents=True)
    engine = open_engine(folder / "keyserver.sqlite")
    upgrade(engine)
    with engine.begin() as connection:
        fill(connection, devices)
        cycle = BillingCycle(PeriodKind.MONTHLY)
        store_customers.put(connection, Customer(FAMILY, "A Family", cycle), START_MS)
        store_customers.join(connection, FAMILY, ["TV-001", "TV-003"])
    engine.dispose()


def go_on(folder: Path) -> None:
    """Close what is left to be closed."""
    office = Office(folder)
    try:
        office.close_month()
    finally:
        office.close()


def look(folder: Path) -> dict[str, list[Any]]:
    """Return what was issued and recorded; the books have to agree, whenever their server died."""
    engine = open_engine(folder / "keyserver.sqlite")
    with engine.connect() as connection:
        check_books(connection)
        found = {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY {key}")]  # noqa: S608 - our names
            for table, key in TABLES.items()
        }
    engine.dispose()
    return found


def state_of(folder: Path) -> bytes:
    """Return what tells one state of the files from another."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if not path.name.endswith("-shm"):
            found.update(path.name.encode() + path.read_bytes())
    return found.digest()


def tear(photograph: Path, place: Path, size: int) -> None:
    """Copy a photograph with only the first `size` bytes of its log: of a commit that was under way."""
    shutil.copytree(photograph, place)
    with (place / "keyserver.sqlite-wal").open("r+b") as log:
        log.truncate(size)
