"""Owns a key server in this process on which things went on air, and what its books have to look like."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa

from sealcast.billing import store_invoices
from sealcast.billing.invoices import canonical, entry_of, read_invoice
from sealcast.keyserver.calls import Call, Principal
from sealcast.keyserver.tables import epochs, grants, principals, reports, totals
from sealcast.ledger import store as ledger_store
from sealcast.messages import operations, operations_billing
from sealcast.messages.charging import PriceTerms, StepTerms, Terms
from sealcast.messages.invoicing import CloseAnswer, CloseRequest, Invoice
from sealcast.messages.jwk import Jwk
from sealcast.reception.tables import receptions
from server.charging import Charging

T = TypeVar("T")
HOUR_MS = 3_600_000
SENDER = "encoder"


class BillingSite(Charging):
    """A key server whose operator bills; epochs are put on record as if a sender had reported them."""

    def air(self, channel: int, *spans: tuple[int, int], size: int = 1_000_000, packets: int = 1_000) -> None:
        """Put the next epochs of a channel on record, on air from start to end, and off since."""

        def write(connection: sa.Connection) -> None:
            put_on_air(connection, channel, spans, size=size, packets=packets)

        self.look(write)

    def begin(self, channel: int) -> int:
        """Put the next epoch of a channel on air, as of now; return its number."""

        def write(connection: sa.Connection) -> int:
            (epoch,) = put_on_air(connection, channel, [(self.now_ms, self.now_ms)], is_over=False)
            return epoch

        return self.look(write)

    def end(self, channel: int, epoch: int, size: int) -> None:
        """Take an epoch off the air, as of now, with totals of an hour."""

        def write(connection: sa.Connection) -> None:
            of = epochs.c.channel == channel, epochs.c.epoch == epoch
            connection.execute(epochs.update().where(*of).values(state="RETIRED", off_air_at_ms=self.now_ms))
            report(connection, channel, epoch, (HOUR_MS, 1_000, size))

        self.look(write)

    def tell_late(self, channel: int, epoch: int, size: int) -> None:
        """Have a sender report after the fact that an epoch had so many bytes."""
        self.look(lambda connection: report(connection, channel, epoch, (HOUR_MS, 1_000, size)))

    def grant(self, device: str, channel: int, *numbers: int) -> None:
        """Put grants of epochs on record, as of now."""
        rows = [
            {"device": device, "channel": channel, "epoch": number, "granted_at_ms": self.now_ms}
            for number in numbers
        ]
        self.look(lambda connection: connection.execute(grants.insert(), rows).close())

    def bill(self, **fields: Any) -> CloseAnswer:
        """Close what is over, all customers in one page, and check the books."""
        answer: CloseAnswer = self.ask(operations_billing.INVOICE_CLOSE, **fields)
        self.check_books()
        return answer

    def document(self, number: int) -> bytes:
        """Return an invoice's document, piece by piece, checked against its SHA-256."""
        data = b""
        while True:
            piece = self.ask(operations_billing.INVOICE_SHOW, number=number, offset=len(data))
            data += piece.piece
            if len(data) >= piece.size:
                assert hashlib.sha256(data).hexdigest() == piece.sha256
                return bytes(data)

    def invoice(self, number: int) -> Invoice:
        """Return an invoice as it was issued."""
        return read_invoice(self.document(number))

    def check_books(self) -> None:
        """Check all invoices, lines and entries against each other."""
        self.look(check_books)

    def keep_alive(self, channel: int, epoch: int) -> None:
        """Have the sender of an epoch on air report, as of now."""
        row = {
            "channel": channel,
            "ssrc": epoch,
            "epoch": epoch,
            "remaining_ms": HOUR_MS,
            "lifetime_ms": HOUR_MS,
            "extended": False,
            "roc": 0,
            "seq": 0,
            "reported_at_ms": self.now_ms,
        }

        def write(connection: sa.Connection) -> None:
            connection.execute(reports.delete())
            connection.execute(reports.insert(), row)

        self.look(write)

    def reported(self, device: str, channel: int, name: str, *, packets: int) -> None:
        """Put a reception on record that its device ended, as of now."""
        row = {
            "device": device,
            "channel": channel,
            "channel_name": name,
            "since_ms": self.now_ms - HOUR_MS,
            "seen_ms": self.now_ms,
            "packets": packets,
            "last_index": packets,
            "ended_at_ms": self.now_ms,
            "reason": "stopped",
        }
        self.look(lambda connection: connection.execute(receptions.insert(), row).close())

    def bill_together(self, count: int, meanwhile: Callable[[], None] = lambda: None) -> list[CloseAnswer]:
        """Work out bills several times, let something happen, and then issue each."""
        handlers = {each.operation.name: each for each in self._server.desks.handlers()}
        closing = handlers[operations_billing.INVOICE_CLOSE.name]
        request = CloseRequest(aud="", op="", jti="", nonce="")
        operator = Principal("admin", "operator", Jwk(kty="oct"), Jwk(kty="oct"))
        assert closing.ahead is not None
        pages = [self.run(_await(closing.ahead(operator, request))) for _ in range(count)]
        meanwhile()

        def issue(page: Any, connection: sa.Connection) -> Any:
            return closing.carry_out(Call(connection, operator, 0, self.now_ms, page), request).answer

        answers = [self.look(partial(issue, page)) for page in pages]
        self.check_books()
        return answers

    def remove(self, device: str, channel: str) -> None:
        """End a subscription, as of now."""
        self.ask(operations.SUBSCRIBER_REMOVE, channel=channel, device=device)


async def _await(ahead: Awaitable[T]) -> T:
    return await ahead


def put_on_air(
    connection: sa.Connection,
    channel: int,
    spans: Sequence[tuple[int, int]],
    *,
    size: int = 1_000_000,
    packets: int = 1_000,
    is_over: bool = True,
) -> list[int]:
    """Put the next epochs of a channel on record; return their numbers."""
    sender = {"id": SENDER, "role": "sender", "kind": "key-pair", "registered_at_ms": 0}
    known = connection.execute(sa.select(principals.c.id).where(principals.c.id == SENDER)).scalar()
    if known is None:
        connection.execute(principals.insert(), sender)
    last = sa.select(sa.func.max(epochs.c.epoch)).where(epochs.c.channel == channel)
    first = (connection.execute(last).scalar() or 0) + 1
    numbers = list(range(first, first + len(spans)))
    connection.execute(
        epochs.insert(),
        [
            {
                "channel": channel,
                "epoch": number,
                "sender": SENDER,
                "ssrc": number,
                "consumed": True,
                "state": "RETIRED" if is_over else "ACTIVE",
                "cause": "schedule",
                "leased_at_ms": start_ms,
                "published_at_ms": start_ms,
                "on_air_at_ms": start_ms,
                "off_air_at_ms": end_ms if is_over else None,
                "retired_at_ms": end_ms if is_over else None,
            }
            for number, (start_ms, end_ms) in zip(numbers, spans, strict=True)
        ],
    )
    for number, (start_ms, end_ms) in zip(numbers, spans, strict=True):
        if is_over:
            report(connection, channel, number, (end_ms - start_ms, packets, size))
    return numbers


def report(connection: sa.Connection, channel: int, epoch: int, told: tuple[int, int, int]) -> None:
    """Record totals of an epoch: duration in ms, packets, bytes."""
    of = totals.c.channel == channel, totals.c.epoch == epoch
    connection.execute(totals.delete().where(*of))
    duration_ms, packets, size = told
    row = {
        "channel": channel,
        "ssrc": epoch,
        "epoch": epoch,
        "duration_ms": duration_ms,
        "packets": packets,
        "bytes": size,
    }
    connection.execute(totals.insert(), row)


def check_books(connection: sa.Connection) -> None:
    """Check that numbers have no gap, times do not fall, documents add up, and each has its entry."""
    heads = list(store_invoices.page(connection, after=0, limit=10**6))
    assert [head.number for head in heads] == list(range(1, len(heads) + 1))
    assert sorted(head.issued_at_ms for head in heads) == [head.issued_at_ms for head in heads]
    expected = {}
    for head in heads:
        data = store_invoices.document(connection, head.number)
        assert data is not None
        invoice = read_invoice(data)
        assert canonical(invoice) == data
        check_document(connection, invoice)
        assert invoice.total_minor == head.total_minor
        entry = entry_of(invoice, head.issued_at_ms)
        if entry is not None:
            expected[entry.id] = entry
    kept = {}
    # Not past SQLAlchemy: to the driver of PostgreSQL a bare `%` stands for a value.
    for (id_,) in connection.execute(sa.text("SELECT id FROM ledger_entries WHERE id LIKE 'invoice-%'")):
        row = ledger_store.find(connection, id_)
        assert row is not None
        kept[id_] = ledger_store.entry_of(row)
    assert kept == expected
    check_periods(connection)


def check_document(connection: sa.Connection, invoice: Invoice) -> None:
    """Check an invoice's document against itself and against its rows."""
    rows = store_invoices.lines(connection, invoice.number)
    told = [(each.line, each.device, each.channel, each.name, each.amount_minor) for each in invoice.lines]
    assert told == [(each.line, each.device, each.channel, each.name, each.due_minor) for each in rows]
    assert all(each.so_far_minor - each.billed_minor == each.amount_minor for each in invoice.lines)
    assert sum(each.amount_minor for each in invoice.lines) == invoice.total_minor
    assert invoice.net_minor + invoice.tax_minor == invoice.total_minor


def check_periods(connection: sa.Connection) -> None:
    """Check that the bills of each line add up to what the last of them says of its period so far.

    Where nothing was credited, that is; and that closed periods of a customer do not overlap.
    """
    billed: dict[Any, int] = {}
    credited = connection.exec_driver_sql("SELECT count(*) FROM invoices WHERE corrects IS NOT NULL").scalar()
    for (number,) in connection.exec_driver_sql("SELECT number FROM invoices ORDER BY number").all():
        data = store_invoices.document(connection, number)
        assert data is not None
        for line in read_invoice(data).lines:
            key = line.device, line.channel, line.period_start, line.valid_from, line.tariff, line.name
            if not credited:
                assert line.billed_minor == billed.get(key, 0), key
            billed[key] = line.so_far_minor
    ends: dict[str, int] = {}
    query = "SELECT customer, start_ms, end_ms FROM billed_periods ORDER BY start_ms"
    for customer, start_ms, end_ms in connection.exec_driver_sql(query):
        assert start_ms >= ends.get(customer, 0)
        ends[customer] = end_ms


def terms(*prices: PriceTerms, **more: Any) -> Terms:
    """Return the terms of prices."""
    return Terms(prices=list(prices), **more)


def price(name: str, quantity: Any, micro: int, per: int = 1, **more: Any) -> PriceTerms:
    """Return a price without steps."""
    return PriceTerms(name=name, quantity=quantity, steps=[StepTerms(price_micro=micro, per=per)], **more)


def every_hour(start_ms: int, count: int) -> list[tuple[int, int]]:
    """Return so many spans of an hour, one after the other."""
    return [(start_ms + n * HOUR_MS, start_ms + (n + 1) * HOUR_MS) for n in range(count)]


@contextmanager
def billing_site(*devices: str, channels: Sequence[str] = ("news",)) -> Iterator[BillingSite]:
    """Give a key server with channels, and devices that are registered; it is midnight, 1 January 2026."""
    site = BillingSite()
    try:
        for name in channels:
            site.add_channel(name)
        for name in devices:
            site.add_device(name)
        yield site
    finally:
        site.close()
